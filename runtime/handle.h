// Handle: what a pointer of the C ABI points to. It carries a tag, so that a null, a handle of
// another kind or one that was released is told with an error instead of a crash where that can be
// seen at all.
//
// Reference-counted: the caller's handle is one reference, children hold others. Threads: counting
// is thread-safe.
#ifndef HET_RUNTIME_HANDLE_H_
#define HET_RUNTIME_HANDLE_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/ref.h"

namespace het::runtime {

enum class HandleKind : uint32_t {
  kGone = 0xdead'4e7au,
  kSession = 0x4e7a'0001u,
  kLease,
  kBuffer,
  kTimeline,
  kProgram,
  kQueue,
  kPipeline,
  kRecording,
};

class Handle : public RefCounted {
 public:
  HandleKind kind() const { return kind_.load(std::memory_order_relaxed); }

 protected:
  explicit Handle(HandleKind kind) : kind_(kind) {}
  ~Handle() override { kind_.store(HandleKind::kGone, std::memory_order_relaxed); }

 private:
  std::atomic<HandleKind> kind_;
};

// T has `static constexpr HandleKind kKind` and `static constexpr const char* kTypeName`. The
// opaque C type of a handle is never defined; its pointer is the address of the Handle base.
template <typename T, typename C>
absl::StatusOr<T*> FromC(const C* c_handle) {
  if (c_handle == nullptr)
    return absl::InvalidArgumentError(absl::StrCat(T::kTypeName, " is NULL"));
  auto* handle = reinterpret_cast<Handle*>(const_cast<C*>(c_handle));
  if (handle->kind() != T::kKind) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a ", T::kTypeName, ", or one that was released"));
  }
  return static_cast<T*>(handle);
}

// Gives one reference to the caller.
template <typename C, typename T>
C* ToC(Ref<T> object) {
  return reinterpret_cast<C*>(static_cast<Handle*>(object.Detach()));
}

// Borrowed.
template <typename C, typename T>
C* BorrowC(T* object) {
  return reinterpret_cast<C*>(static_cast<Handle*>(object));
}

// Takes the caller's reference back. False for what is no T.
template <typename T, typename C>
bool ReleaseC(C* c_handle) {
  const absl::StatusOr<T*> object = FromC<T>(c_handle);
  if (!object.ok()) return false;
  Ref<T>::Adopt(*object);
  return true;
}

}  // namespace het::runtime

#endif  // HET_RUNTIME_HANDLE_H_
