// hetctl simulate --requests: a request trace on one mixed node, deployments side by side.
//
// Each deployment is planned by scheduler/ for the trace's mean request, or split as other programs
// would; how much memory goes to KV is chosen per deployment, by its own saturated replay, so that
// none is held back by another's setting.
#include <toml++/toml.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "devices/simulated/profile.h"
#include "scheduler/fleet/llm_replay.h"
#include "scheduler/naive_split.h"
#include "scheduler/planner.h"
#include "tools/hetctl/output.h"
#include "tools/hetctl/simulate.h"

namespace het::hetctl {
namespace {

using fleet::LlmReplayResult;
using fleet::LlmReplica;
using fleet::LlmRequest;
using scheduler::Instance;
using scheduler::Plan;
using simulated::DeviceModel;

constexpr int64_t kReservedBytes = int64_t{512} << 20;  // of each slice, for what is no layer
constexpr double kPlannedBatch = 32;                    // sequences of a decode step
constexpr size_t kSaturationSample = 2000;              // requests
constexpr size_t kMaxPartitionedDevices = 6;            // 203 ways to part them
// Of prefill; 0: whole prompts. Each deployment uses what suits it best.
constexpr int32_t kChunks[] = {0, 64, 128, 256, 512, 1024};
constexpr int32_t kGroups[] = {8, 16, 32, 64, 256};
constexpr size_t kTuningRequests = 3000;  // that these are chosen on
constexpr int32_t kSaturatedChunks[] = {0, 256,
                                        1024};  // tried for what a deployment can do at most

struct Model {
  std::string name;
  int layers = 0;
  int64_t layer_bytes = 0, kv_bytes = 0, hidden_bytes = 0;
  std::string prefill_op, decode_op;
};

absl::StatusOr<Model> LoadModel(const std::string& path) {
  HET_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", error.source().begin.line, ": ", std::string(error.description())));
  }
  Model model;
  const auto number = [&](const char* key, int64_t high) -> absl::StatusOr<int64_t> {
    const auto value = table[key].value<int64_t>();
    if (value && *value >= 1 && *value <= high) return *value;
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", key, ": a whole number from 1 to ", high, " expected"));
  };
  HET_ASSIGN_OR_RETURN(const int64_t layers, number("layers", scheduler::kMaxLayers));
  model.layers = static_cast<int>(layers);
  HET_ASSIGN_OR_RETURN(model.layer_bytes, number("layer_bytes", int64_t{1} << 40));
  HET_ASSIGN_OR_RETURN(model.kv_bytes, number("kv_bytes_per_token", int64_t{1} << 30));
  HET_ASSIGN_OR_RETURN(model.hidden_bytes, number("hidden_bytes_per_token", int64_t{1} << 30));
  model.name = table["name"].value_or(path);
  model.prefill_op = table["prefill_op"].value_or(std::string("prefill"));
  model.decode_op = table["decode_op"].value_or(std::string("decode"));
  return model;
}

// A device or a part of one.
struct Slice {
  const DeviceModel* device = nullptr;
  double share = 1;
};

double OpMs(const DeviceModel& device, const std::string& op, double batch, double share) {
  WorkEstimate work;
  work.batch = batch;
  return static_cast<double>(device.LaunchNanos(op, 1, work, share)) / 1e6;
}

struct Load {
  const Model* model = nullptr;
  double mean_prompt = 0, mean_output = 0;
};

// What one request costs per layer: its prefill, and its part of the decode steps.
Instance InstanceOf(const std::vector<Slice>& slices, const Load& load, int64_t kv_tokens) {
  const Model& model = *load.model;
  Instance instance;
  instance.layers.assign(static_cast<size_t>(model.layers),
                         {model.layer_bytes, model.kv_bytes * kv_tokens});
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = slices[i];
    scheduler::SliceSpec spec;
    spec.name = absl::StrCat(slice.device->info.name, "#", i);
    spec.memory_bytes =
        static_cast<int64_t>(static_cast<double>(slice.device->info.memory_bytes) * slice.share);
    spec.reserved_bytes = kReservedBytes;
    const double ms = OpMs(*slice.device, model.prefill_op, load.mean_prompt, slice.share) +
                      OpMs(*slice.device, model.decode_op, kPlannedBatch, slice.share) /
                          kPlannedBatch * load.mean_output;
    spec.ms_per_layer.assign(static_cast<size_t>(model.layers), ms);
    instance.slices.push_back(std::move(spec));
  }
  return instance;
}

