// MappedFile: a whole file mapped read-only. Pages come from the page cache, so several processes
// and stages share them.
//
// Movable; the mapping lives as long as the object and its address never changes. Thread-safe once
// made. Errors (no file, no right to read, not a file) are thrown as Error. A file that another
// program shortens while it is mapped cannot be read on: SIGBUS then ends the process, and
// ExplainBusErrors makes it say why.
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

// From now on a SIGBUS inside a mapped file prints one line that names the file and exits with 1;
// others end the process as before. Called once, before threads start.
void ExplainBusErrors();

}  // namespace hetllm

#endif  // HET_ENGINE_MAPPED_FILE_H_
