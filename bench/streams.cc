// What het's layer costs per launch over the vendor's bare API, on the soft drivers of
// tests/soft_drivers (they cost what a call, a lock and a copy of the arguments cost) and on PoCL:
// the time that the submitting thread is busy, while a long kernel holds the stream up, so that
// nothing else runs. The control calls the driver's own entry point, with arguments packed
// beforehand and the device current.
//
// usage: LD_LIBRARY_PATH=build/soft_drivers
// ZE_ENABLE_ALT_DRIVERS=build/soft_drivers/libze_soft.so.1
//        OCL_ICD_VENDORS=pocl.icd build/bench/streams [--json]     (./dev bench streams)
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "base/clock.h"
#include "bench/report.h"
#include "devices/cuda/driver.h"
#include "devices/hip/driver.h"
#include "devices/level_zero/driver.h"
#include "devices/opencl/device.h"
#include "devices/opencl/program.h"
#include "devices/registry.h"
#include "devices/spirv/modules.h"
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

using BareLaunch = std::function<void()>;

// `bare` launches "touch" on the queue's own handle, by the driver's entry point. `gpu`: is made
// current around the control, which het does around each call; may be null.
void Compare(const std::string& name, Setup& setup, streams::Gpu* gpu, const BareLaunch& bare,
             Report& report) {
  const BufferArg arguments[] = {{setup.a.get(), 0}, {setup.b.get(), 0}};
  const uint32_t params = 64;
  Launch launch;
  launch.kernel = *setup.program->GetKernel("touch");
  launch.group_size[0] = 64;
  launch.buffers = arguments;
  launch.params = BytesOf(params);

  Samples control, het, extra;
  for (int round = -2; round < kRounds; ++round) {
    double without = 0;
    {
      std::optional<streams::Current> current;
      if (gpu != nullptr) current.emplace(*gpu);
      without = Measure(setup, bare);
    }
    const double with = Measure(setup, [&] { (void)setup.queue->Submit(launch); });
    if (round < 0) continue;  // warm up
    control.Add(without);
    het.Add(with);
    extra.Add(with - without);
  }
  report.Note(name + ": " + setup.device->info().name);
  report.Add(Row{name, "bare launch (control)", "us", control, 0});
  report.Add(Row{name, "Queue::Submit", "us", het, het.median() / control.median()});
  report.Add(Row{name, "difference", "us", extra, 0});
  report.Add(Goal{name + ": het's part of a launch, us", extra.median(), kGoalMicros, true});
}

// "touch" with its arguments packed, for the drivers that take them so.
struct Packed {
  explicit Packed(Setup& setup)
      : address{static_cast<streams::StreamBuffer&>(*setup.a).address(), 0,
                static_cast<streams::StreamBuffer&>(*setup.b).address(), 0} {}
  uint64_t address[4];
  uint32_t count = 64;
};
constexpr size_t kPackedBytes = 4 * 8 + 4;

void CompareCuda(Setup& setup, Report& report) {
  const cuda::Api& api = **cuda::LoadApi();
  const auto* kernel =
      static_cast<const streams::StreamKernel*>(*setup.program->GetKernel("touch"));
  streams::Gpu& gpu = static_cast<streams::StreamDevice&>(*setup.device).gpu();
  Packed packed(setup);
  size_t bytes = kPackedBytes;
  Compare(
      "cuda", setup, &gpu,
      [&] {
        void* extra[] = {cuda::kLaunchParamBufferPointer, &packed, cuda::kLaunchParamBufferSize,
                         &bytes, cuda::kLaunchParamEnd};
        api.cuLaunchKernel(static_cast<cuda::CUfunction>(kernel->handle()), 1, 1, 1, 64, 1, 1, 0,
                           static_cast<cuda::CUstream>(setup.queue->native_handle()), nullptr,
                           extra);
      },
      report);
}

void CompareHip(Setup& setup, Report& report) {
  const hip::Api& api = **hip::LoadApi();
  const auto* kernel =
      static_cast<const streams::StreamKernel*>(*setup.program->GetKernel("touch"));
  streams::Gpu& gpu = static_cast<streams::StreamDevice&>(*setup.device).gpu();
  Packed packed(setup);
  size_t bytes = kPackedBytes;
  Compare(
      "hip", setup, &gpu,
      [&] {
        void* extra[] = {hip::kLaunchParamBufferPointer, &packed, hip::kLaunchParamBufferSize,
                         &bytes, hip::kLaunchParamEnd};
        api.hipModuleLaunchKernel(static_cast<hip::hipFunction_t>(kernel->handle()), 1, 1, 1, 64, 1,
                                  1, 0, static_cast<hip::hipStream_t>(setup.queue->native_handle()),
                                  nullptr, extra);
      },
      report);
}

