// How much of its plan a pipeline reaches, and what the plan is worth.
//
// Llama-2-70B's shape (80 layers of 0.53 GB, prompts of 500 tokens) over a simulated A100 40 GB +
// V100 16 GB + L4 24 GB + T4 16 GB on a virtual clock, with the layer times that Helix published.
// Layer and link times are measured on the simulated devices as an engine would, planned by
// scheduler/, and 200 micro-batches in steady state run through the real pipeline: for the plan,
// for a split by memory size and for an even split.
#include "runtime/pipeline.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "bench/report.h"
#include "runtime/session.h"
#include "scheduler/instance.h"
#include "scheduler/naive_split.h"
#include "scheduler/planner.h"

namespace het::bench {
namespace {

using runtime::BufferHandle;
using runtime::LeaseHandle;
using runtime::Pipeline;
using runtime::QueueHandle;
using runtime::Session;
using scheduler::Instance;
using scheduler::Plan;

constexpr int kLayers = 80;
constexpr uint64_t kLayerBytes = 530'000'000;
constexpr double kPromptTokens = 500;
constexpr uint64_t kActivationBytes = 500 * 8192 * 2;  // a hidden state of f16 for every token
constexpr uint64_t kPromptBytes = 500 * 4;             // token ids enter
constexpr uint64_t kResultBytes = 32000 * 4;           // one row of logits leaves
constexpr int kMicroBatches = 200;
constexpr uint64_t kReservedBytes = 512 * kMiB;  // of each slice, for what is no layer

struct Node {
  Ref<Session> session;
  std::vector<Ref<LeaseHandle>> leases;
};

absl::StatusOr<Node> OpenNode(const std::string& profile) {
  runtime::SessionOptions options;
  options.mode = runtime::SessionOptions::Mode::kEmbedded;
  options.simulate = profile;
  Node node;
  HET_ASSIGN_OR_RETURN(node.session, Session::Open(options));
  std::vector<SliceRequest> requests;
  for (size_t i = 0; i < node.session->device_count(); ++i) {
    const DeviceInfo& info = *node.session->device(i)->info;
    if (info.backend != "simulated") continue;
    requests.push_back({info.uuid, Share::Whole(), info.memory_bytes, Policy::kGuaranteed});
  }
  HET_ASSIGN_OR_RETURN(node.leases, node.session->Acquire(requests));
  return node;
}

// A timing device runs nothing; it needs the kernel's name.
void NoKernel(const het_native_call* /*call*/) {}

absl::StatusOr<Ref<Program>> BuildPrefill(LeaseHandle& lease) {
  HET_ASSIGN_OR_RETURN(Device * device, lease.device());
  ProgramSource source;
  source.name = "llama2-70b";
  source.native = {{"prefill", NoKernel}};
  return device->Build(source);
}

absl::Status LaunchLayers(QueueHandle& queue, const Program& program, uint32_t layers) {
  HET_ASSIGN_OR_RETURN(const Kernel* kernel, program.GetKernel("prefill"));
  Launch launch;
  launch.kernel = kernel;
  launch.groups[0] = layers;
  launch.work.batch = kPromptTokens;
  return queue->Submit(launch);
}

// Milliseconds of one layer on the slice, from a launch of several.
absl::StatusOr<double> MeasureLayer(LeaseHandle& lease) {
  constexpr uint32_t kMeasured = 8;
  HET_ASSIGN_OR_RETURN(Device * device, lease.device());
  HET_ASSIGN_OR_RETURN(const Ref<Program> program, BuildPrefill(lease));
  HET_ASSIGN_OR_RETURN(const Ref<QueueHandle> queue, lease.CreateQueue(QueueKind::kCompute));
  HET_ASSIGN_OR_RETURN(const Ref<Timeline> timeline, device->CreateTimeline());
  const int64_t start = device->clock().MonotonicNanos();
  HET_RETURN_IF_ERROR(LaunchLayers(*queue, *program, kMeasured));
  HET_RETURN_IF_ERROR((*queue)->Barrier({{}, {timeline, 1}}));
  HET_RETURN_IF_ERROR((*queue)->Flush());
  HET_RETURN_IF_ERROR(timeline->Wait(1));
  return static_cast<double>(device->clock().MonotonicNanos() - start) / 1e6 / kMeasured;
}

absl::StatusOr<Instance> MeasureInstance(const Node& node) {
  Instance instance;
  instance.layers.assign(kLayers, {static_cast<int64_t>(kLayerBytes), 0});
  for (const auto& lease : node.leases) {
    scheduler::SliceSpec slice;
    slice.name = lease->info().name;
    slice.memory_bytes = static_cast<int64_t>(lease->quota().limit());
    slice.reserved_bytes = kReservedBytes;
    HET_ASSIGN_OR_RETURN(const double ms, MeasureLayer(*lease));
    slice.ms_per_layer.assign(kLayers, ms);
    instance.slices.push_back(std::move(slice));
  }
  for (const auto& from : node.leases) {
    std::vector<scheduler::Link> row;
    for (const auto& to : node.leases) {
      HET_ASSIGN_OR_RETURN(const double ms, MeasureLink(*from, *to, kActivationBytes));
      row.push_back({0, ms});
    }
    instance.links.push_back(std::move(row));
  }
  return instance;
}

struct Run {
  double per_second = 0;  // micro-batches, in steady state, by the virtual clock
  double host_us = 0;     // real time the host spent on each
};

absl::StatusOr<Run> RunPlan(const Node& node, const Plan& plan) {
  Pipeline::Options options;
  std::vector<Ref<BufferHandle>> weights;
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const scheduler::Stage& stage = plan.stages[i];
    const Ref<LeaseHandle>& lease = node.leases[static_cast<size_t>(stage.slice)];
    const auto layers = static_cast<uint32_t>(stage.end - stage.begin);
    HET_ASSIGN_OR_RETURN(Ref<BufferHandle> held,
                         lease->Allocate(layers * kLayerBytes, MemoryKind::kDevice));
    weights.push_back(std::move(held));
    HET_ASSIGN_OR_RETURN(const Ref<Program> program, BuildPrefill(*lease));
    const bool last = i + 1 == plan.stages.size();
    options.stages.push_back({lease->info().name, lease,
                              [program, layers](Pipeline::Call& call) {
                                return LaunchLayers(*call.queue, *program, layers);
                              },
                              last ? kResultBytes : kActivationBytes});
  }
  options.input_capacity = kPromptBytes;
  // The plan's groups keep its stages busy; one more is on its way in or out.
  options.in_flight = static_cast<uint32_t>(plan.groups_in_flight) + 1;
  const int warm_up = 2 * static_cast<int>(options.in_flight);
  HET_ASSIGN_OR_RETURN(Device * device, node.leases[0]->device());
  HET_ASSIGN_OR_RETURN(const Ref<Pipeline> pipeline,
                       Pipeline::Create(node.session, std::move(options)));

