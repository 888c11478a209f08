// The inside of the conformance suite: a test case is a function of a Fixture. Backends need only
// conformance.h.
//
// A helper of the fixture that cannot do its work fails the test and ends it (by an exception that
// the runner catches; it never leaves the suite). Threads: a fixture's helpers belong to the test's
// thread unless they say otherwise.
#ifndef HET_DEVICES_CONFORMANCE_SUITE_H_
#define HET_DEVICES_CONFORMANCE_SUITE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "devices/conformance/conformance.h"
#include "devices/device.h"
#include "devices/driver.h"

namespace het::conformance {

// Longer than anything here takes on a slow, busy machine.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// Ends a test whose failure is already recorded.
struct Abandoned : std::exception {};

inline void Must(const absl::Status& status, const char* what) {
  if (status.ok()) return;
  ADD_FAILURE() << what << ": " << status;
  throw Abandoned();
}
template <typename T>
T Must(absl::StatusOr<T> value, const char* what) {
  Must(value.status(), what);
  return *std::move(value);
}

template <typename T>
absl::Span<const std::byte> BytesOf(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(value)};
}

class Fixture {
 public:
  Fixture(const Backend& backend, Driver& driver, const DeviceInfo& info, Device& device)
      : backend(backend), driver(driver), info(info), device(device) {}

  const Backend& backend;
  Driver& driver;
  const DeviceInfo& info;  // as enumerated
  Device& device;          // opened from it, shared by the tests of the backend

  std::unique_ptr<Queue> NewQueue(QueueKind kind = QueueKind::kCompute) {
    return Must(device.CreateQueue(kind), "CreateQueue");
  }
  Ref<Timeline> NewTimeline(uint64_t initial = 0) {
    return Must(device.CreateTimeline(initial), "CreateTimeline");
  }
  Ref<Buffer> NewBuffer(uint64_t bytes, MemoryKind kind = MemoryKind::kDevice) {
    return Must(device.Allocate(bytes, kind), "Allocate");
  }
  // The suite's program (kernels.h).
  Ref<Program> NewProgram();
  // Waits on the test's thread; any number of threads may.
  void Await(Timeline& timeline, uint64_t value) {
    Must(timeline.Wait(value, kPatience), "Timeline::Wait");
  }
  // Everything queued is done.
  void Finish(Queue& queue);
  // Writes and waits; reads and waits.
  void Upload(Queue& queue, Buffer& to, const void* from, uint64_t bytes, uint64_t offset = 0);
  std::vector<uint8_t> Download(Queue& queue, Buffer& from);
  template <typename T>
  std::vector<T> DownloadAs(Queue& queue, Buffer& from) {
    const std::vector<uint8_t> bytes = Download(queue, from);
    std::vector<T> values(bytes.size() / sizeof(T));
    std::copy_n(bytes.begin(), values.size() * sizeof(T),
                reinterpret_cast<uint8_t*>(values.data()));
    return values;
  }
  // One more device object over the same device.
  std::unique_ptr<Device> OpenAgain() {
    return Must(driver.Open(info.uuid, backend.open), "Driver::Open");
  }
};

struct Case {
  const char* suite;
  const char* name;
  void (*run)(Fixture& fixture);
};

// The files of the suite.
std::vector<Case> DiscoveryCases();
std::vector<Case> MemoryCases();
std::vector<Case> CopyCases();
std::vector<Case> QueueCases();
std::vector<Case> TimelineCases();
std::vector<Case> KernelCases();
std::vector<Case> ThreadCases();
std::vector<Case> PeerCases();
std::vector<Case> MatrixCases();
std::vector<Case> GraphCases();
std::vector<Case> RecordingCases();

}  // namespace het::conformance

#endif  // HET_DEVICES_CONFORMANCE_SUITE_H_
