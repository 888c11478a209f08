#include "devices/conformance/performance.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/units.h"
#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

constexpr int kRounds = 5;
constexpr double kRoundSeconds = 0.03;
constexpr int kMostRepeats = 1 << 14;
constexpr uint64_t kCopyBytes = 256 * kMiB;  // past what caches hold
constexpr uint32_t kItems = 1 << 16;         // of the multiply-add kernel
constexpr uint32_t kLanes = 32;              // of each item
constexpr uint32_t kSteps = 1 << 9;          // multiply-adds of each lane
constexpr uint32_t kGroup = 64;
constexpr uint32_t kMatrix = 4096;

// f32 multiply-adds in registers: enough independent ones that none waits for another.
struct ChainParams {
  uint32_t steps;
};
constexpr char kChain[] = R"CL(
struct ChainParams { uint steps; };
HET_KERNEL void chain(HET_BUFFER(0), struct ChainParams p) {
  float4 v[8];
  for (uint k = 0; k < 8; ++k) v[k] = het_float4((float)(het_global_id(0) + k));
  for (uint i = 0; i < p.steps; ++i) {
    v[0] = v[0] * 0.999f + 0.001f;
    v[1] = v[1] * 0.999f + 0.001f;
    v[2] = v[2] * 0.999f + 0.001f;
    v[3] = v[3] * 0.999f + 0.001f;
    v[4] = v[4] * 0.999f + 0.001f;
    v[5] = v[5] * 0.999f + 0.001f;
    v[6] = v[6] * 0.999f + 0.001f;
    v[7] = v[7] * 0.999f + 0.001f;
  }
  const float4 sum = v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7];
  HET_PTR(float, 0)[het_global_id(0)] = sum.x + sum.y + sum.z + sum.w;
}
)CL";

// The same for a processor, as wide as its registers are.
template <int kWidth>
struct Vector {
  typedef float Type __attribute__((vector_size(4 * kWidth)));
};
template <int kWidth>
__attribute__((always_inline)) inline void Chain(const het_native_call* call) {
  using Lanes = typename Vector<kWidth>::Type;
  const uint32_t steps = static_cast<const ChainParams*>(call->params)->steps;
  constexpr uint64_t kVectors = 8;
  for (uint64_t group = call->group_begin; group < call->group_end; ++group) {
    for (uint64_t part = 0; part < kGroup * kLanes / (kVectors * kWidth); ++part) {
      Lanes v[kVectors];
      for (uint64_t i = 0; i < kVectors; ++i) v[i] = Lanes{} + static_cast<float>(group + i);
      for (uint32_t step = 0; step < steps; ++step) {
        for (Lanes& one : v) one = one * 0.999f + 0.001f;
      }
      Lanes sum{};
      for (const Lanes& one : v) sum += one;
      static_cast<float*>(call->buffers[0])[group * kGroup + part] = sum[0];
    }
  }
}
#if defined(__x86_64__)
__attribute__((target("avx512f"))) void Chain16(const het_native_call* call) { Chain<16>(call); }
__attribute__((target("avx2,fma"))) void Chain8(const het_native_call* call) { Chain<8>(call); }
#endif
void Chain4(const het_native_call* call) { Chain<4>(call); }

het_native_fn WidestChain() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return Chain16;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Chain8;
#endif
  return Chain4;
}

}  // namespace

absl::StatusOr<Meter> Meter::Create(Device& device) {
  Meter meter(device);
  HET_ASSIGN_OR_RETURN(meter.queue_, device.CreateQueue(QueueKind::kCompute));
  HET_ASSIGN_OR_RETURN(meter.done_, device.CreateTimeline());
  HET_RETURN_IF_ERROR(meter.MeasurePeaks());
  return meter;
}

