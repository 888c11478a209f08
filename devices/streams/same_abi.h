// SameAbi: whether two function types look the same to the linker's other side: as many arguments,
// each of the same size and sort (pointer, number, other). For the tests that compare het's own
// declarations with a vendor's headers.
#ifndef HET_DEVICES_STREAMS_SAME_ABI_H_
#define HET_DEVICES_STREAMS_SAME_ABI_H_

#include <type_traits>

namespace het::streams {

template <typename A, typename B>
constexpr bool SameSort() {
  constexpr auto is_number = [](auto type) {
    using T = typename decltype(type)::type;
    return std::is_integral_v<T> || std::is_enum_v<T>;
  };
  if constexpr (std::is_void_v<A> || std::is_void_v<B>) {
    return std::is_void_v<A> && std::is_void_v<B>;
  } else {
    return sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B> &&
           is_number(std::type_identity<A>()) == is_number(std::type_identity<B>());
  }
}

// NOLINTBEGIN(readability-named-parameter)
template <typename R, typename... A, typename S, typename... B>
constexpr bool SameAbi(R (*)(A...), S (*)(B...)) {
  if constexpr (sizeof...(A) != sizeof...(B)) {
    return false;
  } else {
    return SameSort<R, S>() && (SameSort<A, B>() && ...);
  }
}
// NOLINTEND(readability-named-parameter)

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_SAME_ABI_H_
