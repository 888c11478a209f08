#include "engine/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>

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

// What is mapped now, for the signal handler: an entry is written before its `begin`, with which it
// becomes valid, and is read by the handler only.
struct Mapping {
  std::atomic<uintptr_t> begin{0};
  uintptr_t end = 0;
  char path[512] = {};
};
Mapping mappings[8];
std::mutex mappings_mutex;  // writers only

void Remember(const std::string& path, const void* address, size_t size) {
  const std::scoped_lock lock(mappings_mutex);
  for (Mapping& mapping : mappings) {
    if (mapping.begin.load(std::memory_order_relaxed) == 0) {
      const auto begin = reinterpret_cast<uintptr_t>(address);
      mapping.end = begin + size;
      mapping.path[path.copy(mapping.path, sizeof(mapping.path) - 1)] = 0;
      // release: who sees it sees end and path.
      mapping.begin.store(begin, std::memory_order_release);
      return;
    }
  }  // too many: their errors stay unexplained
}

void Forget(const void* address) {
  const std::scoped_lock lock(mappings_mutex);
  for (Mapping& mapping : mappings) {
    if (mapping.begin.load(std::memory_order_relaxed) == reinterpret_cast<uintptr_t>(address)) {
      mapping.begin.store(0, std::memory_order_relaxed);
    }
  }
}

void SayAll(const char* text) {
  const ssize_t ignored = write(STDERR_FILENO, text, std::strlen(text));
  (void)ignored;
}

void OnBusError(int, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Mapping& mapping : mappings) {
    const uintptr_t begin = mapping.begin.load(std::memory_order_acquire);
    if (begin != 0 && at >= begin && at < mapping.end) {
      SayAll("hetllm: '");
      SayAll(mapping.path);
      SayAll("' became shorter, or its disk failed, while it was in use; the rest of it is gone\n");
      _exit(1);
    }
  }
  signal(SIGBUS, SIG_DFL);  // the same access again ends the process
}

}  // namespace

void ExplainBusErrors() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

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
  Remember(path, address_, size_);
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) {
    Forget(address_);
    munmap(address_, size_);
  }
}

}  // namespace hetllm
