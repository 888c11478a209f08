// Session: a program's view of the node: its devices, the leases it acquires, and what those share
// in this process (vendor drivers, executor workers, the calibration cache).
//
// Reference-counted; leases and pipelines keep it alive. Threads: all members are thread-safe.
// Failures: Unavailable when no daemon answers; else those of the broker.
#ifndef HET_RUNTIME_SESSION_H_
#define HET_RUNTIME_SESSION_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "devices/driver.h"
#include "runtime/broker.h"
#include "runtime/calibration.h"
#include "runtime/executor.h"
#include "runtime/handle.h"
#include "runtime/lease.h"

namespace het::runtime {

struct SessionOptions {
  enum class Mode { kDaemon, kEmbedded, kFallback };
  Mode mode = Mode::kDaemon;
  std::string socket;
  std::string simulate;
  std::string tenant;
  std::string isolate;  // backends in worker processes: "cuda,hip", "all"; empty: none
};

class Session final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kSession;
  static constexpr const char* kTypeName = "het_session";

  static absl::StatusOr<Ref<Session>> Open(const SessionOptions& options);

  bool embedded() const { return embedded_; }
  // Looks again; devices may be numbered anew.
  absl::Status Refresh();
  size_t device_count() const;

  // The info lives as long as the session, whatever Refresh finds. OutOfRange past the last device.
  struct Row {
    const DeviceInfo* info = nullptr;
    const std::string* why = nullptr;  // not ok, and what to do; empty when ok
    Amount free;
  };
  absl::StatusOr<Row> device(size_t index) const;

  // All or none, in the order of the requests. Opens no device.
  // `held_by`: what must hold each of them at least; empty: whatever does. FailedPrecondition where
  // it would be less, with what is there.
  absl::StatusOr<std::vector<Ref<LeaseHandle>>> Acquire(absl::Span<const SliceRequest> requests,
                                                        absl::Span<const Isolation> held_by = {});

  // For leases: the driver that opens this device, loaded on first use with the cores of all leases
  // on its backend; and the end of a lease.
  absl::StatusOr<Driver*> DriverFor(const DeviceInfo& device);
  void Released(const LeaseHandle& lease);
  absl::StatusOr<std::shared_ptr<ArbiterSeat>> Attach(const Lease& lease) {
    return broker_->Attach(lease);
  }

  // Workers of the pipelines on real devices; made on first use.
  Executor& executor();
  const CalibrationCache& calibrations() const { return calibrations_; }

 private:
  Session(std::unique_ptr<Broker> broker, bool embedded, std::string tenant, std::string isolate);
  absl::Status List(bool rescan);
  absl::Status TooLittleIsolation(const Slice& slice, Isolation asked) const;
  Row Keep(const protocol::DeviceRow& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::unique_ptr<Broker> broker_;
  const bool embedded_;
  const std::string tenant_;
  const std::string isolate_;
  const CalibrationCache calibrations_;

  mutable absl::Mutex mutex_;
  // Every one ever shown; addresses stay.
  struct Shown {
    DeviceInfo info;
    std::string why;
  };
  std::deque<Shown> shown_ ABSL_GUARDED_BY(mutex_);
  std::vector<Row> rows_ ABSL_GUARDED_BY(mutex_);
  std::vector<const LeaseHandle*> leases_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Executor> executor_ ABSL_GUARDED_BY(mutex_);

  // By (backend, profile). A separate lock: loading a vendor library may take seconds.
  absl::Mutex drivers_mutex_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Driver>> drivers_
      ABSL_GUARDED_BY(drivers_mutex_);
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_SESSION_H_
