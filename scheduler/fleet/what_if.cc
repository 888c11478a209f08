#include "scheduler/fleet/what_if.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace het::fleet {
namespace {

constexpr int kMaxCount = 1'000'000;

// The nodes that have devices of this model.
absl::StatusOr<std::vector<size_t>> NodesOf(const Fleet& fleet, const std::string& model) {
  std::vector<size_t> nodes;
  const auto number = fleet.models.Find(model);
  for (size_t n = 0; number && n < fleet.nodes.size(); ++n) {
    if (fleet.nodes[n].devices > 0 && fleet.nodes[n].model == *number) nodes.push_back(n);
  }
  if (!nodes.empty()) return nodes;
  std::string known;
  for (int i = 0; i < fleet.models.size(); ++i)
    absl::StrAppend(&known, i ? ", " : "", fleet.models[i]);
  return absl::NotFoundError(absl::StrCat("no node has a ", model, "; there are: ", known));
}

}  // namespace

absl::StatusOr<ModelCount> ParseModelCount(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '=');
  ModelCount result;
  if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &result.count) ||
      result.count < 1 || result.count > kMaxCount) {
    return absl::InvalidArgumentError(absl::StrCat("MODEL=NUMBER expected, such as G2=20, \"",
                                                   text.substr(0, 60), "\" is there"));
  }
  result.model = parts[0];
  return result;
}

absl::Status AddNodes(Fleet& fleet, const ModelCount& change) {
  HET_ASSIGN_OR_RETURN(const std::vector<size_t> nodes, NodesOf(fleet, change.model));
  size_t best = nodes.front();
  int most = 0;
  for (const size_t n : nodes) {
    int alike = 0;
    for (const size_t other : nodes) alike += fleet.nodes[other] == fleet.nodes[n] ? 1 : 0;
    if (alike <= most) continue;
    best = n;
    most = alike;
  }
  for (int i = 0; i < change.count; ++i) {
    fleet.nodes.push_back(fleet.nodes[best]);
    fleet.names.push_back(absl::StrCat("added-", change.model, "-", i));
    fleet.cost_per_hour.push_back(fleet.cost_per_hour[best]);
  }
  return absl::OkStatus();
}

absl::Status RemoveNodes(Fleet& fleet, const ModelCount& change) {
  HET_ASSIGN_OR_RETURN(const std::vector<size_t> nodes, NodesOf(fleet, change.model));
  if (nodes.size() < static_cast<size_t>(change.count)) {
    return absl::ResourceExhaustedError(absl::StrCat("asked to remove ", change.count,
                                                     " nodes with ", change.model, ", ",
                                                     nodes.size(), " are there"));
  }
  for (int i = 0; i < change.count; ++i) {
    const auto n = static_cast<std::ptrdiff_t>(nodes[nodes.size() - 1 - static_cast<size_t>(i)]);
    fleet.nodes.erase(fleet.nodes.begin() + n);
    fleet.names.erase(fleet.names.begin() + n);
    fleet.cost_per_hour.erase(fleet.cost_per_hour.begin() + n);
  }
  return absl::OkStatus();
}

absl::Status CutDevices(Fleet& fleet, const ModelCount& change) {
  HET_ASSIGN_OR_RETURN(const std::vector<size_t> nodes, NodesOf(fleet, change.model));
  for (const size_t n : nodes) {
    NodeSpec& node = fleet.nodes[n];
    if (int64_t{node.devices} * change.count > kMaxDevices) {
      return absl::InvalidArgumentError(
          absl::StrCat("cutting ", node.devices, " ", change.model, " into ", change.count,
                       " each gives ", int64_t{node.devices} * change.count,
                       " parts on a node, at most ", kMaxDevices, " will do"));
    }
    node.devices *= change.count;
    // Parts of a device are no further from each other than the device was from others.
    node.devices_per_island = static_cast<int16_t>(node.devices_per_island * change.count);
    node.devices_per_numa = static_cast<int16_t>(node.devices_per_numa * change.count);
    node.device_milli /= change.count;
    node.device_memory_mib /= change.count;
  }
  return absl::OkStatus();
}

}  // namespace het::fleet
