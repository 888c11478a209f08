// Tenants: processes that share one simulated device under one arbiter, for benchmarks. The caller
// owns the arbiter and the device; every tenant is a forked process that takes its seat over a
// socket, as programs do.
//
// A tenant keeps `depth` launches wanted at any time: one thread asks for turns and submits,
// another waits for completions. With `sync` it waits for every launch itself, as a program that
// calls clFinish after each. Requires that no thread runs in the caller when tenants are forked.
#ifndef HET_BENCH_SHARING_TENANTS_H_
#define HET_BENCH_SHARING_TENANTS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/simulated/shared_timeline.h"
#include "partition/arbiter_host.h"
#include "partition/arbiter_seat.h"

namespace het::bench {

int64_t NowNs();
void SleepUntilNs(int64_t until_ns);

struct TenantWork {
  int64_t kernel_ns = 220'000;
  uint32_t depth = 4;
  bool sync = false;
  bool arbitrated = true;  // false: straight to the device (the control)
  // A request every `period_ns` of `burst` launches, one after the other (0: saturating).
  int64_t period_ns = 0;
  uint32_t burst = 0;
};

// What a tenant reports, in memory shared with the parent.
struct TenantReport {
  static constexpr uint32_t kMostRequests = 65536;
  std::atomic<uint64_t> launches;
  // Per window: when nothing was asked for nor in flight.
  std::atomic<int64_t> absent_ns[simulated::SharedTimeline::kWindows];
  std::atomic<uint32_t> requests;
  std::atomic<int64_t> request_ns[kMostRequests];
  std::atomic<uint32_t> failed;
  char error[256];
};

class Tenants {
 public:
  // Runs until `end_ns`. `start_ns` and windows as in the timeline.
  struct Plan {
    simulated::SharedTimeline* device = nullptr;
    int64_t start_ns = 0;
    int64_t window_ns = 1'000'000'000;
    int64_t end_ns = 0;
  };
  explicit Tenants(ArbiterHost& host) : host_(host) {}
  ~Tenants();

  // Forks a tenant of `lease` and seats it.
  absl::Status Start(uint32_t lease, const TenantWork& work, const Plan& plan);
  // Until all have ended (kills those that overstay by 5 s); `tick` is called every 20 ms. An error
  // of a tenant is returned.
  absl::Status Wait(const Plan& plan, const std::function<void()>& tick = nullptr);

  size_t size() const { return tenants_.size(); }
  const TenantReport& report(size_t i) const { return *tenants_[i].report; }
  uint32_t slot(size_t i) const { return tenants_[i].slot; }
  pid_t pid(size_t i) const { return tenants_[i].pid; }

 private:
  struct Tenant {
    pid_t pid = 0;
    uint32_t slot = 0;
    TenantReport* report = nullptr;
  };
  ArbiterHost& host_;
  std::vector<Tenant> tenants_;
};

}  // namespace het::bench

#endif  // HET_BENCH_SHARING_TENANTS_H_
