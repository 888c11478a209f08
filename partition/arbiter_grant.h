// SeatGrant: what the owner of an arbiter hands to a process that takes a seat: which seat, and the
// descriptors of the shared memory. hetd sends the descriptors with SCM_RIGHTS; in one process they
// are passed as they are.
#ifndef HET_PARTITION_ARBITER_GRANT_H_
#define HET_PARTITION_ARBITER_GRANT_H_

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "partition/shared_pages.h"

namespace het {

// Brings the read-only descriptor of a region that did not exist when the seat was granted. Called
// from a thread of the seat's own, never on the way of a launch; it may block.
using RegionProvider = std::function<absl::StatusOr<UniqueFd>(uint32_t region)>;

struct SeatGrant {
  uint32_t slot = 0;
  uint32_t epoch = 0;
  uint32_t lease = 0;                                        // index, see ArbiterHost::AddLease
  uint32_t region = 0;                                       // the lease's, writable
  UniqueFd control_fd;                                       // read-only
  UniqueFd region_fd;                                        // read-write
  std::vector<std::pair<uint32_t, UniqueFd>> other_regions;  // read-only
  RegionProvider provider;                                   // may be null
};

}  // namespace het

#endif  // HET_PARTITION_ARBITER_GRANT_H_