LlmReplica ReplicaOf(const std::vector<Slice>& slices, const Plan& plan, const Model& model) {
  LlmReplica replica;
  replica.kv_tokens = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const scheduler::Stage& planned = plan.stages[i];
    const Slice slice = slices[static_cast<size_t>(planned.slice)];
    fleet::LlmStage stage;
    stage.device = slice.device->info.name;
    stage.layers = planned.end - planned.begin;
    stage.prefill_ms = [slice, op = model.prefill_op](double tokens) {
      return OpMs(*slice.device, op, tokens, slice.share);
    };
    stage.decode_ms = [slice, op = model.decode_op](double sequences) {
      return OpMs(*slice.device, op, sequences, slice.share);
    };
    if (i + 1 < plan.stages.size()) {
      const DeviceModel& next = *slices[static_cast<size_t>(plan.stages[i + 1].slice)].device;
      // To the host, and from there on.
      for (const DeviceModel* hop : {slice.device, &next}) {
        stage.to_next_ms += static_cast<double>(hop->link_latency_nanos) / 1e6;
        stage.to_next_ms_per_token +=
            static_cast<double>(model.hidden_bytes) / hop->link_bytes_per_s * 1e3;
      }
    }
    const auto memory =
        static_cast<int64_t>(static_cast<double>(slice.device->info.memory_bytes) * slice.share);
    const int64_t left = memory - kReservedBytes - stage.layers * model.layer_bytes;
    replica.kv_tokens =
        std::min(replica.kv_tokens, std::max<int64_t>(0, left) / (stage.layers * model.kv_bytes));
    replica.stages.push_back(std::move(stage));
  }
  return replica;
}

std::string PlanText(const LlmReplica& replica) {
  std::string text;
  for (const fleet::LlmStage& stage : replica.stages)
    absl::StrAppend(&text, text.empty() ? "" : "+", stage.device, ":", stage.layers);
  return text;
}

std::string TextOf(const std::vector<LlmReplica>& replicas) {
  std::string text;
  for (const LlmReplica& replica : replicas)
    absl::StrAppend(&text, text.empty() ? "" : " | ", PlanText(replica));
  return text;
}

struct Deployment {
  std::string name;
  std::vector<LlmReplica> replicas;
  std::vector<std::vector<LlmReplica>> ways;  // to share memory between layers and KV
  std::string text;                           // what runs where, or why it does not
  double saturated = 0;                       // output tokens/s of the sample
  int32_t chunk = 0;                          // tokens of prefill in a pass; 0: whole prompts
  int32_t group = 0;                          // sequences of a group at most
  LlmReplayResult result;
};

bool NotInterrupted() { return simulate_interrupted == 0; }

using Planner = absl::StatusOr<Plan> (*)(const Instance&);
absl::StatusOr<Plan> Planned(const Instance& instance) { return scheduler::MakePlan(instance); }

class Comparison {
 public:
  Comparison(const simulated::Profile& node, const Model& model,
             const std::vector<LlmRequest>& requests, std::vector<int32_t> chunks)
      : model_(model), requests_(requests), chunks_(std::move(chunks)) {
    for (const DeviceModel& device : node.devices) devices_.push_back(&device);
    load_.model = &model_;
    for (const LlmRequest& request : requests) {
      load_.mean_prompt += request.prompt_tokens;
      load_.mean_output += request.output_tokens;
    }
    load_.mean_prompt /= static_cast<double>(requests.size());
    load_.mean_output /= static_cast<double>(requests.size());
    // Spread over the whole trace: its mix changes with time.
    const size_t stride = (requests.size() + kSaturationSample - 1) / kSaturationSample;
    for (size_t i = 0; i < requests.size(); i += stride) sample_.push_back(requests[i]);
  }

  std::vector<Deployment> All() {
    std::vector<Deployment> all;
    all.push_back(Chain("pipeline", {Whole()}, Planned));
    all.push_back(Chain("split by memory", {Whole()}, scheduler::SplitByMemory));
    all.push_back(Chain("even split", {Whole()}, scheduler::SplitEvenly));
    all.push_back(OnePerDevice());
    if (auto replicas = BestReplicas()) all.push_back(std::move(*replicas));
    std::vector<Slice> half = Whole();
    for (Slice& slice : half) slice.share = 0.5;
    all.push_back(Chain("two on half slices", {half, half}, Planned));
    return all;
  }

