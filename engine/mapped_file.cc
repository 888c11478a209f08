#include "engine/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/error.h"

namespace hetllm {
namespace {

struct Descriptor {
  explicit Descriptor(int fd) : fd(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) {
      close(fd);
    }
  }
  const int fd;
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) {
    const Exit exit = errno == ENOENT   ? Exit::kNotFound
                      : errno == EACCES ? Exit::kDenied
                                        : Exit::kError;
    throw Error(Cat("cannot open '", path, "': ", std::strerror(errno)), exit);
  }
  struct stat info;
  if (fstat(file.fd, &info) != 0) {
    throw Error(Cat("cannot examine '", path, "': ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) {
    throw Error(Cat("'", path, "' is not a file"));
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ == 0) {
    return;  // nothing to map; the reader says that the file is empty
  }
  void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (address == MAP_FAILED) {
    throw Error(Cat("cannot map '", path, "' (", FormatBytes(size_), "): ", std::strerror(errno)));
  }
  address_ = address;
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) {
    munmap(address_, size_);
  }
}

}  // namespace hetllm
