// Parts of one device at once (green contexts, CU masks, tiles): how much of the whole each gets
// for a kernel that is bound by arithmetic, and all together. The control is the whole device with
// the same work alone. A soft card books its parts and does not enforce them, and is said to.
//
// usage: parts --backend cuda [--parts 4] [--seconds 2] [--json]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "bench/report.h"
#include "devices/registry.h"

namespace het::bench {
namespace {

constexpr uint32_t kGroup = 64;
constexpr char kSource[] = R"CL(
struct ChainParams { uint steps; };
HET_KERNEL HET_GROUP_SIZE(64) void chain(HET_BUFFER(0), struct ChainParams p) {
  float4 a = het_float4((float)het_global_id(0)), b = a + 1.0f;
  for (uint i = 0; i < p.steps; ++i) {
    a = a * 0.999f + 0.001f;
    b = b * 0.999f + 0.001f;
  }
  const float4 sum = a + b;
  HET_PTR(float, 0)[het_global_id(0)] = sum.x + sum.y + sum.z + sum.w;
}
)CL";
struct ChainParams {
  uint32_t steps = 2048;
};
constexpr double kLongestLaunchSeconds = 0.02;  // of the whole device: many fit a window

// One opened part, and launches that keep two under way until the time is up.
class Part {
 public:
  static absl::StatusOr<std::unique_ptr<Part>> Open(Driver& driver, const DeviceInfo& info,
                                                    uint32_t units, ChainParams params) {
    auto part = std::make_unique<Part>();
    part->params_ = params;
    HET_ASSIGN_OR_RETURN(part->device_,
                         driver.Open(info.uuid, {.cores = {}, .compute_units = units}));
    HET_ASSIGN_OR_RETURN(
        part->program_,
        part->device_->Build({.name = "parts", .portable = kSource, .options = "", .native = {}}));
    // Work for every unit several times over, whatever the part.
    part->groups_ = std::max(1u, info.compute_units) * 32;
    HET_ASSIGN_OR_RETURN(part->out_,
                         part->device_->Allocate(uint64_t{part->groups_} * kGroup * sizeof(float)));
    HET_ASSIGN_OR_RETURN(part->queue_, part->device_->CreateQueue(QueueKind::kCompute));
    HET_ASSIGN_OR_RETURN(part->done_, part->device_->CreateTimeline());
    return part;
  }

  uint32_t units() const { return device_->info().compute_units; }

  // Launches per second between `begin` and `end`.
  absl::StatusOr<double> Run(absl::Time begin, absl::Time end) {
    HET_ASSIGN_OR_RETURN(const Kernel* const kernel, program_->GetKernel("chain"));
    const BufferArg buffers[] = {{out_.get(), 0}};
    Launch launch;
    launch.kernel = kernel;
    launch.groups[0] = groups_;
    launch.group_size[0] = kGroup;
    launch.buffers = buffers;
    launch.params = {reinterpret_cast<const std::byte*>(&params_), sizeof(params_)};
    uint64_t in_window = 0;
    while (absl::Now() < end) {
      HET_RETURN_IF_ERROR(queue_->Submit(launch, {{}, {done_, ++value_}}));
      HET_RETURN_IF_ERROR(queue_->Flush());
      if (value_ >= 2) HET_RETURN_IF_ERROR(done_->Wait(value_ - 1, absl::Seconds(30)));
      const absl::Time now = absl::Now();
      if (now >= begin && now < end) ++in_window;
    }
    HET_RETURN_IF_ERROR(done_->Wait(value_, absl::Seconds(30)));
    return static_cast<double>(in_window) / absl::ToDoubleSeconds(end - begin);
  }

 private:
  std::unique_ptr<Device> device_;
  Ref<Program> program_;
  Ref<Buffer> out_;
  Ref<Timeline> done_;
  std::unique_ptr<Queue> queue_;  // last: its destructor waits
  ChainParams params_;
  uint32_t groups_ = 0;
  uint64_t value_ = 0;
};

struct Options {
  std::string backend = "cuda";
  int parts = 4;
  int rounds = 3;
  double seconds = 1;
  bool json = false;
};

absl::StatusOr<std::vector<double>> RunTogether(std::vector<std::unique_ptr<Part>>& parts,
                                                double seconds) {
  const absl::Time begin = absl::Now() + absl::Milliseconds(200);  // all of them are under way then
  const absl::Time end = begin + absl::Seconds(seconds);
  std::vector<absl::StatusOr<double>> rates(parts.size(), 0.0);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < parts.size(); ++i) {
      threads.emplace_back([&, i] { rates[i] = parts[i]->Run(begin, end); });
    }
  }
  std::vector<double> all;
  for (const absl::StatusOr<double>& rate : rates) {
    HET_RETURN_IF_ERROR(rate.status());
    all.push_back(*rate);
  }
  return all;
}

