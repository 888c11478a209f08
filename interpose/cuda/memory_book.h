// MemoryBook: the device memory that this process holds, by what names it: an address, an array, a
// handle of physical memory. Bytes are booked in the lease before the driver is asked, and given
// back after it has freed them; so a record is taken out of the book before the driver frees (the
// address may be another thread's an instant later) and put back where the driver refuses.
//
// Physical memory (cuMemCreate) is held by handles and by mappings: its bytes go back with the
// last of both. Memory that another process made and this one opened is booked like memory of its
// own, when it is mapped.
//
// Threads: all. Failures: a refusal is `false`, and nothing is booked.
#ifndef HET_INTERPOSE_CUDA_MEMORY_BOOK_H_
#define HET_INTERPOSE_CUDA_MEMORY_BOOK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "interpose/plain_mutex.h"
#include "interpose/seat.h"

namespace het::interpose {

class MemoryBook {
 public:
  enum class Kind { kAddress, kArray, kMipmappedArray, kPinned };
  struct Record {
    uint64_t bytes = 0;
    const void* context = nullptr;  // it is gone when this is; null: it outlives contexts
  };

  explicit MemoryBook(Seat& seat) : seat_(seat) {}

  bool Reserve(uint64_t bytes) { return bytes == 0 || seat_.Reserve(bytes).ok(); }
  void GiveBack(uint64_t bytes) {
    if (bytes > 0) seat_.GiveBack(bytes);
  }

  // `record.bytes` are reserved already.
  void Add(Kind kind, uint64_t name, const Record& record);
  // 0 bytes for what is not in the book. The bytes stay reserved.
  Record Take(Kind kind, uint64_t name);
  // The driver has destroyed the context and all that was in it.
  void ForgetContext(const void* context);

  // Physical memory. `bytes` are reserved already; 0: another process's, booked when it is mapped.
  void AddHandle(uint64_t handle, uint64_t bytes);
  // One more handle to what is mapped at `address`.
  void RetainHandle(uint64_t handle, uint64_t address);
  // Before the driver is asked; where it refuses, RestoreHandle with what came back.
  class Physical;
  std::shared_ptr<Physical> ReleaseHandle(uint64_t handle);
  void RestoreHandle(uint64_t handle, std::shared_ptr<Physical> memory);
  // Before the driver maps; false: it is another process's and more than is left.
  bool MayMap(uint64_t bytes, uint64_t handle);
  // The driver has mapped, has unmapped.
  void Map(uint64_t address, uint64_t bytes, uint64_t handle);
  void Unmap(uint64_t address, uint64_t bytes);

 private:
  struct Handle {
    std::shared_ptr<Physical> memory;
    int count = 0;
  };
  struct Mapping {
    uint64_t bytes;
    std::shared_ptr<Physical> memory;
  };

  Seat& seat_;
  PlainMutex mutex_;
  absl::flat_hash_map<std::pair<Kind, uint64_t>, Record> records_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Handle> handles_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Mapping> mappings_ ABSL_GUARDED_BY(mutex_);  // by address
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_CUDA_MEMORY_BOOK_H_
