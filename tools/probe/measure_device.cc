#include "tools/probe/measure_device.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/units.h"
#include "devices/cpu/measure.h"
#include "devices/device.h"
#include "tools/probe/yardstick.h"

namespace het::probe {
namespace {

// Item i reads the float4s i * begin_step + n * step: a run of its own (good where items run one
// after the other), or beside its neighbours' (good where they run side by side).
struct Params {
  uint32_t per_item;
  uint32_t begin_step;
  uint32_t step;
};

constexpr uint32_t kGroup = 64;
constexpr uint32_t kGroups = 256;
constexpr uint32_t kItems = kGroup * kGroups;
constexpr uint64_t kReadBytes = 128 * kMiB;
constexpr uint64_t kFirstReadBytes = 16 * kMiB;
constexpr double kFlopsPerRound = 4 * 4 * 2;  // four float4 multiply-adds
constexpr int kMaxRounds = 8;
constexpr double kBudgetSeconds = 0.1;
constexpr double kLongEnoughSeconds = 0.001;

// One device with what both kernels need.
class Yardstick {
 public:
  static absl::StatusOr<Yardstick> Make(Driver& driver, const DeviceInfo& info) {
    Yardstick made;
    HET_ASSIGN_OR_RETURN(made.device_, driver.Open(info.uuid, {}));
    if (!made.device_->Can(kRunsPortable)) {
      return absl::UnimplementedError("the device runs no portable kernels");
    }
    const uint64_t bytes = std::min(kReadBytes, info.memory_bytes / 4 / kMiB * kMiB);
    if (bytes == 0) return absl::UnimplementedError("the device has too little memory to measure");
    HET_ASSIGN_OR_RETURN(made.in_, made.device_->Allocate(bytes));
    HET_ASSIGN_OR_RETURN(made.out_, made.device_->Allocate(kItems * sizeof(float)));
    ProgramSource source;
    source.name = "yardstick";
    source.portable = YardstickSource();
    HET_ASSIGN_OR_RETURN(made.program_, made.device_->Build(source));
    HET_ASSIGN_OR_RETURN(made.queue_, made.device_->CreateQueue(QueueKind::kCompute));
    HET_ASSIGN_OR_RETURN(made.done_, made.device_->CreateTimeline());
    HET_RETURN_IF_ERROR(made.queue_->Fill(*made.in_, 0, bytes, 0));
    return made;
  }

  // Seconds of the fastest of several launches, each on the next `bytes` of the input: whatever
  // else runs only ever slows one down. Stops after kBudgetSeconds.
  absl::StatusOr<double> Time(absl::string_view name, const Params& params, uint64_t bytes) {
    HET_ASSIGN_OR_RETURN(const Kernel* kernel, program_->GetKernel(name));
    BufferArg buffers[] = {{in_.get(), 0}, {out_.get(), 0}};
    Launch launch;
    launch.kernel = kernel;
    launch.groups[0] = kGroups;
    launch.group_size[0] = kGroup;
    launch.buffers = buffers;
    launch.params =
        absl::MakeConstSpan(reinterpret_cast<const std::byte*>(&params), sizeof(params));
    double best = 0;
    double spent = 0;
    for (int round = 0; round < kMaxRounds && spent < kBudgetSeconds; ++round) {
      const int64_t begin = Clock::Real().MonotonicNanos();
      // Another part each time, so that no cache has it.
      if (bytes > 0)
        buffers[0].offset = static_cast<uint64_t>(round) % (in_->bytes() / bytes) * bytes;
      HET_RETURN_IF_ERROR(queue_->Submit(launch, {.waits = {}, .signal = {done_, ++value_}}));
      HET_RETURN_IF_ERROR(queue_->Flush());
      HET_RETURN_IF_ERROR(done_->Wait(value_, absl::Seconds(5)));
      const double seconds = static_cast<double>(Clock::Real().MonotonicNanos() - begin) * 1e-9;
      if (round == 0 || seconds < best) best = seconds;
      spent += seconds;
    }
    return best;
  }

  uint64_t read_bytes() const { return in_->bytes(); }

 private:
  std::unique_ptr<Device> device_;
  Ref<Buffer> in_;
  Ref<Buffer> out_;
  Ref<Program> program_;
  Ref<Timeline> done_;
  std::unique_ptr<Queue> queue_;  // last: its destructor waits for what is queued
  uint64_t value_ = 0;
};

// Short launches, so that on a busy machine some of them run undisturbed, but long enough that the
// launch itself does not count.
absl::StatusOr<double> MeasureReading(Yardstick& yardstick) {
  double rate = 0;
  for (uint64_t bytes = std::min(kFirstReadBytes, yardstick.read_bytes());
       bytes <= yardstick.read_bytes(); bytes *= 2) {
    const auto reads = static_cast<uint32_t>(bytes / kItems / sizeof(float[4]));
    // Which way of reading suits a device is its own affair: the faster one counts.
    HET_ASSIGN_OR_RETURN(const double runs_s,
                         yardstick.Time("read_memory", {reads, reads, 1}, bytes));
    HET_ASSIGN_OR_RETURN(const double beside_s,
                         yardstick.Time("read_memory", {reads, 1, kItems}, bytes));
    const double seconds = std::min(runs_s, beside_s);
    if (seconds > 0)
      rate = static_cast<double>(uint64_t{kItems} * reads * sizeof(float[4])) / seconds;
    if (seconds > kLongEnoughSeconds) break;
  }
  return rate;
}

absl::StatusOr<double> MeasureMultiplyAdd(Yardstick& yardstick) {
  double rate = 0;
  for (uint32_t rounds = 64; rounds <= (1 << 20); rounds *= 4) {
    HET_ASSIGN_OR_RETURN(const double seconds, yardstick.Time("multiply_add", {rounds, 0, 0}, 0));
    if (seconds > 0) rate = static_cast<double>(kItems) * rounds * kFlopsPerRound / seconds;
    if (seconds > kLongEnoughSeconds) break;
  }
  return rate;
}

absl::Status MeasurePortable(Driver& driver, DeviceInfo& info) {
  HET_ASSIGN_OR_RETURN(Yardstick yardstick, Yardstick::Make(driver, info));
  HET_ASSIGN_OR_RETURN(info.memory_bytes_per_s, MeasureReading(yardstick));
  HET_ASSIGN_OR_RETURN(info.flops_per_s, MeasureMultiplyAdd(yardstick));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureDevice(Driver& driver, DeviceInfo& info) {
  if (info.state != DeviceState::kOk || info.simulated || info.memory_bytes_per_s > 0) {
    return absl::OkStatus();
  }
  if (info.backend != "cpu") return MeasurePortable(driver, info);
  HET_ASSIGN_OR_RETURN(const cpu::HostRates rates, cpu::MeasureHost(info.cores));
  info.memory_bytes_per_s = rates.read_bytes_per_s;
  info.flops_per_s = rates.f32_flops_per_s;
  return absl::OkStatus();
}

}  // namespace het::probe
