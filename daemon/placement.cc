#include "daemon/placement.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "partition/refusal.h"
#include "scheduler/fleet/het_policy.h"

namespace het::daemon {
namespace {

using fleet::Choice;
using fleet::DeviceFree;
using fleet::JobSpec;
using fleet::NodeSpec;
using fleet::NodeState;

constexpr uint32_t kPartsPerMilli = Share::kWhole / fleet::kWholeDevice;

// Rounded up: what is placed fits.
int32_t MilliOf(Share share) {
  return static_cast<int32_t>((share.parts() + kPartsPerMilli - 1) / kPartsPerMilli);
}
int32_t MibOf(uint64_t bytes) {
  return static_cast<int32_t>(std::min<uint64_t>((bytes + kMiB - 1) / kMiB, fleet::kMaxMemoryMib));
}

JobSpec JobOf(const SliceRequest& request) {
  JobSpec job;
  job.devices = static_cast<int32_t>(std::max<uint32_t>(request.devices, 1));
  job.milli = request.policy == Policy::kBestEffort ? 1 : MilliOf(request.share);
  job.device_memory_mib = MibOf(request.memory_bytes);
  return job;
}

bool IsChosen(const SliceRequest& request) { return request.devices > 0; }

// A device and what the requests before have left of it.
struct Candidate {
  const DeviceInfo* device = nullptr;
  std::string pool;  // one silicon
  DeviceFree free;
};

// Devices that are alike.
struct Kind {
  NodeSpec spec;
  std::vector<Candidate*> devices;
};

class Node {
 public:
  Node(const Ledger& ledger, const Topology& topology, const std::set<std::string>& closed)
      : ledger_(ledger) {
    for (const DeviceInfo& device : ledger.devices()) {
      Candidate candidate = {&device, ledger.PoolOf(device.uuid), {}};
      if (!closed.contains(device.uuid)) {
        const Amount free = ledger.FreeOf(device);
        candidate.free.milli = static_cast<int32_t>(free.share.parts() / kPartsPerMilli);
        candidate.free.memory_mib = static_cast<int32_t>(
            std::min<uint64_t>(free.memory_bytes / kMiB, fleet::kMaxMemoryMib));
      }
      candidate.free.numa = static_cast<int16_t>(
          std::min<uint32_t>(NumaNodeOf(topology, device).value_or(device.numa_node), 1000));
      candidates_.push_back(candidate);
    }
    FindIslands(topology);
    std::map<std::tuple<std::string, std::string, std::string, uint64_t>, size_t> numbers;
    for (Candidate& candidate : candidates_) {
      const DeviceInfo& device = *candidate.device;
      const auto [found, fresh] = numbers.try_emplace(
          {device.vendor, device.name, device.backend, device.memory_bytes}, kinds_.size());
      if (fresh) kinds_.emplace_back();
      Kind& kind = kinds_[found->second];
      // Two names of one silicon are no two devices.
      const bool twice = std::any_of(kind.devices.begin(), kind.devices.end(),
                                     [&](const Candidate* c) { return c->pool == candidate.pool; });
      if (twice || kind.devices.size() >= fleet::kMaxDevices) continue;
      kind.devices.push_back(&candidate);
      kind.spec.devices = static_cast<int32_t>(kind.devices.size());
      kind.spec.device_memory_mib = MibOf(device.memory_bytes);
    }
  }

  absl::StatusOr<std::vector<SliceRequest>> Place(const SliceRequest& request,
                                                  const fleet::Policy& policy);
  // A request that named its device takes it from those that come after.
  void Take(const SliceRequest& request) {
    for (const Candidate& candidate : candidates_) {
      if (candidate.device->uuid == request.device) return Take(candidate.pool, JobOf(request));
    }
  }
  std::vector<NodeSpec> Specs() const {
    std::vector<NodeSpec> specs;
    for (const Kind& kind : kinds_) specs.push_back(kind.spec);
    return specs;
  }

 private:
  void FindIslands(const Topology& topology) {
    for (size_t i = 0; i < candidates_.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const LinkPath path = PathBetween(topology, *candidates_[i].device, *candidates_[j].device);
        if (path.kind != LinkKind::kDirect) continue;
        if (candidates_[j].free.island == 0)
          candidates_[j].free.island = static_cast<int16_t>(j + 1);
        const int16_t from = candidates_[i].free.island, to = candidates_[j].free.island;
        candidates_[i].free.island = to;
        for (size_t k = 0; k < i && from != 0; ++k) {
          if (candidates_[k].free.island == from) candidates_[k].free.island = to;
        }
      }
    }
  }

  void Take(const std::string& pool, const JobSpec& job) {
    for (Candidate& candidate : candidates_) {
      if (candidate.pool != pool) continue;
      candidate.free.milli = std::max(0, candidate.free.milli - job.milli);
      candidate.free.memory_mib = std::max(0, candidate.free.memory_mib - job.device_memory_mib);
    }
  }

  // What is free of a kind, and which device stands at each place.
  static NodeState StateOf(const Kind& kind, std::vector<const Candidate*>& order) {
    order.assign(kind.devices.begin(), kind.devices.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const Candidate* a, const Candidate* b) { return a->free < b->free; });
    NodeState state;
    state.device_memory_known = true;
    state.device_count = static_cast<int8_t>(order.size());
    for (size_t i = 0; i < order.size(); ++i) state.devices[i] = order[i]->free;
    return state;
  }

