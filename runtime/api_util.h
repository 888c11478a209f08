// The border of libhet: what every function of the C ABI does with statuses, structs and
// exceptions. Nothing here is exported.
#ifndef HET_RUNTIME_API_UTIL_H_
#define HET_RUNTIME_API_UTIL_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "het/het.h"

struct het_error {
  het_code code;
  std::string message;
};

namespace het::runtime {

// Null for OK. Never fails: when there is no memory for the message it gives a shared error.
het_status ToCStatus(const absl::Status& status) noexcept;
het_status OutOfMemory() noexcept;
// Does not take ownership.
absl::Status FromCStatus(het_status status);

// Runs the body of an API function, which returns absl::Status. No exception leaves.
template <typename Body>
het_status Guard(Body body) noexcept {
  try {
    return ToCStatus(body());
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  } catch (const std::exception& error) {
    return ToCStatus(absl::InternalError(error.what()));
  } catch (...) {
    return ToCStatus(absl::InternalError("an unknown exception"));
  }
}

// How long a struct must be at least: up to the members that always count. What an older caller's
// struct does not have is taken as zero.
template <typename T>
struct StructTraits;
#define HET_STRUCT(type, first_optional)                             \
  template <>                                                        \
  struct StructTraits<type> {                                        \
    static constexpr const char* kName = #type;                      \
    static constexpr size_t kLeast = offsetof(type, first_optional); \
  }
HET_STRUCT(het_session_options, socket);
HET_STRUCT(het_device_info, compute_units);
HET_STRUCT(het_slice_request, policy);
HET_STRUCT(het_lease_info, memory_used_bytes);
HET_STRUCT(het_program_source, options);
HET_STRUCT(het_sync, signal);
HET_STRUCT(het_launch, flops);
HET_STRUCT(het_matrix_product, accumulate);
HET_STRUCT(het_plan_problem, link_ms);
HET_STRUCT(het_stage, output_capacity);
HET_STRUCT(het_pipeline_options, in_flight);
HET_STRUCT(het_item, done);
HET_STRUCT(het_stage_stats, transfer_ns);
#undef HET_STRUCT

constexpr size_t kAbsurdStructBytes = 4096;

template <typename T>
absl::Status CheckStructSize(const T* in) {
  using Traits = StructTraits<T>;
  if (in == nullptr) return absl::InvalidArgumentError(absl::StrCat(Traits::kName, " is NULL"));
  if (in->struct_size < Traits::kLeast || in->struct_size > kAbsurdStructBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(Traits::kName, ".struct_size is ", in->struct_size, ", this libhet knows ",
                     Traits::kLeast, " to ", sizeof(T), "; set it with HET_INIT"));
  }
  return absl::OkStatus();
}

// The caller's struct at this library's size. A newer caller's members must be unused (zero).
template <typename T>
absl::StatusOr<T> CopyIn(const T* in) {
  HET_RETURN_IF_ERROR(CheckStructSize(in));
  T out;
  std::memset(&out, 0, sizeof(T));
  const size_t size = in->struct_size;
  std::memcpy(&out, in, std::min(size, sizeof(T)));
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      return absl::UnimplementedError(
          absl::StrCat(StructTraits<T>::kName, " uses members of a newer libhet than this one"));
    }
  }
  out.struct_size = sizeof(T);
  return out;
}

// Fills at most the caller's struct_size bytes, and keeps that size.
template <typename T>
absl::Status CopyOut(const T& value, T* out) {
  HET_RETURN_IF_ERROR(CheckStructSize(out));
  const size_t size = out->struct_size;
  std::memcpy(out, &value, std::min(size, sizeof(T)));
  out->struct_size = size;
  return absl::OkStatus();
}

inline absl::Status NullOutput(const char* name) {
  return absl::InvalidArgumentError(absl::StrCat("output ", name, " is NULL"));
}

inline std::string Text(const char* text) { return text == nullptr ? "" : text; }

}  // namespace het::runtime

#endif  // HET_RUNTIME_API_UTIL_H_
