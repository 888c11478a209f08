// IsolatedDriver: any backend's driver in a worker process (het-worker), behind the same contract:
// a driver that crashes or hangs takes its worker along and nothing else. Its devices are then lost
// (DataLoss), which is what an engine plans around; the next Open starts a new worker.
//
// What crosses: portable programs, buffers without a host address, copies through shared memory.
// What does not: native kernels, host memory in place, native handles. A launch that nobody signals
// costs a message; a signal costs a round trip (some 20 us).
//
// Threads, ownership: as Driver.
#ifndef HET_RUNTIME_ISOLATION_DRIVER_H_
#define HET_RUNTIME_ISOLATION_DRIVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/driver.h"
#include "runtime/isolation/connection.h"

namespace het::runtime::isolation {

class IsolatedDriver final : public Driver {
 public:
  // `worker`: the het-worker program.
  IsolatedDriver(const std::string& backend, DriverOptions options, std::string worker)
      : Driver(backend), options_(std::move(options)), worker_(std::move(worker)) {}

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override;
  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override;
  // The process that has the driver now; 0: none.
  pid_t worker_pid() const;

 private:
  // The worker, a new one where the last one is gone.
  absl::StatusOr<std::shared_ptr<Connection>> Worker();

  const DriverOptions options_;
  const std::string worker_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
};

// Unavailable with the backend's reason.
absl::StatusOr<std::unique_ptr<Driver>> CreateIsolatedDriver(const std::string& backend,
                                                             const DriverOptions& options);

// Whether `chosen` ("all", or names separated by commas) names this backend.
bool IsIsolated(absl::string_view chosen, absl::string_view backend);
// $HET_ISOLATE; empty where it is not set.
std::string IsolatedByEnvironment();
// InvalidArgument names the backends there are.
absl::Status CheckIsolated(absl::string_view chosen);

}  // namespace het::runtime::isolation

#endif  // HET_RUNTIME_ISOLATION_DRIVER_H_