  absl::Status Refuse(const SliceRequest& request, int of_kind) const;

  const Ledger& ledger_;
  std::vector<Candidate> candidates_;
  std::vector<Kind> kinds_;
};

absl::Status Node::Refuse(const SliceRequest& request, int of_kind) const {
  const std::string what = request.kind.empty() ? "device" : request.kind + " device";
  if (of_kind == 0) {
    return absl::NotFoundError(absl::StrCat("there is no ", what, " that can be used; hetctl get ",
                                            "devices lists what there is"));
  }
  Shortage shortage;
  shortage.requested = {request.share, request.memory_bytes};
  const Candidate* best = nullptr;
  size_t alike = 0;
  uint64_t most_memory = 0;
  for (const Kind& kind : kinds_) {
    for (const Candidate* candidate : kind.devices) {
      if (!request.kind.empty() && DeviceKindName(candidate->device->kind) != request.kind)
        continue;
      alike = std::max(alike, kind.devices.size());
      most_memory = std::max(most_memory, candidate->device->memory_bytes);
      if (best == nullptr || candidate->free > best->free) best = candidate;
    }
  }
  shortage.device = best->device->uuid;
  shortage.free = ledger_.FreeOf(*best->device);
  shortage.largest_free = shortage.free;
  shortage.never_fits = alike < request.devices || request.memory_bytes > most_memory;
  return NoCapacity(
      absl::StrCat(
          "asked ", FormatShare(request.share), " and ", FormatBytes(request.memory_bytes),
          " on each of ", request.devices, " alike ", what, request.devices > 1 ? "s" : "",
          shortage.never_fits
              ? absl::StrCat(", at most ", alike, " are alike and none has more than ",
                             FormatBytes(most_memory), "; this can never fit")
              : absl::StrCat(", which nothing has free; the most is ",
                             FormatShare(shortage.free.share), " and ",
                             FormatBytes(shortage.free.memory_bytes), " of ", best->device->uuid)),
      shortage);
}

absl::StatusOr<std::vector<SliceRequest>> Node::Place(const SliceRequest& request,
                                                      const fleet::Policy& policy) {
  const JobSpec job = JobOf(request);
  struct Best {
    Choice choice;
    NodeState state;
    std::vector<const Candidate*> order;
  };
  std::optional<Best> best;
  int of_kind = 0, fitting = 0;
  for (const Kind& kind : kinds_) {
    const DeviceInfo& sample = *kind.devices.front()->device;
    if (!request.kind.empty() && DeviceKindName(sample.kind) != request.kind) continue;
    ++of_kind;
    Best here;
    here.state = StateOf(kind, here.order);
    if (!here.state.Fits(job)) continue;
    ++fitting;
    here.choice = policy.Evaluate(here.state, job);
    if (!best || here.choice.cost < best->choice.cost) best = std::move(here);
  }
  if (!best) return Refuse(request, of_kind);
  const bool linked = job.devices > 1;
  constexpr absl::string_view kNear[] = {"; they are linked directly", "; they share a NUMA node",
                                         "; no island or NUMA node has room for all"};
  const std::string reason = absl::StrFormat(
      "policy %s, %d of %d kinds of device had room: %s%s", std::string(policy.name()), fitting,
      of_kind, policy.Explain(best->state, job, best->choice),
      linked ? std::string(kNear[static_cast<int>(NearnessOf(best->state, best->choice.places))])
             : "");
  std::vector<SliceRequest> placed;
  for (size_t i = 0; i < best->order.size(); ++i) {
    if ((best->choice.places >> i & 1) == 0) continue;
    SliceRequest slice = request;
    slice.devices = 0;
    slice.kind.clear();
    slice.device = best->order[i]->device->uuid;
    slice.placement = reason;
    placed.push_back(std::move(slice));
  }
  for (const SliceRequest& slice : placed) Take(slice);
  return placed;
}

}  // namespace

absl::StatusOr<std::vector<SliceRequest>> PlaceSlices(const std::vector<SliceRequest>& requests,
                                                      const Ledger& ledger,
                                                      const Topology& topology,
                                                      const std::set<std::string>& closed) {
  if (std::none_of(requests.begin(), requests.end(), IsChosen)) return requests;
  Node node(ledger, topology, closed);
  std::vector<fleet::Demand> known;
  for (const auto& [id, slice] : ledger.slices()) {
    SliceRequest alike;
    alike.share = slice.share;
    alike.memory_bytes = slice.memory_bytes;
    alike.policy = slice.policy;
    known.push_back({JobOf(alike), 1});
  }
  for (const SliceRequest& request : requests) {
    if (request.name.empty()) known.push_back({JobOf(request), 1});
  }
  // One node sees few requests: the next may be for a whole device as well as for a part.
  JobSpec whole;
  whole.devices = 1;
  whole.milli = fleet::kWholeDevice;
  known.push_back({whole, static_cast<double>(known.size())});
  const fleet::HetPolicy policy(node.Specs(), known);
  std::vector<SliceRequest> placed;
  for (const SliceRequest& request : requests) {
    if (!IsChosen(request)) {
      node.Take(request);
      placed.push_back(request);
      continue;
    }
    HET_ASSIGN_OR_RETURN(std::vector<SliceRequest> chosen, node.Place(request, policy));
    for (SliceRequest& slice : chosen) placed.push_back(std::move(slice));
  }
  return placed;
}

}  // namespace het::daemon