// A kernel of the control's own: Level Zero's have their arguments inside. Each is set anew for
// each launch, and a barrier keeps the list in order, as het does it.
void CompareLevelZero(Setup& setup, Report& report) {
  using level_zero::Handle;
  const level_zero::Api& api = **level_zero::LoadApi();
  uint32_t one = 1;
  Handle driver = nullptr, device = nullptr, module = nullptr, kernel = nullptr;
  api.zeDriverGet(&one, &driver);
  api.zeDeviceGet(driver, &one, &device);
  const absl::StatusOr<std::string> image = spirv::ModuleFor(kSource, "");
  level_zero::ModuleDesc module_desc;
  level_zero::KernelDesc kernel_desc;
  kernel_desc.name = "touch";
  if (image.ok()) {
    module_desc.bytes = image->size();
    module_desc.image = reinterpret_cast<const uint8_t*>(image->data());
  }
  if (!image.ok() ||
      api.zeModuleCreate(setup.device->native_handle(), device, &module_desc, &module, nullptr) !=
          level_zero::kSuccess ||
      api.zeKernelCreate(module, &kernel_desc, &kernel) != level_zero::kSuccess) {
    report.Note("level_zero: no module for the control");
    return;
  }
  const Packed packed(setup);
  const Handle list = setup.queue->native_handle();
  const level_zero::GroupCount groups = {1, 1, 1};
  Compare(
      "level_zero", setup, nullptr,
      [&] {
        api.zeKernelSetGroupSize(kernel, 64, 1, 1);
        for (uint32_t i = 0; i < 4; ++i) {
          api.zeKernelSetArgumentValue(kernel, i, sizeof(uint64_t), &packed.address[i]);
        }
        api.zeKernelSetArgumentValue(kernel, 4, sizeof(uint32_t), &packed.count);
        api.zeCommandListAppendLaunchKernel(list, kernel, &groups, nullptr, 0, nullptr);
        api.zeCommandListAppendBarrier(list, nullptr, 0, nullptr);
      },
      report);
  api.zeKernelDestroy(kernel);
  api.zeModuleDestroy(module);
}

// A kernel of the control's own, its arguments set once: het sets what has changed.
void CompareOpenCl(Setup& setup, Report& report) {
  const opencl::Api& api = **opencl::LoadApi();
  const auto* built = static_cast<const opencl::ClKernel*>(*setup.program->GetKernel("touch"));
  cl_int error = CL_SUCCESS;
  cl_kernel kernel =
      api.clCreateKernel(built->program().program(), built->driver_name().c_str(), &error);
  const cl_mem buffers[] = {static_cast<opencl::ClBuffer&>(*setup.a).memory(),
                            static_cast<opencl::ClBuffer&>(*setup.b).memory()};
  const cl_ulong offset = 0;
  const cl_uint count = 64;
  for (cl_uint i = 0; i < 2; ++i) {
    api.clSetKernelArg(kernel, 2 * i, sizeof(cl_mem), &buffers[i]);
    api.clSetKernelArg(kernel, 2 * i + 1, sizeof(offset), &offset);
  }
  api.clSetKernelArg(kernel, 4, sizeof(count), &count);
  const size_t items = 64;
  auto* const queue = static_cast<cl_command_queue>(setup.queue->native_handle());
  Compare(
      "opencl", setup, nullptr,
      [&] {
        api.clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &items, &items, 0, nullptr, nullptr);
      },
      report);
  api.clReleaseKernel(kernel);
}

int Main(int argc, char** argv) {
  bool json = false;
  CLI::App app("What het costs per launch over the bare API, on the soft drivers");
  app.add_flag("--json", json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  Report report("streams");
  bool any = false;
  const struct {
    const char* backend;
    void (*compare)(Setup&, Report&);
  } all[] = {{"cuda", CompareCuda},
             {"hip", CompareHip},
             {"level_zero", CompareLevelZero},
             {"opencl", CompareOpenCl}};
  for (const auto& [backend, compare] : all) {
    absl::StatusOr<Setup> setup = Prepare(CreateDriver(backend));
    if (setup.ok()) {
      compare(*setup, report);
      any = true;
    } else {
      report.Note(std::string(backend) + ": " + std::string(setup.status().message()));
    }
  }
  report.Print(json);
  return any ? 0 : 1;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