  std::vector<int64_t> left;
  std::vector<char> prompt(kPromptBytes), result(kResultBytes);
  const auto start = std::chrono::steady_clock::now();
  // As many again behind the measured ones, so that the pipeline is full to the end.
  const int items = warm_up + kMicroBatches + warm_up;
  for (int i = 0; i < items; ++i) {
    Pipeline::Item item;
    item.input = prompt.data();
    item.input_bytes = kPromptBytes;
    item.output = result.data();
    item.output_capacity = kResultBytes;
    item.done = [&](uint64_t, const absl::Status&, uint64_t) {
      left.push_back(device->clock().MonotonicNanos());
    };
    HET_RETURN_IF_ERROR(pipeline->Submit(std::move(item)));
  }
  HET_RETURN_IF_ERROR(pipeline->Drain(absl::Minutes(1)));
  const double host_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const int64_t nanos = left[warm_up + kMicroBatches - 1] - left[warm_up - 1];
  return Run{kMicroBatches * 1e9 / static_cast<double>(nanos), host_seconds * 1e6 / items};
}

struct Outcome {
  double planned = 0;
  double achieved = 0;
};

absl::StatusOr<Outcome> Measure(const Node& node, const Instance& instance, const Plan& plan,
                                const std::string& name, Report& report) {
  constexpr int kRounds = 3;  // a virtual clock: they only differ in what the host takes
  Samples achieved, host;
  for (int round = 0; round < kRounds; ++round) {
    HET_ASSIGN_OR_RETURN(const Run run, RunPlan(node, plan));
    achieved.Add(run.per_second);
    host.Add(run.host_us);
  }
  const Outcome outcome{1000 / plan.bottleneck_ms, achieved.median()};
  report.Add(Row{"Llama-2-70B, prompt 500", name, "batches/s", achieved,
                 outcome.achieved / outcome.planned});
  report.Add(Row{"  host time", name, "us/batch", host, 0});
  std::string layers;
  for (const scheduler::Stage& stage : plan.stages) {
    const std::string& slice = instance.slices[static_cast<size_t>(stage.slice)].name;
    absl::StrAppend(&layers, layers.empty() ? "" : ", ", slice, " ", stage.end - stage.begin);
  }
  report.Note(absl::StrCat(name, ": ", layers, "; planned ", outcome.planned, " batches/s",
                           plan.optimal ? " (proven optimal)" : "", ", ", plan.groups_in_flight,
                           " groups in flight"));
  return outcome;
}

absl::Status Fill(const std::string& profile, Report& report) {
  HET_ASSIGN_OR_RETURN(const Node node, OpenNode(profile));
  HET_ASSIGN_OR_RETURN(const Instance instance, MeasureInstance(node));
  HET_ASSIGN_OR_RETURN(const Plan best, scheduler::MakePlan(instance));
  HET_ASSIGN_OR_RETURN(const Plan by_memory, scheduler::SplitByMemory(instance));
  HET_ASSIGN_OR_RETURN(const Plan even, scheduler::SplitEvenly(instance));
  report.Note("ratio: achieved over planned; simulated devices, virtual time");
  HET_ASSIGN_OR_RETURN(const Outcome plan, Measure(node, instance, best, "het's plan", report));
  HET_ASSIGN_OR_RETURN(const Outcome memory,
                       Measure(node, instance, by_memory, "by memory size", report));
  HET_ASSIGN_OR_RETURN(const Outcome level, Measure(node, instance, even, "even split", report));
  report.Add(Goal{"achieved over planned", plan.achieved / plan.planned, 0.97, false});
  report.Add(
      Goal{"achieved over the split by memory size", plan.achieved / memory.achieved, 1.8, false});
  report.Note(absl::StrCat("achieved over the even split: ", plan.achieved / level.achieved));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  bool json = false;
  if (!WantsJson(argc, argv, &json)) {
    std::fprintf(stderr, "usage: %s [-o table|json]\n", argv[0]);
    return 2;
  }
  const std::filesystem::path source = HET_SOURCE_DIR;
  const std::filesystem::path data = source / ".." / "shared" / "data";
  if (std::filesystem::exists(data)) setenv("HET_DATA_DIR", data.c_str(), /*overwrite=*/0);
  Report report("pipeline");
  const char* folder = std::getenv("HET_DATA_DIR");
  if (folder == nullptr ||
      !std::filesystem::exists(std::filesystem::path(folder) / "profiles/helix-llama2-70b")) {
    report.Note(
        "left out: the published layer times (profiles/helix-llama2-70b) are not there; "
        "set HET_DATA_DIR");
    report.Print(json);
    return 0;
  }
  const absl::Status status = Fill(source / "devices/simulated/profiles/helix4.toml", report);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  report.Print(json);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
