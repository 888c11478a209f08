// ModelAcquire: from "this model, on what is free" to slices and stages. Pure functions of the
// request and the books; leasing the result is the caller's.
//
// Of devices that are the same silicon only the one that runs the model fastest is offered, so that
// no plan uses the same cores twice. A layer's time on a slice is the larger of its bytes over the
// slice's part of the measured bandwidth, and its flops over the slice's part of the measured
// compute; a device that was not measured counts as typical of its kind. A transfer takes
// kLinkLatencyMs and goes at kLinkBytesPerSecond where nobody measured it.
#ifndef HET_DAEMON_MODEL_ACQUIRE_H_
#define HET_DAEMON_MODEL_ACQUIRE_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partition/ledger.h"
#include "partition/slice.h"
#include "protocol/messages.h"
#include "scheduler/instance.h"

namespace het::daemon {

inline constexpr double kLinkLatencyMs = 0.05;
inline constexpr double kLinkBytesPerSecond = 10e9;
// Input and output of a stage, each twice, so that transfers overlap the work.
inline constexpr uint64_t kActivationBuffers = 4;

struct ModelDecision {
  protocol::ModelPlan plan;
  std::vector<SliceRequest> slices;  // in the order of plan.stages
};

// The part of a device that a plan may use.
struct Offer {
  const DeviceInfo* device = nullptr;
  Amount amount;
};
// `closed`: devices that the caller may not use now, by UUID.
std::vector<Offer> OffersFor(const protocol::ModelRequest& request, const Ledger& ledger,
                             const std::set<std::string>& closed = {});

// Milliseconds of one layer on the offered part of a device.
double LayerMs(const protocol::ModelLayer& layer, const Offer& offer);

scheduler::Instance InstanceFor(const protocol::ModelRequest& request,
                                const std::vector<Offer>& offers);

// ResourceExhausted with a Shortage (memory over all devices) when it does not fit what is free;
// never_fits when it would not fit with everything free.
absl::StatusOr<ModelDecision> DecideModel(const protocol::ModelRequest& request,
                                          const Ledger& ledger,
                                          const std::set<std::string>& closed = {});

}  // namespace het::daemon

#endif  // HET_DAEMON_MODEL_ACQUIRE_H_
