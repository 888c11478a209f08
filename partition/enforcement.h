// Enforcement: in words, what holds a slice to its compute and its memory, and what does not. Says
// no more than is true of the mechanism that was chosen. Functions only; any thread.
#ifndef HET_PARTITION_ENFORCEMENT_H_
#define HET_PARTITION_ENFORCEMENT_H_

#include <string>

#include "devices/device_info.h"
#include "partition/slice.h"

namespace het {

struct Enforcement {
  std::string compute;
  std::string memory;
};

Enforcement EnforcementOf(const Slice& slice, const DeviceInfo& device);

}  // namespace het

#endif  // HET_PARTITION_ENFORCEMENT_H_
