// SharedPages: a sealed memfd and its mapping. The creator maps it for writing; whoever gets the
// descriptor maps it as the descriptor allows. Sizes are sealed, so that no peer can shrink a page
// under a reader.
//
// Ownership: unique; the destructor unmaps and closes. Threads: immutable after construction.
#ifndef HET_PARTITION_SHARED_PAGES_H_
#define HET_PARTITION_SHARED_PAGES_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace het {

// A file descriptor that closes itself.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

class SharedPages {
 public:
  SharedPages() = default;
  SharedPages(SharedPages&& other) noexcept
      : fd_(std::move(other.fd_)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  SharedPages& operator=(SharedPages&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~SharedPages();

  // Zeroed memory, mapped for writing, its size sealed, of mode 0600 (a memfd is 0777 by birth:
  // anybody holding a read-only descriptor could open it again for writing). It belongs to this
  // process's user, so that only the descriptors it hands out can write.
  static absl::StatusOr<SharedPages> Create(const std::string& name, size_t bytes);
  // Maps what somebody else made; takes the descriptor. FailedPrecondition when it is not sealed or
  // smaller than `bytes`.
  static absl::StatusOr<SharedPages> Map(UniqueFd fd, size_t bytes, bool writable);

  // The same file through a descriptor that cannot write, whoever holds it.
  absl::StatusOr<UniqueFd> ReadOnlyDescriptor() const;
  absl::StatusOr<UniqueFd> WritableDescriptor() const;

  int descriptor() const { return fd_.get(); }  // stays this object's
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool valid() const { return data_ != nullptr; }

 private:
  UniqueFd fd_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace het

#endif  // HET_PARTITION_SHARED_PAGES_H_
