#include "daemon/model_acquire.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "partition/refusal.h"
#include "scheduler/planner.h"

namespace het::daemon {
namespace {

using protocol::ModelLayer;
using protocol::ModelRequest;

// The loop waits for a plan, so its work is bounded: about 0.2 s at the worst.
constexpr int64_t kMaxExpansions = 100'000;
constexpr int64_t kMaxTableBytes = int64_t{16} << 20;

struct Rates {
  double bytes_per_s;
  double flops_per_s;
};

// What a device of this kind has at least, roughly; only for devices that nobody measured.
Rates TypicalRates(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kCpu:
      return {10e9, 50e9};
    case DeviceKind::kGpu:
      return {200e9, 5e12};
    case DeviceKind::kNpu:
      return {50e9, 2e12};
    case DeviceKind::kAccelerator:
      return {100e9, 2e12};
  }
  return {10e9, 50e9};
}

Rates RatesOf(const DeviceInfo& device) {
  Rates rates = TypicalRates(device.kind);
  if (device.memory_bytes_per_s > 0) rates.bytes_per_s = device.memory_bytes_per_s;
  if (device.flops_per_s > 0) rates.flops_per_s = device.flops_per_s;
  return rates;
}

double ModelMs(const ModelRequest& request, const Offer& offer) {
  double ms = 0;
  for (const ModelLayer& layer : request.model.layers) {
    ms += LayerMs(layer, offer) * static_cast<double>(layer.count);
  }
  return ms;
}

bool SharesHardware(const DeviceInfo& a, const DeviceInfo& b) {
  const auto& links = a.shares_hardware_with;
  return std::find(links.begin(), links.end(), b.uuid) != links.end();
}

uint64_t ReservedBytes(const ModelRequest& request) {
  return request.model.activation_bytes * kActivationBuffers;
}

Shortage ModelShortage(const ModelRequest& request, const std::vector<Offer>& offers) {
  Shortage shortage;
  for (const ModelLayer& layer : request.model.layers) {
    shortage.requested.memory_bytes += (layer.weight_bytes + layer.kv_bytes) * layer.count;
  }
  for (const Offer& offer : offers) {
    shortage.free.memory_bytes += offer.amount.memory_bytes;
    shortage.free.share = std::max(shortage.free.share, offer.amount.share);
    if (offer.amount.memory_bytes > shortage.largest_free.memory_bytes) {
      shortage.largest_free = offer.amount;
    }
  }
  return shortage;
}

absl::StatusOr<scheduler::Plan> PlanOn(const std::vector<Offer>& offers,
                                       const scheduler::Instance& instance) {
  if (offers.empty()) return absl::ResourceExhaustedError("no device has anything free");
  scheduler::PlannerOptions options;
  options.max_expansions = kMaxExpansions;
  options.max_table_bytes = kMaxTableBytes;
  return scheduler::MakePlan(instance, options);
}

// Whether the model would fit if nothing were leased.
bool FitsWhenAllIsFree(const ModelRequest& request, const Ledger& ledger) {
  Ledger empty([] { return std::string(); });
  empty.SetInventory(ledger.devices());
  const std::vector<Offer> offers = OffersFor(request, empty);
  return PlanOn(offers, InstanceFor(request, offers)).ok();
}

ModelDecision DecisionFrom(const scheduler::Plan& plan, const scheduler::Instance& instance,
                           const std::vector<Offer>& offers) {
  ModelDecision decision;
  decision.plan.bottleneck_ms = plan.bottleneck_ms;
  decision.plan.latency_ms = plan.latency_ms;
  decision.plan.optimal = plan.optimal;
  decision.plan.in_flight = static_cast<uint64_t>(plan.groups_in_flight);
  for (const scheduler::Stage& stage : plan.stages) {
    const Offer& offer = offers[static_cast<size_t>(stage.slice)];
    protocol::ModelStage out;
    out.device = offer.device->uuid;
    out.share = offer.amount.share;
    const int64_t bytes = instance.StageBytes(stage.slice, stage.begin, stage.end);
    out.memory_bytes =
        std::max<uint64_t>(kMiB, (static_cast<uint64_t>(bytes) + kMiB - 1) / kMiB * kMiB);
    out.begin = static_cast<uint64_t>(stage.begin);
    out.end = static_cast<uint64_t>(stage.end);
    out.ms = instance.StageMs(stage.slice, stage.begin, stage.end);
    decision.slices.push_back({out.device, out.share, out.memory_bytes, Policy::kGuaranteed});
    decision.plan.stages.push_back(std::move(out));
  }
  return decision;
}

}  // namespace

