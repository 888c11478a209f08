// hetd killed at random moments under clients that acquire and release: every acknowledged lease is
// there, every acknowledged release is done, nothing is granted twice.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/uuid.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

constexpr int kClients = 50;
constexpr int kStandingLeases = 1000;

int Kills() { return getenv("HET_SOAK") != nullptr && *getenv("HET_SOAK") ? 1000 : 50; }

uint32_t Seed() {
  const char* seed = getenv("HET_SEED");
  return seed != nullptr ? static_cast<uint32_t>(atoi(seed)) : 20260;
}

// One tenant, and what was acknowledged to it.
struct Tenant {
  std::set<std::string> held;
  std::set<std::string> released;
  int refused = 0;
  int repeated = 0;
};

// Repeats a call, with its request id, until hetd lives long enough to answer.
template <typename Call>
auto UntilAnswered(const HetdProcess& hetd, Tenant& tenant, Call call) {
  while (true) {
    auto client = protocol::Client::Connect(hetd.socket(), 20'000);
    if (client.ok()) {
      auto result = call(**client);
      if (!absl::IsUnavailable(result.status()) && !absl::IsDeadlineExceeded(result.status())) {
        return result;
      }
      ++tenant.repeated;
    }
    usleep(2000);
  }
}

void Work(const HetdProcess& hetd, uint32_t seed, const std::atomic<bool>& stop, Tenant& tenant) {
  std::mt19937 random(seed);
  while (!stop) {
    if (!tenant.held.empty() && random() % 2 == 0) {
      const std::string id = *tenant.held.begin();
      const Json change = ToJson(protocol::LeaseChange{NewUuid(), {{id, 0}}, 0});
      const auto released = UntilAnswered(hetd, tenant, [&](protocol::Client& client) {
        return client.Call("org.het.v1.Release", change);
      });
      EXPECT_TRUE(released.ok()) << released.status();
      tenant.held.erase(id);
      tenant.released.insert(id);
      continue;
    }
    protocol::AcquireRequest request = AcquireOf(random() % 2 == 0 ? "gpu-a" : "gpu-b",
                                                 1 + random() % 9, (1 + random() % 1500) * kMiB);
    request.terms.request_id = NewUuid();
    const auto leases = UntilAnswered(
        hetd, tenant, [&](protocol::Client& client) { return client.Acquire(request); });
    if (leases.ok()) {
      tenant.held.insert(leases->front().id);
    } else {
      EXPECT_EQ(leases.status().code(), absl::StatusCode::kResourceExhausted) << leases.status();
      ++tenant.refused;
    }
  }
}

TEST(HetdKilledUnderLoad, LosesNothingAndGrantsNothingTwice) {
  const uint32_t seed = Seed();
  std::mt19937 random(seed);
  HetdProcess hetd;
  hetd.Start();
  // Leases that nobody touches: a restart has them to take over.
  std::set<std::string> standing;
  while (standing.size() < kStandingLeases) {
    protocol::AcquireRequest request = AcquireOf("gpu-a", 1, kMiB);
    request.slices.assign(50, request.slices[0]);
    for (SliceRequest& slice : request.slices) slice.policy = Policy::kBestEffort;
    const auto leases = hetd.Connect()->Acquire(request);
    ASSERT_TRUE(leases.ok()) << leases.status();
    for (const Lease& lease : *leases) standing.insert(lease.id);
  }
  std::vector<double> recoveries;
  std::atomic<bool> stop = false;
  std::vector<Tenant> tenants(kClients);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] { Work(hetd, seed + i, stop, tenants[i]); });
  }
  for (int kills = 0; kills < Kills(); ++kills) {
    usleep(static_cast<useconds_t>(20'000 + random() % 150'000));
    hetd.Kill(SIGKILL);
    const int64_t begin = Clock::Real().MonotonicNanos();
    hetd.Start();
    recoveries.push_back(static_cast<double>(Clock::Real().MonotonicNanos() - begin) * 1e-9);
    if (HasFatalFailure()) break;
  }
  stop = true;
  threads.clear();

  const auto client = hetd.Connect();
  const auto leases = client->ListLeases();
  ASSERT_TRUE(leases.ok()) << leases.status() << " seed " << seed;
  std::map<std::string, Amount> used;
  std::set<std::string> found;
  for (const Lease& lease : *leases) {
    EXPECT_TRUE(found.insert(lease.id).second) << "listed twice, seed " << seed;
    Amount& amount = used[lease.slice.device];
    if (lease.slice.policy != Policy::kBestEffort) amount.share = amount.share + lease.slice.share;
    amount.memory_bytes += lease.slice.memory_bytes;
  }
  std::set<std::string> held = standing;
  size_t released = 0;
  int repeated = 0;
  for (const Tenant& tenant : tenants) {
    held.insert(tenant.held.begin(), tenant.held.end());
    for (const std::string& id : tenant.released)
      EXPECT_FALSE(found.contains(id)) << "seed " << seed;
    released += tenant.released.size();
    repeated += tenant.repeated;
  }
  EXPECT_EQ(found, held) << "lost, or held by nobody; seed " << seed;
  EXPECT_GT(released, static_cast<size_t>(Kills())) << "hardly any work was done";
  const auto devices = client->ListDevices();
  for (const protocol::DeviceRow& device : *devices) {
    const Amount& amount = used[device.info.uuid];
    EXPECT_EQ(device.free.share.parts() + amount.share.parts(), Share::kWhole) << "seed " << seed;
    EXPECT_EQ(device.free.memory_bytes + amount.memory_bytes, device.info.memory_bytes);
  }
  std::sort(recoveries.begin(), recoveries.end());
  printf(
      "%d kills under %d clients: %zu leases held, %zu released, %d calls repeated; recovery "
      "with %d leases: p50 %.3f s, p99 %.3f s\n",
      Kills(), kClients, held.size(), released, repeated, kStandingLeases,
      recoveries[recoveries.size() / 2], recoveries[recoveries.size() * 99 / 100]);
}

}  // namespace
}  // namespace het::daemon
