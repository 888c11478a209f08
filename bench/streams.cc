// What het's layer costs per launch over the vendor's bare API, on the soft drivers of
// tests/soft_drivers (they cost what a call, a lock and a copy of the arguments cost): the time
// that the submitting thread is busy, while a long kernel holds the stream up, so that nothing else
// runs. The control calls the driver's own entry point, with arguments packed beforehand and the
// device current.
//
// usage: LD_LIBRARY_PATH=build/soft_drivers build/bench/streams [--json]
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "base/clock.h"
#include "bench/report.h"
#include "devices/cuda/driver.h"
#include "devices/hip/driver.h"
#include "devices/streams/device.h"

namespace het::bench {
namespace {

constexpr int kRounds = 25;
constexpr int kLaunches = 3000;
constexpr double kGoalMicros = 0.3;
constexpr char kSource[] = R"CL(
struct TouchParams { uint count; };
HET_KERNEL HET_GROUP_SIZE(64) void touch(HET_BUFFER(0), HET_BUFFER(1), struct TouchParams p) {
  if (het_global_id(0) < p.count) HET_PTR(uint, 0)[het_global_id(0)] = p.count;
}
struct HoldParams { uint rounds; };
HET_KERNEL void hold(HET_BUFFER(0), struct HoldParams p) {
  uint x = 1;
  for (uint i = 0; i < p.rounds; ++i) {
    for (uint k = 0; k < 1000; ++k) x = x * 1664525u + 1013904223u + (x >> 16);
  }
  HET_PTR(uint, 0)[0] = x;
}
)CL";

struct Setup {
  std::unique_ptr<Driver> driver;
  std::unique_ptr<Device> device;
  Ref<Program> program;
  std::unique_ptr<Queue> queue;
  Ref<Buffer> a, b;
  Ref<Timeline> done;
  uint64_t value = 0;
};

template <typename T>
absl::Span<const std::byte> BytesOf(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(value)};
}

absl::StatusOr<Setup> Prepare(absl::StatusOr<std::unique_ptr<Driver>> driver) {
  if (!driver.ok()) return driver.status();
  Setup setup;
  setup.driver = *std::move(driver);
  setup.device = *setup.driver->Open(setup.driver->Enumerate()->front().uuid, {});
  auto program =
      setup.device->Build({.name = "streams", .portable = kSource, .options = "", .native = {}});
  if (!program.ok()) return program.status();
  setup.program = *std::move(program);
  setup.queue = *setup.device->CreateQueue(QueueKind::kCompute);
  setup.a = *setup.device->Allocate(4096);
  setup.b = *setup.device->Allocate(4096);
  setup.done = *setup.device->CreateTimeline();
  return setup;
}

void Submit(Setup& setup, const char* kernel, uint32_t params, size_t buffers, uint32_t items) {
  const BufferArg arguments[] = {{setup.a.get(), 0}, {setup.b.get(), 0}};
  Launch launch;
  launch.kernel = *setup.program->GetKernel(kernel);
  launch.group_size[0] = items;
  launch.buffers = absl::MakeConstSpan(arguments, buffers);
  launch.params = BytesOf(params);
  if (const absl::Status status = setup.queue->Submit(launch); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
}

void Finish(Setup& setup) {
  (void)setup.queue->Barrier({.waits = {}, .signal = {setup.done, ++setup.value}});
  if (!setup.done->Wait(setup.value).ok()) std::exit(1);
}

// Microseconds of the submitting thread per launch.
double Measure(Setup& setup, const std::function<void()>& launch) {
  Submit(setup, "hold", 40, 1, 1);  // tens of milliseconds on one core
  const int64_t begin = Clock::Real().MonotonicNanos();
  for (int i = 0; i < kLaunches; ++i) launch();
  const int64_t nanos = Clock::Real().MonotonicNanos() - begin;
  Finish(setup);
  return static_cast<double>(nanos) / kLaunches / 1e3;
}

using BareLaunch = std::function<void(void* kernel, void* packed, size_t bytes, void* stream)>;

void Compare(const std::string& name, Setup& setup, const BareLaunch& bare, Report& report) {
  const auto* kernel =
      static_cast<const streams::StreamKernel*>(*setup.program->GetKernel("touch"));
  struct {
    uint64_t address[4];
    uint32_t count;
  } packed = {{static_cast<streams::StreamBuffer&>(*setup.a).address(), 0,
               static_cast<streams::StreamBuffer&>(*setup.b).address(), 0},
              64};
  const BufferArg arguments[] = {{setup.a.get(), 0}, {setup.b.get(), 0}};
  const uint32_t params = 64;
  Launch launch;
  launch.kernel = kernel;
  launch.group_size[0] = 64;
  launch.buffers = arguments;
  launch.params = BytesOf(params);
  streams::Gpu& gpu = static_cast<streams::StreamDevice&>(*setup.device).gpu();

  Samples control, het, extra;
  for (int round = -2; round < kRounds; ++round) {
    double without = 0;
    {
      const streams::Current current(gpu);
      without = Measure(
          setup, [&] { bare(kernel->handle(), &packed, 4 * 8 + 4, setup.queue->native_handle()); });
    }
    const double with = Measure(setup, [&] { (void)setup.queue->Submit(launch); });
    if (round < 0) continue;  // warm up
    control.Add(without);
    het.Add(with);
    extra.Add(with - without);
  }
  report.Add(Row{name, "bare launch (control)", "us", control, 0});
  report.Add(Row{name, "Queue::Submit", "us", het, het.median() / control.median()});
  report.Add(Row{name, "difference", "us", extra, 0});
  report.Add(Goal{name + ": het's part of a launch, us", extra.median(), kGoalMicros, true});
}

int Main(int argc, char** argv) {
  bool json = false;
  CLI::App app("What het costs per launch over the bare API, on the soft drivers");
  app.add_flag("--json", json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  Report report("streams");
  bool any = false;
  if (auto setup = Prepare(cuda::CreateDriver({})); setup.ok()) {
    any = true;
    const cuda::Api& api = **cuda::LoadApi();
    report.Note(setup->device->info().name);
    Compare(
        "cuda", *setup,
        [&api](void* kernel, void* packed, size_t bytes, void* stream) {
          void* extra[] = {cuda::kLaunchParamBufferPointer, packed, cuda::kLaunchParamBufferSize,
                           &bytes, cuda::kLaunchParamEnd};
          api.cuLaunchKernel(static_cast<cuda::CUfunction>(kernel), 1, 1, 1, 64, 1, 1, 0,
                             static_cast<cuda::CUstream>(stream), nullptr, extra);
        },
        report);
  } else {
    report.Note("cuda: " + std::string(setup.status().message()));
  }
  if (auto setup = Prepare(hip::CreateDriver({})); setup.ok()) {
    any = true;
    const hip::Api& api = **hip::LoadApi();
    report.Note(setup->device->info().name);
    Compare(
        "hip", *setup,
        [&api](void* kernel, void* packed, size_t bytes, void* stream) {
          void* extra[] = {hip::kLaunchParamBufferPointer, packed, hip::kLaunchParamBufferSize,
                           &bytes, hip::kLaunchParamEnd};
          api.hipModuleLaunchKernel(static_cast<hip::hipFunction_t>(kernel), 1, 1, 1, 64, 1, 1, 0,
                                    static_cast<hip::hipStream_t>(stream), nullptr, extra);
        },
        report);
  } else {
    report.Note("hip: " + std::string(setup.status().message()));
  }
  report.Print(json);
  return any ? 0 : 1;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
