// Block: why a launch has to wait for its turn on a shared device. Names for people included.
#ifndef HET_PARTITION_ARBITER_BLOCK_H_
#define HET_PARTITION_ARBITER_BLOCK_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace het {

enum class Block : uint32_t {
  kNone = 0,
  kShare = 1,     // another lease is owed more
  kPriority = 2,  // a higher class waits or runs
  kHold = 3,      // a guaranteed peer that is owed time is about to come back
  kDepth = 4,     // enough is in flight
  kCap = 5,       // the lease's hard cap
  kTurn = 6,      // another process of the same lease waited longer
  kRevoked = 7,   // the seat was taken away
};
inline constexpr uint32_t kBlockReasons = 8;

inline absl::string_view BlockName(Block block) {
  constexpr absl::string_view kNames[kBlockReasons] = {"none",  "share", "priority", "hold",
                                                       "depth", "cap",   "turn",     "revoked"};
  const uint32_t index = static_cast<uint32_t>(block);
  return index < kBlockReasons ? kNames[index] : "unknown";
}

}  // namespace het

#endif  // HET_PARTITION_ARBITER_BLOCK_H_