double LayerMs(const ModelLayer& layer, const Offer& offer) {
  const Rates rates = RatesOf(*offer.device);
  const double fraction = offer.amount.share.fraction();
  const double bytes =
      static_cast<double>(layer.weight_bytes) + static_cast<double>(layer.kv_bytes);
  return 1e3 * std::max(bytes / rates.bytes_per_s, layer.flops / rates.flops_per_s) / fraction;
}

std::vector<Offer> OffersFor(const ModelRequest& request, const Ledger& ledger,
                             const std::set<std::string>& closed) {
  std::vector<Offer> offers;
  for (const DeviceInfo& device : ledger.devices()) {
    if (closed.contains(device.uuid)) continue;
    Offer offer = {&device, ledger.FreeOf(device)};
    offer.amount.share = std::min(offer.amount.share, request.max_share);
    if (offer.amount.share.parts() < kSmallestShareParts || offer.amount.memory_bytes < kMiB) {
      continue;
    }
    const auto same = std::find_if(offers.begin(), offers.end(), [&](const Offer& other) {
      return SharesHardware(*other.device, device);
    });
    if (same == offers.end()) {
      offers.push_back(offer);
    } else if (ModelMs(request, offer) < ModelMs(request, *same)) {
      *same = offer;
    }
  }
  return offers;
}

scheduler::Instance InstanceFor(const ModelRequest& request, const std::vector<Offer>& offers) {
  scheduler::Instance instance;
  instance.objective = request.objective == "latency" ? scheduler::Objective::kLatency
                                                      : scheduler::Objective::kThroughput;
  for (const Offer& offer : offers) {
    scheduler::SliceSpec slice;
    slice.name = offer.device->uuid;
    slice.type = offer.device->name;
    slice.memory_bytes = static_cast<int64_t>(offer.amount.memory_bytes);
    slice.reserved_bytes = static_cast<int64_t>(
        std::min<uint64_t>(ReservedBytes(request), static_cast<uint64_t>(scheduler::kMaxBytes)));
    instance.slices.push_back(std::move(slice));
  }
  for (const ModelLayer& layer : request.model.layers) {
    for (uint64_t copy = 0; copy < layer.count; ++copy) {
      instance.layers.push_back(
          {static_cast<int64_t>(layer.weight_bytes), static_cast<int64_t>(layer.kv_bytes)});
      for (size_t i = 0; i < offers.size(); ++i) {
        instance.slices[i].ms_per_layer.push_back(LayerMs(layer, offers[i]));
      }
    }
  }
  const double transfer_ms =
      1e3 * static_cast<double>(request.model.activation_bytes) / kLinkBytesPerSecond;
  instance.links.assign(offers.size(),
                        std::vector<scheduler::Link>(offers.size(), {kLinkLatencyMs, transfer_ms}));
  return instance;
}

absl::StatusOr<ModelDecision> DecideModel(const ModelRequest& request, const Ledger& ledger,
                                          const std::set<std::string>& closed) {
  const std::vector<Offer> offers = OffersFor(request, ledger, closed);
  const scheduler::Instance instance = InstanceFor(request, offers);
  const absl::StatusOr<scheduler::Plan> plan = PlanOn(offers, instance);
  if (plan.ok()) return DecisionFrom(*plan, instance, offers);
  if (plan.status().code() != absl::StatusCode::kResourceExhausted) return plan.status();
  Shortage shortage = ModelShortage(request, offers);
  shortage.never_fits = !FitsWhenAllIsFree(request, ledger);
  return NoCapacity(
      absl::StrCat(
          "asked ", FormatBytes(shortage.requested.memory_bytes), " for ",
          request.model.name.empty() ? "a model" : request.model.name, ", ",
          FormatBytes(shortage.free.memory_bytes), " are free on ", offers.size(),
          offers.size() == 1 ? " device: " : " devices: ", plan.status().message(),
          shortage.never_fits
              ? "; this can never fit this machine"
              : "; it fits when others release (hetctl acquire --wait 30s waits for that)"),
      shortage);
}

}  // namespace het::daemon
