// What a launch costs on the cpu device, on one core and on all: empty kernels of 64 groups, back
// to back (time per launch, submission included) and alone (from Submit until its signal is seen by
// a poller, and by Timeline::Wait). The control is the same function called in a plain loop. Then
// what an idle queue costs.
//
//   cpu_launch_bench [rounds]     prints microseconds: median (min .. max) over the rounds
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "devices/cpu/cpu_driver.h"
#include "devices/cpu/measure.h"
#include "devices/cpu/parker.h"

namespace het {
namespace {

constexpr int kBackToBack = 20000;
constexpr int kAlone = 500;

void Empty(const het_native_call* call) { asm volatile("" : : "r"(call) : "memory"); }

double Micros(int64_t nanos) { return static_cast<double>(nanos) * 1e-3; }

void Report(const char* what, std::vector<double> micros) {
  std::sort(micros.begin(), micros.end());
  std::printf("  %-34s %8.3f  (%.3f .. %.3f)\n", what, micros[micros.size() / 2], micros.front(),
              micros.back());
}

std::vector<double> Rounds(int rounds, const std::function<double()>& round) {
  std::vector<double> results;
  for (int i = 0; i < rounds; ++i) results.push_back(round());
  return results;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

double ProcessCpuMillis() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

absl::Status RunOn(Driver& driver, const DeviceInfo& info, std::vector<uint32_t> cores,
                   int rounds) {
  absl::StatusOr<cpu::HostRates> rates = cpu::MeasureHost(cores);
  if (!rates.ok()) return rates.status();
  std::printf("%zu core(s) of %s: read %.1f GB/s, f32 multiply-add peak %.1f GFLOP/s (%s)\n",
              cores.size(), info.name.c_str(), rates->read_bytes_per_s * 1e-9,
              rates->f32_flops_per_s * 1e-9, rates->simd.c_str());
  absl::StatusOr<std::unique_ptr<Device>> device = driver.Open(info.uuid, {.cores = cores});
  if (!device.ok()) return device.status();
  ProgramSource source;
  source.name = "bench";
  source.native = {{"empty", Empty}};
  Ref<Program> program = *(*device)->Build(source);
  Ref<Timeline> timeline = *(*device)->CreateTimeline();
  Ref<Buffer> buffer = *(*device)->Allocate(4096);
  std::unique_ptr<Queue> queue = *(*device)->CreateQueue(QueueKind::kCompute);
  const BufferArg args[] = {{buffer.get(), 0}, {buffer.get(), 64}, {buffer.get(), 128}};
  const std::byte params[32] = {};
  Launch launch;
  launch.kernel = *program->GetKernel("empty");
  launch.groups[0] = 64;
  launch.buffers = args;
  launch.params = params;
  uint64_t value = 0;
  absl::Status status;
  const auto submit = [&](bool signal) {
    Sync sync;
    if (signal) sync.signal = {timeline, ++value};
    const absl::Status submitted = queue->Submit(launch, sync);
    if (!submitted.ok()) status = submitted;
  };
  const auto now = [] { return Clock::Real().MonotonicNanos(); };

  Report("plain calls", Rounds(rounds, [&] {
           const int64_t start = now();
           het_native_call call = {};
           for (int i = 0; i < kBackToBack; ++i) Empty(&call);
           return Micros(now() - start) / kBackToBack;
         }));
  std::vector<double> processor;
  Report("back to back, per launch", Rounds(rounds, [&] {
           const double spent = ProcessCpuMillis();
           const int64_t start = now();
           for (int i = 1; i < kBackToBack; ++i) submit(false);
           submit(true);
           status.Update(timeline->Wait(value));
           const double micros = Micros(now() - start) / kBackToBack;
           processor.push_back((ProcessCpuMillis() - spent) * 1e3 / kBackToBack);
           return micros;
         }));
  Report("  processor time, all threads", processor);
  Report("alone, seen by polling", Rounds(rounds, [&] {
           std::vector<double> each;
           for (int i = 0; i < kAlone; ++i) {
             const int64_t start = now();
             submit(true);
             while (!cpu::SpinFor(1'000'000, [&] { return timeline->value() >= value; })) {
             }
             each.push_back(Micros(now() - start));
           }
           return Median(each);
         }));
  Report("alone, seen by Timeline::Wait", Rounds(rounds, [&] {
           std::vector<double> each;
           for (int i = 0; i < kAlone; ++i) {
             const int64_t start = now();
             submit(true);
             status.Update(timeline->Wait(value));
             each.push_back(Micros(now() - start));
           }
           return Median(each);
         }));
  const timespec pause = {0, 500'000'000};
  const double before = ProcessCpuMillis();
  nanosleep(&pause, nullptr);
  std::printf("  idle for 500 ms used %.3f ms of processor time\n", ProcessCpuMillis() - before);
  return status;
}

absl::Status Main(int rounds) {
  absl::StatusOr<std::unique_ptr<Driver>> driver = cpu::CreateDriver({});
  if (!driver.ok()) return driver.status();
  const DeviceInfo info = (*(*driver)->Enumerate())[0];
  absl::Status status = RunOn(**driver, info, {info.cores[0]}, rounds);
  if (status.ok() && info.cores.size() > 1) status = RunOn(**driver, info, info.cores, rounds);
  return status;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 7;
  const absl::Status status = het::Main(rounds);
  if (!status.ok()) std::fprintf(stderr, "cpu_launch_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