 private:
  std::vector<Slice> Whole() const {
    std::vector<Slice> slices;
    for (const DeviceModel* device : devices_) slices.push_back({device, 1});
    return slices;
  }

  double Saturated(const std::vector<LlmReplica>& replicas) const {
    double best = 0;
    for (const int32_t chunk : chunks_) {
      fleet::LlmReplayOptions options;
      options.saturate = true;
      options.chunk_tokens = chunk;
      options.go_on = NotInterrupted;
      const LlmReplayResult result = ReplayLlm(sample_, replicas, options);
      if (result.refused == 0) best = std::max(best, result.output_tokens_per_s);
    }
    return best;
  }

  // A chain per group of slices; of the ways to share memory between layers and KV, the one with
  // the most throughput.
  Deployment Chain(std::string name, const std::vector<std::vector<Slice>>& groups,
                   Planner planner) const {
    Deployment best;
    best.name = std::move(name);
    best.text = "does not fit";
    for (int64_t kv_tokens = 4096; kv_tokens <= 1 << 20; kv_tokens *= 2) {
      std::vector<LlmReplica> replicas;
      for (const std::vector<Slice>& group : groups) {
        const auto plan = planner(InstanceOf(group, load_, kv_tokens));
        if (!plan.ok()) break;
        replicas.push_back(ReplicaOf(group, *plan, model_));
      }
      if (replicas.size() < groups.size()) break;
      Consider(std::move(replicas), best);
    }
    return best;
  }

  static bool Alike(const std::vector<LlmReplica>& a, const std::vector<LlmReplica>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
      return x.kv_tokens == y.kv_tokens && PlanText(x) == PlanText(y);
    });
  }

  void Consider(std::vector<LlmReplica> replicas, Deployment& best) const {
    if (best.ways.empty() || !Alike(best.ways.back(), replicas)) best.ways.push_back(replicas);
    const double saturated = Saturated(replicas);
    if (saturated <= best.saturated) return;
    best.saturated = saturated;
    best.replicas = std::move(replicas);
    best.text = TextOf(best.replicas);
  }

  Deployment OnePerDevice() const {
    Deployment best;
    best.name = "one per device";
    best.text = "no device holds the model alone";
    std::vector<LlmReplica> replicas;
    for (const DeviceModel* device : devices_) {
      const std::vector<Slice> alone = {{device, 1}};
      const auto plan = scheduler::MakePlan(InstanceOf(alone, load_, 1));
      if (plan.ok()) replicas.push_back(ReplicaOf(alone, *plan, model_));
    }
    if (!replicas.empty()) Consider(std::move(replicas), best);
    return best;
  }

  // The best way to part the devices into two or more chains, by the planner's own bottlenecks.
  std::optional<Deployment> BestReplicas() const {
    if (devices_.size() < 2 || devices_.size() > kMaxPartitionedDevices) return std::nullopt;
    std::vector<std::vector<Slice>> best;
    double most = 0;
    std::vector<int> group(devices_.size(), 0);
    while (NextPartition(group)) {
      std::vector<std::vector<Slice>> groups(
          static_cast<size_t>(*std::max_element(group.begin(), group.end())) + 1);
      for (size_t i = 0; i < group.size(); ++i)
        groups[static_cast<size_t>(group[i])].push_back({devices_[i], 1});
      double rate = 0;
      for (const auto& slices : groups) {
        const auto plan = scheduler::MakePlan(InstanceOf(slices, load_, 4096));
        if (!plan.ok()) {
          rate = 0;
          break;
        }
        rate += 1 / plan->bottleneck_ms;
      }
      if (rate <= most) continue;
      most = rate;
      best = std::move(groups);
    }
    if (best.empty()) return std::nullopt;
    return Chain("replicas", best, Planned);
  }

  // Restricted growth strings: each partition once, the trivial one (all in one) first and skipped.
  static bool NextPartition(std::vector<int>& group) {
    for (size_t i = group.size() - 1; i > 0; --i) {
      const int limit =
          *std::max_element(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(i)) + 1;
      if (group[i] >= limit) continue;
      ++group[i];
      std::fill(group.begin() + static_cast<std::ptrdiff_t>(i) + 1, group.end(), 0);
      return true;
    }
    return false;
  }

  const Model& model_;
  const std::vector<LlmRequest>& requests_;
  const std::vector<int32_t> chunks_;
  std::vector<const DeviceModel*> devices_;
  Load load_;
  std::vector<LlmRequest> sample_;
};

