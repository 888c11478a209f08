// MappedFile: a whole file mapped read-only. Pages come from the page cache, so several processes
// and stages share them.
//
// Movable; the mapping lives as long as the object and its address never changes. Thread-safe once
// made. Errors (no file, no right to read, not a file) are thrown as Error. A file that another
// program shortens while it is mapped ends this process with SIGBUS, as it does every program that
// maps files.
#ifndef HET_ENGINE_MAPPED_FILE_H_
#define HET_ENGINE_MAPPED_FILE_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace hetllm {

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(other.size_) {}
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(address_), size_};
  }

 private:
  void* address_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hetllm

#endif  // HET_ENGINE_MAPPED_FILE_H_
