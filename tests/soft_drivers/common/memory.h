// Memory: the memory of soft cards. An address is the host's own, so that PoCL can use it, but
// every piece belongs to a card (or is pinned host memory), counts against the card's size, and is
// checked when work touches it: what was freed, or never allocated, is a fault as it is on a
// device.
//
// Threads: all members are thread-safe.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_MEMORY_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_MEMORY_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace het::soft {

inline constexpr int kHostMemory = -1;  // instead of a card's number: pinned host memory

struct Piece {
  char* begin = nullptr;
  uint64_t bytes = 0;
  int card = kHostMemory;
  bool registered = false;  // the caller's memory, pinned in place
};

class Memory {
 public:
  // Sets a card's size; what is not set has none.
  void SetSize(int card, uint64_t bytes);
  // Null when the card is full, or the machine is.
  void* Allocate(int card, uint64_t bytes);
  // The caller's own memory, from now on known as pinned host memory. False: part of it is known.
  bool Register(void* address, uint64_t bytes);
  // False: no piece begins there.
  bool Free(void* address);

  // The piece that holds [address, address + bytes); bytes 0 where there is none.
  Piece Find(const void* address, uint64_t bytes = 1) const;
  uint64_t used(int card) const;
  uint64_t size(int card) const;
  // Bytes of the card that are taken without an address (contexts).
  void Reserve(int card, int64_t bytes);

 private:
  mutable std::mutex mutex_;
  std::map<const char*, Piece> pieces_;  // by begin
  std::map<int, uint64_t> used_, sizes_;
};

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_MEMORY_H_