absl::StatusOr<double> NodePrice(const simulated::Profile& node,
                                 const std::vector<std::string>& prices) {
  double sum = 0;
  for (const std::string& text : prices) {
    const std::vector<std::string> parts = absl::StrSplit(text, '=');
    double price = 0;
    if (parts.size() != 2 || !absl::SimpleAtod(parts[1], &price) || !(price >= 0) || price > 1e6) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--price: DEVICE=PER_HOUR expected, such as a100=3.67; \"", text, "\" is there"));
    }
    int found = 0;
    for (const DeviceModel& device : node.devices)
      found += absl::StartsWithIgnoreCase(device.info.name, parts[0]) ? 1 : 0;
    if (found == 0) {
      return absl::NotFoundError(absl::StrCat(
          "--price: no device of the node has a name that begins with \"", parts[0], "\""));
    }
    sum += price * found;
  }
  return sum;
}

// With the memory, the prefill and the batch that bring it the most goodput on the first requests,
// and of equals the shortest tail: the same choices for every deployment.
void ReplayBest(const std::vector<LlmRequest>& requests, fleet::LlmReplayOptions options,
                const std::vector<int32_t>& chunks, Deployment& d) {
  options.go_on = NotInterrupted;
  const std::vector<LlmRequest> first(
      requests.begin(),
      requests.begin() + static_cast<std::ptrdiff_t>(std::min(requests.size(), kTuningRequests)));
  fleet::LlmReplayOptions best = options;
  double goodput = -1, tail = 0;
  for (const std::vector<LlmReplica>& way : d.ways) {
    for (const int32_t chunk : chunks) {
      for (const int32_t group : kGroups) {
        if (goodput >= 0 && !NotInterrupted()) continue;
        options.chunk_tokens = chunk;
        options.max_group = group;
        const LlmReplayResult result = ReplayLlm(first, way, options);
        if (result.goodput_tokens_per_s < goodput ||
            (result.goodput_tokens_per_s == goodput && result.tbt_p99_s >= tail)) {
          continue;
        }
        goodput = result.goodput_tokens_per_s;
        tail = result.tbt_p99_s;
        d.replicas = way;
        best = options;
      }
    }
  }
  d.text = TextOf(d.replicas);
  d.chunk = best.chunk_tokens;
  d.group = best.max_group;
  d.result = ReplayLlm(requests, d.replicas, best);
}

Json ToJson(const Deployment& d, double best, double price) {
  const LlmReplayResult& r = d.result;
  Json json = {{"deployment", d.name},
               {"runs", d.text},
               {"prefill_chunk", d.chunk},
               {"most_sequences", d.group},
               {"saturated_tokens_per_s", d.saturated},
               {"tokens_per_s", r.output_tokens_per_s},
               {"goodput_tokens_per_s", r.goodput_tokens_per_s},
               {"utilisation", best > 0 ? r.goodput_tokens_per_s / best : 0},
               {"good_share",
                r.requests > 0 ? static_cast<double>(r.good) / static_cast<double>(r.requests) : 0},
               {"refused", r.refused},
               {"ttft_s", {{"p50", r.ttft_p50_s}, {"p99", r.ttft_p99_s}}},
               {"tbt_s", {{"p50", r.tbt_p50_s}, {"p99", r.tbt_p99_s}}},
               {"busy", r.busy}};
  if (price > 0 && r.goodput_tokens_per_s > 0) {
    json["cost_per_million_tokens"] = price / 3600 / r.goodput_tokens_per_s * 1e6;
  }
  return json;
}

