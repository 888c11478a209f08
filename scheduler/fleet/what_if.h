// What-if: changes to a fleet before it is simulated.
//
// Pure.
#ifndef HET_SCHEDULER_FLEET_WHAT_IF_H_
#define HET_SCHEDULER_FLEET_WHAT_IF_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/fleet/trace.h"

namespace het::fleet {

// "G2=20".
struct ModelCount {
  std::string model;
  int count = 0;
};
// InvalidArgument for anything but MODEL=NUMBER with a number from 1 to 1,000,000.
absl::StatusOr<ModelCount> ParseModelCount(absl::string_view text);

// Each NotFound names the models there are; ResourceExhausted says how many nodes there are.
//
// Adds nodes like the most common one with this model.
absl::Status AddNodes(Fleet& fleet, const ModelCount& change);
// Removes the last nodes with this model.
absl::Status RemoveNodes(Fleet& fleet, const ModelCount& change);
// Cuts every device of this model into equal parts, compute and memory; a job then gets parts, and
// one that asks for more than a part of a device fits there no more.
absl::Status CutDevices(Fleet& fleet, const ModelCount& change);

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_WHAT_IF_H_
