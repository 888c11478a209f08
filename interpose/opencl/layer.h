// Layer: the one instance of the OpenCL layer in a process: the table below it, what the
// environment asked for, the seat, and what the hooks need. Made by clInitLayer when the program
// is to run in a slice, and never destroyed: drivers call back from threads of their own until the
// process is gone.
//
// Failing closed: when the settings are wrong, the seat was refused, or the leased device is not
// there, `device()` is null for ever, the reason is on stderr once, and the program finds no
// device. A child made by fork without exec shares the parent's seat in memory but may not use it:
// it finds no device either.
#ifndef HET_INTERPOSE_OPENCL_LAYER_H_
#define HET_INTERPOSE_OPENCL_LAYER_H_

#include <atomic>
#include <memory>
#include <optional>

#include "absl/base/call_once.h"
#include "absl/status/status.h"
#include "interpose/opencl/cl.h"
#include "interpose/opencl/device_view.h"
#include "interpose/opencl/memory.h"
#include "interpose/opencl/watcher.h"
#include "interpose/seat.h"
#include "interpose/settings.h"
#include "interpose/turns.h"

namespace het::interpose {

class Layer {
 public:
  // The layer of this process; null while it is transparent.
  static Layer* Get() { return instance_; }
  // Takes the seat. Called once, before any hook.
  static void Start(const cl_icd_dispatch& next, const Settings& settings);
  // For settings that cannot be understood: a layer that shows no device.
  static void StartRefused(const cl_icd_dispatch& next, const absl::Status& why);

  const cl_icd_dispatch& next() const { return next_; }
  const Settings& settings() const { return settings_; }
  Seat& seat() { return *seat_; }
  // Only when there is a device.
  MemoryAccount& memory() { return *memory_; }

  // Null where launches take no turns.
  Turns* turns() { return forked_.load(std::memory_order_relaxed) ? nullptr : turns_.get(); }
  // Once: why the program's launches fail from now on.
  void SaySeatLost(const absl::Status& why);

  // The program's device, looked for on the first call. Null: it gets none.
  const DeviceView* device();

 private:
  explicit Layer(const cl_icd_dispatch& next) : next_(next) {}
  void Refuse(const absl::Status& why);
  void Look();
  void AtExit();

  static Layer* instance_;

  const cl_icd_dispatch next_;
  Settings settings_;
  std::unique_ptr<Seat> seat_;  // null: refused
  std::unique_ptr<MemoryAccount> memory_;
  std::unique_ptr<OpenClWatcher> watcher_;  // both made with the view
  std::unique_ptr<Turns> turns_;
  absl::once_flag looked_, said_;
  std::optional<DeviceView> view_;  // written once under looked_
  // relaxed: set in a forked child that has one thread.
  std::atomic<bool> forked_{false};
  std::atomic<bool> said_forked_{false};
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_OPENCL_LAYER_H_