absl::Status Measure(const Options& options, Report& report) {
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<Driver> driver, CreateDriver(options.backend));
  HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> infos, driver->Enumerate());
  const DeviceInfo* found = nullptr;
  for (const DeviceInfo& info : infos) {
    if (info.state == DeviceState::kOk && info.can_sub_divide && found == nullptr) found = &info;
  }
  if (found == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(options.backend, " has no device here that divides in its driver"));
  }
  report.Note(found->name);
  const bool soft = found->name.find("soft") != std::string::npos;
  if (soft) report.Note("a soft card books its parts and enforces nothing: no goals");
  ChainParams params;
  {
    HET_ASSIGN_OR_RETURN(const std::unique_ptr<Part> whole, Part::Open(*driver, *found, 0, params));
    const absl::Time begin = absl::Now();
    HET_RETURN_IF_ERROR(whole->Run(begin, begin + absl::Milliseconds(1)).status());
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
    if (seconds > kLongestLaunchSeconds) {
      params.steps =
          static_cast<uint32_t>(std::max(1.0, params.steps * kLongestLaunchSeconds / seconds));
    }
  }
  Samples alone, sum, worst;
  std::vector<Samples> each(options.parts);
  std::vector<uint32_t> units(options.parts);
  for (int round = 0; round < options.rounds; ++round) {
    double whole = 0;
    {
      std::vector<std::unique_ptr<Part>> one(1);
      HET_ASSIGN_OR_RETURN(one[0], Part::Open(*driver, *found, 0, params));
      HET_ASSIGN_OR_RETURN(const std::vector<double> rate, RunTogether(one, options.seconds));
      whole = rate[0];
      if (whole == 0) {
        return absl::DeadlineExceededError("no launch ended in the window: give more --seconds");
      }
      alone.Add(whole);
    }
    std::vector<std::unique_ptr<Part>> parts(options.parts);
    for (int i = 0; i < options.parts; ++i) {
      HET_ASSIGN_OR_RETURN(
          parts[i], Part::Open(*driver, *found, found->compute_units / options.parts, params));
      units[i] = parts[i]->units();
    }
    HET_ASSIGN_OR_RETURN(const std::vector<double> rates, RunTogether(parts, options.seconds));
    double total = 0, off = 0;
    for (int i = 0; i < options.parts; ++i) {
      const double percent = 100 * rates[i] / whole;
      each[i].Add(percent);
      off = std::max(off, std::abs(percent - 100.0 * units[i] / found->compute_units));
      total += percent;
    }
    sum.Add(total);
    worst.Add(off);
  }
  report.Add(Row{"whole device alone", "launches", "1/s", alone, 0});
  for (int i = 0; i < options.parts; ++i) {
    report.Add(Row{absl::StrCat("part ", i, ", ", units[i], " of ", found->compute_units, " units"),
                   "of the whole", "%", each[i], 0});
  }
  report.Add(Row{"all parts", "of the whole", "%", sum, 0});
  report.Add(Row{"worst part", "off its share", "points", worst, 0});
  if (!soft) {
    report.Add(Goal{"worst part off its share, points", worst.median(), 1, true});
    report.Add(Goal{"all parts of the whole, %", sum.median(), 95, false});
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Parts of one device at once, against the whole of it");
  app.add_option("--backend", options.backend, "cuda, hip or level_zero");
  app.add_option("--parts", options.parts, "equal parts")->check(CLI::Range(1, 64));
  app.add_option("--seconds", options.seconds, "of each measurement");
  app.add_option("--rounds", options.rounds, "figures are their medians");
  app.add_flag("--json", options.json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  Report report("parts");
  if (const absl::Status status = Measure(options, report); !status.ok()) {
    std::fprintf(stderr, "parts: %s\n", status.ToString().c_str());
    return 1;
  }
  report.Print(options.json);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
