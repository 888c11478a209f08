#include "partition/shared_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"

namespace het {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

SharedPages::~SharedPages() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

absl::StatusOr<SharedPages> SharedPages::Create(const std::string& name, size_t bytes) {
  UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("make shared memory ", name));
  if (fchmod(fd.get(), 0600) != 0) return ErrnoStatus(errno, "set the mode of shared memory");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("reserve ", bytes, " bytes of shared memory"));
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSizeSeals) != 0) {
    return ErrnoStatus(errno, "seal the size of shared memory");
  }
  return Map(std::move(fd), bytes, /*writable=*/true);
}

absl::StatusOr<SharedPages> SharedPages::Map(UniqueFd fd, size_t bytes, bool writable) {
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "look at shared memory");
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return absl::FailedPreconditionError(
        "the shared memory of an arbiter must be a memfd whose size is sealed");
  }
  if (static_cast<size_t>(info.st_size) < bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("the shared memory has ", info.st_size, " bytes, this version needs ", bytes));
  }
  SharedPages pages;
  void* data =
      mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return ErrnoStatus(errno, "map shared memory");
  pages.fd_ = std::move(fd);
  pages.data_ = data;
  pages.bytes_ = bytes;
  return pages;
}

absl::StatusOr<UniqueFd> SharedPages::ReadOnlyDescriptor() const {
  // Opened anew: a duplicate would carry the writable open file description along.
  const std::string path = absl::StrCat("/proc/self/fd/", fd_.get());
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path, " for reading"));
  return fd;
}

absl::StatusOr<UniqueFd> SharedPages::WritableDescriptor() const {
  UniqueFd fd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "duplicate the descriptor of shared memory");
  return fd;
}

}  // namespace het
