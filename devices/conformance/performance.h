// Meter: how fast one device does what it is given, beside what it can do at most. The performance
// mode of the conformance programs (`..._conformance_test --performance`) prints the suite's
// kernels with it; tests/portable_kernels those of the engine.
//
// A figure is the median of several rounds; a round queues the work so often that it takes tens of
// milliseconds, and ends when the last of it is done, by the device's own clock. Launches follow
// each other, so what a launch costs by itself is hidden as far as the queue can hide it.
//
// Threads: one. Ownership: the device outlives the meter.
#ifndef HET_DEVICES_CONFORMANCE_PERFORMANCE_H_
#define HET_DEVICES_CONFORMANCE_PERFORMANCE_H_

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/device.h"

namespace het::conformance {

struct Peaks {
  // Bytes read and bytes written of a copy within the device's memory, per second.
  double copy_bytes_per_s = 0;
  // Operations per second (a multiply-add is two) of a product of f16 matrices where the device has
  // one (kMultipliesMatrices), else of f32 multiply-adds in registers.
  double flops_per_s = 0;
  std::string flops_of;  // "f16 matrices", "f32 multiply-adds"
};

class Meter {
 public:
  static absl::StatusOr<Meter> Create(Device& device);

  Device& device() { return *device_; }
  Queue& queue() { return *queue_; }
  const Peaks& peaks() const { return peaks_; }

  // Seconds of one `enqueue`, which puts work on the queue it is given.
  absl::StatusOr<double> Seconds(absl::FunctionRef<absl::Status(Queue&)> enqueue);

  static void PrintHead();
  // "<device> <what> GB/s (of the copy's peak) GFLOP/s (of the matrix peak)"; `bytes` and `flops`
  // of one enqueue, 0: not shown.
  absl::Status Print(const std::string& what, double bytes, double flops,
                     absl::FunctionRef<absl::Status(Queue&)> enqueue);

 private:
  explicit Meter(Device& device) : device_(&device) {}
  absl::Status MeasurePeaks();

  Device* device_;
  std::unique_ptr<Queue> queue_;
  Ref<Timeline> done_;
  uint64_t value_ = 0;
  Peaks peaks_;
};

// The peaks, the copies and the kernels of the suite on `device`.
absl::Status PrintPerformance(Device& device);

}  // namespace het::conformance

#endif  // HET_DEVICES_CONFORMANCE_PERFORMANCE_H_