void PrintTable(const std::vector<Json>& rows, double price) {
  std::printf("%-20s %10s %10s %6s %6s %9s %9s %9s %9s %9s %6s  %s\n", "DEPLOYMENT", "SATURATED",
              "GOODPUT", "UTIL", "GOOD", "TTFT P50", "TTFT P99", "TBT P50", "TBT P99", "COST/M",
              "CHUNK", "RUNS");
  for (const Json& row : rows) {
    const std::string cost =
        row.contains("cost_per_million_tokens")
            ? absl::StrFormat("%.2f", row["cost_per_million_tokens"].get<double>())
            : "-";
    const auto get = [&row](const char* key) { return row[key].get<double>(); };
    std::printf(
        "%-20s %8.0f/s %8.0f/s %4.0f %% %4.0f %% %7.2f s %7.2f s %6.0f ms %6.0f ms %9s %6s  %s\n",
        row["deployment"].get<std::string>().c_str(), get("saturated_tokens_per_s"),
        get("goodput_tokens_per_s"), 100 * get("utilisation"), 100 * get("good_share"),
        row["ttft_s"]["p50"].get<double>(), row["ttft_s"]["p99"].get<double>(),
        1e3 * row["tbt_s"]["p50"].get<double>(), 1e3 * row["tbt_s"]["p99"].get<double>(),
        cost.c_str(), row["prefill_chunk"] == 0 ? "whole" : PrintJson(row["prefill_chunk"]).c_str(),
        row["runs"].get<std::string>().c_str());
  }
  std::printf(
      "simulated; tokens are output tokens; utilisation: goodput over the most that any deployment "
      "here saturates at%s\n",
      price > 0 ? "" : "; no --price, no cost");
}

}  // namespace

absl::Status SimulateLlm(const SimulateOptions& options, const std::string& format) {
  if (options.node.empty() || options.model.empty()) {
    return absl::InvalidArgumentError("--requests needs --node NODE.toml and --model MODEL.toml");
  }
  if (format != "table" && format != "json") {
    return absl::InvalidArgumentError("--requests prints -o table or json");
  }
  HET_ASSIGN_OR_RETURN(const std::string text, ReadFile(options.requests));
  HET_ASSIGN_OR_RETURN(std::vector<LlmRequest> requests,
                       fleet::ParseLlmTrace(text, options.requests));
  HET_ASSIGN_OR_RETURN(const simulated::Profile node, simulated::LoadProfile(options.node));
  HET_ASSIGN_OR_RETURN(const Model model, LoadModel(options.model));
  HET_ASSIGN_OR_RETURN(const double price, NodePrice(node, options.prices));
  std::vector<int32_t> chunks(std::begin(kChunks), std::end(kChunks));
  std::vector<int32_t> saturated_chunks(std::begin(kSaturatedChunks), std::end(kSaturatedChunks));
  if (options.prefill_chunk) chunks = saturated_chunks = {*options.prefill_chunk};
  std::vector<Deployment> deployments =
      Comparison(node, model, requests, std::move(saturated_chunks)).All();
  double best = 0;
  for (const Deployment& d : deployments) best = std::max(best, d.saturated);
  if (best <= 0) {
    return absl::ResourceExhaustedError(absl::StrCat("no deployment of ", model.name, " on ",
                                                     node.name, " holds the model and a request"));
  }
  double tokens = 0;
  for (const LlmRequest& request : requests) tokens += request.output_tokens;
  const double span = std::max(requests.back().arrival_s, 1e-9);
  const double rate = options.rate > 0 ? options.rate : 0.8 * best / (tokens / span);
  for (LlmRequest& request : requests) request.arrival_s /= rate;
  fleet::LlmReplayOptions replay;
  replay.ttft_limit_s = options.ttft_limit_s;
  replay.tbt_limit_s = options.tbt_limit_ms / 1e3;
  std::vector<Json> rows;
  for (Deployment& d : deployments) {
    if (!d.replicas.empty()) ReplayBest(requests, replay, chunks, d);
    rows.push_back(ToJson(d, best, price));
  }
  if (format == "json") {
    std::printf("%s\n", PrintJson(Json{{"node", node.name},
                                       {"model", model.name},
                                       {"simulated", true},
                                       {"requests", requests.size()},
                                       {"rate", rate},
                                       {"interrupted", simulate_interrupted != 0},
                                       {"deployments", rows}})
                            .c_str());
    return absl::OkStatus();
  }
  std::printf(
      "%s on %s: %zu requests at %.3g times the trace's rate (%.0f output tokens/s asked "
      "for); good: TTFT <= %g s and TBT <= %g ms\n",
      model.name.c_str(), node.name.c_str(), requests.size(), rate, tokens / span * rate,
      options.ttft_limit_s, options.tbt_limit_ms);
  PrintTable(rows, price);
  if (!NotInterrupted()) std::fprintf(stderr, "hetctl: interrupted; this is what there was\n");
  return absl::OkStatus();
}

}  // namespace het::hetctl
