// hetd killed at random moments under clients that acquire and release: every acknowledged lease is
// there, every acknowledged release is done, nothing is granted twice.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

constexpr int kClients = 6;

int Kills() { return getenv("HET_SOAK") != nullptr && *getenv("HET_SOAK") ? 1000 : 12; }

uint32_t Seed() {
  const char* seed = getenv("HET_SEED");
  return seed != nullptr ? static_cast<uint32_t>(atoi(seed)) : 20260;
}

// One tenant. Keeps what was acknowledged to it.
struct Tenant {
  std::set<std::string> held;
  std::set<std::string> released;
  std::set<std::string> in_doubt;  // a release without an answer
  int unanswered = 0;              // acquires without an answer
  int refused = 0;
};

void Work(const HetdProcess& hetd, uint32_t seed, const std::atomic<bool>& stop, Tenant& tenant) {
  std::mt19937 random(seed);
  std::unique_ptr<protocol::Client> client;
  while (!stop) {
    if (!client) {
      auto connected = protocol::Client::Connect(hetd.socket(), 20'000);
      if (connected.ok()) client = *std::move(connected);
      continue;
    }
    if (!tenant.held.empty() && random() % 2 == 0) {
      const std::string id = *tenant.held.begin();
      const absl::Status status = client->Release({"", {{id, 0}}, 0});
      tenant.held.erase(id);
      (status.ok() ? tenant.released : tenant.in_doubt).insert(id);
      continue;
    }
    protocol::AcquireRequest request = AcquireOf(random() % 2 == 0 ? "gpu-a" : "gpu-b",
                                                 1 + random() % 9, (1 + random() % 1500) * kMiB);
    const auto leases = client->Acquire(request);
    if (leases.ok()) {
      tenant.held.insert(leases->front().id);
    } else if (leases.status().code() == absl::StatusCode::kResourceExhausted) {
      ++tenant.refused;
    } else {
      ++tenant.unanswered;
    }
  }
}

TEST(HetdKilledUnderLoad, LosesNothingAndGrantsNothingTwice) {
  const uint32_t seed = Seed();
  std::mt19937 random(seed);
  HetdProcess hetd;
  hetd.Start();
  std::atomic<bool> stop = false;
  std::vector<Tenant> tenants(kClients);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] { Work(hetd, seed + i, stop, tenants[i]); });
  }
  for (int kills = 0; kills < Kills(); ++kills) {
    usleep(static_cast<useconds_t>(20'000 + random() % 150'000));
    hetd.Kill(SIGKILL);
    hetd.Start();
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
    amount.share = amount.share + lease.slice.share;
    amount.memory_bytes += lease.slice.memory_bytes;
  }
  size_t acknowledged = 0;
  size_t in_doubt = 0;
  size_t released = 0;
  for (const Tenant& tenant : tenants) {
    for (const std::string& id : tenant.held) EXPECT_TRUE(found.contains(id)) << "seed " << seed;
    for (const std::string& id : tenant.released)
      EXPECT_FALSE(found.contains(id)) << "seed " << seed;
    acknowledged += tenant.held.size();
    released += tenant.released.size();
    in_doubt += tenant.in_doubt.size() + static_cast<size_t>(tenant.unanswered);
  }
  EXPECT_LE(found.size(), acknowledged + in_doubt) << "nobody was told of these, seed " << seed;
  EXPECT_GT(acknowledged + released, static_cast<size_t>(Kills())) << "hardly any work was done";
  const auto devices = client->ListDevices();
  for (const protocol::DeviceRow& device : *devices) {
    const Amount& amount = used[device.info.uuid];
    EXPECT_EQ(device.free.share.parts() + amount.share.parts(), Share::kWhole) << "seed " << seed;
    EXPECT_EQ(device.free.memory_bytes + amount.memory_bytes, device.info.memory_bytes);
  }
  printf("%d kills: %zu leases held, %zu released, %zu calls without an answer\n", Kills(),
         acknowledged, released, in_doubt);
}

}  // namespace
}  // namespace het::daemon
