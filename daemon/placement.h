// Placement: which devices a request gets that names none. hetd places on its node with the
// policies of scheduler/fleet/, and keeps the reason with the slice.
//
// To a policy, devices that are alike (vendor, name, backend, memory) are a node; a request for
// several goes to devices of one kind, of an island linked directly or a NUMA node where one holds
// them. The policy knows what is granted now and what is asked, and expects as many requests for
// whole devices; nothing else: the same books give the same placement, also after a restart.
//
// Pure functions of the request and the books; leasing the result is the caller's.
#ifndef HET_DAEMON_PLACEMENT_H_
#define HET_DAEMON_PLACEMENT_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/topology.h"
#include "partition/ledger.h"
#include "partition/slice.h"

namespace het::daemon {

inline constexpr char kPlacementPolicy[] = "het";

// The requests with a device each: those that ask for `devices` become so many, with the reason in
// `placement`; others stay as they are. Requests are placed in turn, each beside those before it.
// `closed`: devices that the caller may not use now, by UUID. ResourceExhausted with a Shortage
// says what the best device has free; NotFound when there is no device of the kind.
absl::StatusOr<std::vector<SliceRequest>> PlaceSlices(const std::vector<SliceRequest>& requests,
                                                      const Ledger& ledger,
                                                      const Topology& topology,
                                                      const std::set<std::string>& closed = {});

}  // namespace het::daemon

#endif  // HET_DAEMON_PLACEMENT_H_
