// Faults: what goes wrong with simulated devices, on purpose. A plan comes from the profile
// ([device.fault]) or from a test; it belongs to the device's UUID, so that it works on devices
// that are open already and on those that will be.
//
// - lost: everything queued fails with DataLoss, and so does every call; Open fails and Enumerate
//   shows it as degraded, until HealDevice.
// - hung: the operation it happens to never completes, and nothing after it; only destroying its
//   queue ends it (with Cancelled).
// - out of memory: allocations past the figure fail with ResourceExhausted.
// - slow link: copies to and from the host take that many times as long.
//
// Threads: all functions are thread-safe. State is per process and lives as long as the process.
#ifndef HET_DEVICES_SIMULATED_FAULTS_H_
#define HET_DEVICES_SIMULATED_FAULTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/ref.h"

namespace het::simulated {

struct Faults {
  // So many operations (launches, copies, fills) complete; the next one loses or hangs the device.
  std::optional<uint64_t> lose_after_ops = {};
  std::optional<uint64_t> hang_after_ops = {};
  // Nanoseconds on the device's clock (virtual in timing mode) after it was opened.
  std::optional<int64_t> lose_at_nanos = {};
  std::optional<uint64_t> out_of_memory_after_bytes = {};
  double link_slowdown = 1;  // >= 1
};

// The plan of the device from now on; operations are counted from here. A lost device stays lost.
void SetFaults(const std::string& uuid, const Faults& faults);
// Now, in the calling thread: the failures have been delivered, or are on their way in the queues'
// threads, when it returns.
void LoseDevice(const std::string& uuid, absl::string_view reason = "lost by a test");
// No faults any more, and not lost: devices opened from now on work. Those that were open stay
// lost.
void HealDevice(const std::string& uuid);

// The rest is for the backend.

// Something that must fail when its device is lost.
class LossListener : public RefCounted {
 public:
  // Called without locks, once, by whichever thread the loss happens in.
  virtual void OnLost(const absl::Status& status) = 0;
};

// The faults of one device, shared by everything that has it open.
class FaultState : public RefCounted {
 public:
  // That of `uuid`; made on first use, with `plan` from the profile.
  static Ref<FaultState> Of(const std::string& uuid, const Faults& plan = {});

  enum class Verdict { kRun, kHang, kLost };
  // An operation is about to start, `nanos` after the device was opened: counts it, and says what
  // becomes of it. kLost: everything was told.
  Verdict BeforeOp(int64_t nanos);
  // Another `bytes` on top of `taken`: ResourceExhausted past the plan's figure.
  absl::Status CheckAllocation(uint64_t taken, uint64_t bytes, absl::string_view device) const;
  double link_slowdown() const;
  std::optional<int64_t> lose_at_nanos() const;
  // OK, or why it is lost.
  absl::Status lost() const;

  void Lose(absl::string_view reason);
  // A listener that comes too late is told at once.
  void Watch(Ref<LossListener> listener);
  void Unwatch(LossListener* listener);

 private:
  friend void SetFaults(const std::string& uuid, const Faults& faults);
  friend void HealDevice(const std::string& uuid);

  mutable absl::Mutex mutex_;
  Faults plan_ ABSL_GUARDED_BY(mutex_);
  uint64_t ops_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status lost_ ABSL_GUARDED_BY(mutex_);
  std::vector<Ref<LossListener>> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_FAULTS_H_