absl::StatusOr<double> Meter::Seconds(absl::FunctionRef<absl::Status(Queue&)> enqueue) {
  const auto round = [&](int repeats) -> absl::StatusOr<double> {
    const int64_t begin = device_->clock().MonotonicNanos();
    for (int i = 0; i < repeats; ++i) HET_RETURN_IF_ERROR(enqueue(*queue_));
    HET_RETURN_IF_ERROR(queue_->Barrier({{}, {done_, ++value_}}));
    HET_RETURN_IF_ERROR(queue_->Flush());
    HET_RETURN_IF_ERROR(done_->Wait(value_, absl::Seconds(60)));
    return static_cast<double>(device_->clock().MonotonicNanos() - begin) * 1e-9;
  };
  HET_ASSIGN_OR_RETURN(double seconds, round(1));  // warms up
  int repeats = 1;
  while (true) {
    HET_ASSIGN_OR_RETURN(seconds, round(repeats));
    if (seconds >= kRoundSeconds || repeats >= kMostRepeats) break;
    const double wanted = 1.3 * kRoundSeconds / std::max(seconds, 1e-9) * repeats;
    repeats =
        std::min(kMostRepeats, std::max(2 * repeats, static_cast<int>(std::min(wanted, 1e6))));
  }
  std::vector<double> rounds;
  for (int i = 0; i < kRounds; ++i) {
    HET_ASSIGN_OR_RETURN(seconds, round(repeats));
    rounds.push_back(seconds / repeats);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

absl::Status Meter::MeasurePeaks() {
  const uint64_t bytes = std::min(kCopyBytes, device_->info().memory_bytes / 8 / kMiB * kMiB);
  {
    HET_ASSIGN_OR_RETURN(const Ref<Buffer> from, device_->Allocate(bytes));
    HET_ASSIGN_OR_RETURN(const Ref<Buffer> to, device_->Allocate(bytes));
    HET_RETURN_IF_ERROR(queue_->Fill(*from, 0, bytes, 1));
    HET_ASSIGN_OR_RETURN(const double seconds, Seconds([&](Queue& queue) {
                           return queue.Copy(*from, 0, *to, 0, bytes);
                         }));
    peaks_.copy_bytes_per_s = 2.0 * static_cast<double>(bytes) / seconds;
  }
  // A product by a soft library takes minutes at this size, and would say nothing.
  const bool soft = absl::StrContains(device_->info().name, "(soft)");
  if (device_->Can(kMultipliesMatrices) && !soft) {
    const uint64_t half = uint64_t{kMatrix} * kMatrix * 2;
    HET_ASSIGN_OR_RETURN(const Ref<Buffer> w, device_->Allocate(half));
    HET_ASSIGN_OR_RETURN(const Ref<Buffer> x, device_->Allocate(half));
    HET_ASSIGN_OR_RETURN(const Ref<Buffer> y, device_->Allocate(2 * half));
    HET_RETURN_IF_ERROR(queue_->Fill(*w, 0, half, 0x11));
    HET_RETURN_IF_ERROR(queue_->Fill(*x, 0, half, 0x11));
    HET_ASSIGN_OR_RETURN(const double seconds, Seconds([&](Queue& queue) {
                           return queue.Multiply({.type = MatrixType::kF16,
                                                  .rows = kMatrix,
                                                  .n_in = kMatrix,
                                                  .n_out = kMatrix,
                                                  .accumulate = false,
                                                  .y_stride = 0,
                                                  .w = {w.get(), 0},
                                                  .x = {x.get(), 0},
                                                  .y = {y.get(), 0}});
                         }));
    peaks_.flops_per_s = 2.0 * kMatrix * kMatrix * kMatrix / seconds;
    peaks_.flops_of = "f16 matrices";
    return absl::OkStatus();
  }
  HET_ASSIGN_OR_RETURN(const Ref<Program> program,
                       device_->Build({.name = "peak",
                                       .portable = kChain,
                                       .options = "",
                                       .native = {{"chain", WidestChain()}}}));
  HET_ASSIGN_OR_RETURN(const Kernel* const chain, program->GetKernel("chain"));
  HET_ASSIGN_OR_RETURN(const Ref<Buffer> out, device_->Allocate(kItems * sizeof(float)));
  const BufferArg buffers[] = {{out.get(), 0}};
  const ChainParams params{kSteps};
  Launch launch;
  launch.kernel = chain;
  launch.groups[0] = kItems / kGroup;
  launch.group_size[0] = kGroup;
  launch.buffers = buffers;
  launch.params = BytesOf(params);
  launch.work.flops = 2.0 * kLanes * kItems * kSteps;
  HET_ASSIGN_OR_RETURN(const double seconds,
                       Seconds([&](Queue& queue) { return queue.Submit(launch); }));
  peaks_.flops_per_s = launch.work.flops / seconds;
  peaks_.flops_of = "f32 multiply-adds";
  return absl::OkStatus();
}

void Meter::PrintHead() {
  std::printf("%-30s %-26s %12s %10s %7s %12s %7s\n", "device", "what", "us", "GB/s", "of copy",
              "GFLOP/s", "of peak");
}

absl::Status Meter::Print(const std::string& what, double bytes, double flops,
                          absl::FunctionRef<absl::Status(Queue&)> enqueue) {
  HET_ASSIGN_OR_RETURN(const double seconds, Seconds(enqueue));
  std::printf("%-30.30s %-26s %12.2f", device_->info().name.c_str(), what.c_str(), seconds * 1e6);
  const auto column = [seconds](double amount, double peak, int width) {
    if (amount > 0) {
      std::printf(" %*.2f %6.1f%%", width, amount / seconds / 1e9,
                  100 * amount / seconds / std::max(1.0, peak));
    } else {
      std::printf(" %*s %7s", width, "-", "-");
    }
  };
  column(bytes, peaks_.copy_bytes_per_s, 10);
  column(flops, peaks_.flops_per_s, 12);
  std::printf("\n");
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status PrintPerformance(Device& device) {
  HET_ASSIGN_OR_RETURN(Meter meter, Meter::Create(device));
  std::printf("%-30.30s peaks: copy %.2f GB/s (read and written), %s %.2f GFLOP/s\n",
              device.info().name.c_str(), meter.peaks().copy_bytes_per_s / 1e9,
              meter.peaks().flops_of.c_str(), meter.peaks().flops_per_s / 1e9);
  const uint64_t bytes =
      std::min<uint64_t>(64 * kMiB, device.info().memory_bytes / 16 / kMiB * kMiB);
  HET_ASSIGN_OR_RETURN(const Ref<Buffer> a, device.Allocate(bytes));
  HET_ASSIGN_OR_RETURN(const Ref<Buffer> b, device.Allocate(bytes));
  HET_ASSIGN_OR_RETURN(const Ref<Buffer> staging, device.Allocate(bytes, MemoryKind::kStaging));
  HET_RETURN_IF_ERROR(meter.queue().Fill(*a, 0, bytes, 0));
  const auto size = static_cast<double>(bytes);
  std::vector<uint8_t> pageable(bytes, 1);
  const std::string mib = absl::StrCat(" ", bytes / kMiB, " MiB");
  HET_RETURN_IF_ERROR(meter.Print("write" + mib, size, 0, [&](Queue& queue) {
    return queue.Write(pageable.data(), *a, 0, bytes);
  }));
  HET_RETURN_IF_ERROR(meter.Print("read" + mib, size, 0, [&](Queue& queue) {
    return queue.Read(*a, 0, pageable.data(), bytes);
  }));
  HET_RETURN_IF_ERROR(meter.Print("staging to device" + mib, size, 0, [&](Queue& queue) {
    return queue.Copy(*staging, 0, *a, 0, bytes);
  }));
  HET_RETURN_IF_ERROR(meter.Print("device to staging" + mib, size, 0, [&](Queue& queue) {
    return queue.Copy(*a, 0, *staging, 0, bytes);
  }));
  HET_RETURN_IF_ERROR(meter.Print("fill" + mib, size, 0,
                                  [&](Queue& queue) { return queue.Fill(*a, 0, bytes, 7); }));
  HET_RETURN_IF_ERROR(meter.queue().Fill(*a, 0, bytes, 0));
  HET_RETURN_IF_ERROR(meter.queue().Fill(*b, 0, bytes, 0));

  HET_ASSIGN_OR_RETURN(const Ref<Program> program, device.Build(TestProgram()));
  const auto count = static_cast<uint32_t>(bytes / sizeof(float));
  const auto launch = [&](const char* name, absl::Span<const BufferArg> buffers,
                          absl::Span<const std::byte> params, double moved,
                          double flops) -> absl::Status {
    HET_ASSIGN_OR_RETURN(const Kernel* const kernel, program->GetKernel(name));
    Launch one;
    one.kernel = kernel;
    one.groups[0] = count / kReduceGroup;
    one.group_size[0] = kReduceGroup;
    one.buffers = buffers;
    one.params = params;
    one.work = {.flops = flops, .bytes = moved, .batch = 1};
    return meter.Print(name, moved, flops, [&](Queue& queue) { return queue.Submit(one); });
  };
  const BufferArg both[] = {{a.get(), 0}, {b.get(), 0}};
  const SaxpyParams saxpy{0.5f, count};
  const ReduceParams reduce{count};
  const StepParams step{3, count};
  HET_RETURN_IF_ERROR(launch("saxpy", both, BytesOf(saxpy), 3 * size, 2.0 * count));
  HET_RETURN_IF_ERROR(launch("reduce", both, BytesOf(reduce), size * 65 / 64, 1.0 * count));
  return launch("step", absl::MakeConstSpan(both, 1), BytesOf(step), 2 * size, 2.0 * count);
}

}  // namespace het::conformance
