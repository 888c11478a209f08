// Many processes under one arbiter: killed at random, lying, of other users, too many, too greedy.
// HET_SOAK=1 kills a thousand.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "partition/arbiter_pages.h"
#include "tests/arbiter/peer_process.h"

namespace het::testing {
namespace {

constexpr uint64_t kLaunchNs = 200'000;

struct Counters {
  std::atomic<uint32_t> go;
  std::atomic<uint32_t> stop;
  std::atomic<uint64_t> launches[64];
  std::atomic<int64_t> worst_wait_ns[64];
  std::atomic<uint64_t> bytes;
  std::atomic<uint64_t> over;
  std::atomic<uint64_t> refused;
  std::atomic<uint64_t> granted;
  std::atomic<int64_t> worst_refusal_ns;
};

void Raise(std::atomic<int64_t>& most, int64_t value) {
  int64_t before = most.load();
  while (value > before && !most.compare_exchange_weak(before, value)) {
  }
}

// Launches of `kLaunchNs` on a device of its own imagination, until told to stop.
PeerProcess::Body Saturate(Counters& counters, int index) {
  return [&counters, index](ArbiterSeat& seat) {
    while (counters.stop.load() == 0) {
      const int64_t asked = NowNs();
      const absl::StatusOr<Ticket> ticket = seat.Begin(kLaunchNs);
      if (!ticket.ok()) return 1;
      Raise(counters.worst_wait_ns[index], NowNs() - asked);
      SleepNs(kLaunchNs);
      seat.End(*ticket, kLaunchNs);
      counters.launches[index].fetch_add(1);
    }
    return 0;
  };
}

// The same as a runtime does it that parks its work: a place in the line, and looks of its own.
PeerProcess::Body SaturateParked(Counters& counters, int index) {
  return [&counters, index](ArbiterSeat& seat) {
    while (counters.stop.load() == 0) {
      const int64_t asked = NowNs();
      std::optional<Ticket> ticket = seat.TryBegin(kLaunchNs);
      for (; !ticket; ticket = seat.TryBegin(kLaunchNs)) {
        if (seat.revoked()) return 1;
        seat.WaitTurn(kLaunchNs, NowNs() + 5'000'000);
      }
      seat.Withdraw();
      Raise(counters.worst_wait_ns[index], NowNs() - asked);
      SleepNs(kLaunchNs);
      seat.End(*ticket, kLaunchNs);
      counters.launches[index].fetch_add(1);
    }
    return 0;
  };
}

class PeersTest : public ::testing::Test {
 protected:
  std::unique_ptr<ArbiterHost> host_ = *ArbiterHost::Create("device");
  Counters& counters_ = Shared<Counters>();
};

TEST_F(PeersTest, AStormOfKillsLeavesNothingBehind) {
  constexpr int kVictims = 4;
  const int kills = Soak() ? 1000 : 60;
  std::vector<uint32_t> leases;
  for (int i = 0; i <= kVictims; ++i) {
    leases.push_back(AddLease(*host_, 20, Policy::kGuaranteed, 1, uint64_t{1} << 30));
  }
  PeerProcess survivor(*host_, leases[kVictims], Saturate(counters_, kVictims));
  const auto victim = [&](int index) {
    return std::make_unique<PeerProcess>(*host_, leases[index], [&, index](ArbiterSeat& seat) {
      if (!seat.Reserve(1 << 20).ok()) return 1;
      return Saturate(counters_, index)(seat);
    });
  };
  std::vector<std::unique_ptr<PeerProcess>> victims;
  for (int i = 0; i < kVictims; ++i) victims.push_back(victim(i));
  std::mt19937 random(static_cast<uint32_t>(NowNs()));
  SleepNs(100'000'000);
  const uint64_t before = counters_.launches[kVictims].load();
  const int64_t start = NowNs();
  for (int kill = 0; kill < kills; ++kill) {
    SleepNs(static_cast<int64_t>(random() % 15'000'000));
    const int index = static_cast<int>(random() % kVictims);
    victims[index]->Kill();
    EXPECT_EQ(victims[index]->Wait(), -SIGKILL);
    victims[index]->Unseat();
    EXPECT_EQ(host_->Usage(leases[index])->memory, 0u);
    EXPECT_EQ(host_->Usage(leases[index])->in_flight, 0u);
    victims[index] = victim(index);
  }
  const double seconds = (NowNs() - start) / 1e9;
  const uint64_t done = counters_.launches[kVictims].load() - before;
  counters_.stop.store(1);
  EXPECT_EQ(survivor.Wait(), 0);
  for (auto& peer : victims) EXPECT_EQ(peer->Wait(), 0);
  std::printf("%d kills in %.1f s; the survivor launched %llu times, longest wait %.1f ms\n", kills,
              seconds, static_cast<unsigned long long>(done),
              counters_.worst_wait_ns[kVictims].load() / 1e6);
  // A fifth of a device that does 5,000 launches a second at best; a machine that is busy with
  // other things does less.
  EXPECT_GT(static_cast<double>(done) / seconds, 50.0);
  EXPECT_LT(counters_.worst_wait_ns[kVictims].load(), Stretch(300'000'000));
}

TEST_F(PeersTest, SixtyFourProcessesAllHaveTheirShare) {
  constexpr int kPeers = 64;
  std::vector<std::unique_ptr<PeerProcess>> peers;
  for (int i = 0; i < kPeers; ++i) {
    ArbiterLease lease;
    lease.weight = Share::OfParts(150);
    lease.uid = geteuid();
    peers.push_back(
        std::make_unique<PeerProcess>(*host_, *host_->AddLease(lease), Saturate(counters_, i)));
  }
  SleepNs(Stretch(1'500'000'000));
  counters_.stop.store(1);
  uint64_t least = ~uint64_t{0}, most = 0;
  for (int i = 0; i < kPeers; ++i) {
    EXPECT_EQ(peers[i]->Wait(), 0);
    least = std::min(least, counters_.launches[i].load());
    most = std::max(most, counters_.launches[i].load());
  }
  std::printf("launches of each: %llu to %llu\n", static_cast<unsigned long long>(least),
              static_cast<unsigned long long>(most));
  EXPECT_GT(least, 0u);
}

TEST_F(PeersTest, TheQuotaHoldsAgainstAllAtOnce) {
  constexpr int kPeers = 16;
  const int allocations = Soak() ? 100'000 / kPeers : 1000;
  constexpr uint64_t kQuota = 1000;
  const uint32_t lease = AddLease(*host_, 50, Policy::kGuaranteed, 1, kQuota);
  const auto greedy = [&](ArbiterSeat& seat) {
    std::mt19937 random(static_cast<uint32_t>(seat.slot() * 7919 + 1));
    std::vector<uint64_t> held;
    while (counters_.go.load() == 0) SleepNs(100'000);
    for (int i = 0; i < allocations; ++i) {
      const uint64_t bytes = 1 + random() % 200;
      const int64_t asked = NowNs();
      if (seat.Reserve(bytes).ok()) {
        // Counted after the grant and before the return: the true sum is never above this one.
        if (counters_.bytes.fetch_add(bytes) + bytes > kQuota) counters_.over.fetch_add(1);
        counters_.granted.fetch_add(1);
        held.push_back(bytes);
      } else {
        counters_.refused.fetch_add(1);
        Raise(counters_.worst_refusal_ns, NowNs() - asked);
      }
      while (!held.empty() && random() % 2 == 0) {
        counters_.bytes.fetch_sub(held.back());
        seat.GiveBack(held.back());
        held.pop_back();
      }
    }
    for (uint64_t bytes : held) {
      counters_.bytes.fetch_sub(bytes);
      seat.GiveBack(bytes);
    }
    return 0;
  };
  std::vector<std::unique_ptr<PeerProcess>> peers;
  for (int i = 0; i < kPeers; ++i)
    peers.push_back(std::make_unique<PeerProcess>(*host_, lease, greedy));
  counters_.go.store(1);
  uint64_t highest = 0;
  for (int i = 0; i < 200; ++i) {
    highest = std::max(highest, host_->Usage(lease)->memory);
    SleepNs(500'000);
  }
  for (auto& peer : peers) EXPECT_EQ(peer->Wait(), 0);
  EXPECT_EQ(counters_.over.load(), 0u);
  EXPECT_LE(highest, kQuota);
  EXPECT_GT(counters_.refused.load(), 0u) << "the quota was never reached: nothing was tested";
  EXPECT_GT(counters_.granted.load(), 0u);
  EXPECT_EQ(host_->Usage(lease)->memory, 0u);
  std::printf("%llu granted, %llu refused, longest refusal %.2f ms\n",
              static_cast<unsigned long long>(counters_.granted.load()),
              static_cast<unsigned long long>(counters_.refused.load()),
              counters_.worst_refusal_ns.load() / 1e6);
}

// Writes garbage into everything its user may write, but sits in a region of its own.
int Lie(ArbiterSeat& seat, arbiter::RegionPage& region, Counters& counters) {
  std::mt19937_64 random(42);
  arbiter::HotSlot& hot = region.hot[seat.slot()];
  arbiter::ColdSlot& cold = region.cold[seat.slot()];
  while (counters.stop.load() == 0) {
    hot.flight.store(random());
    hot.hold_since_ns.store(static_cast<int64_t>(random()));
    hot.waiting_since_ns.store(static_cast<int64_t>(random()));
    hot.used_ns.store(random());
    hot.gap_ns.store(static_cast<uint32_t>(random()));
    hot.lmax_ns.store(static_cast<uint32_t>(random()));
    hot.futex.store(static_cast<uint32_t>(random()));
    hot.waiting_for.store(static_cast<uint16_t>(random()));
    hot.from_outside.store(static_cast<uint16_t>(random()));
    hot.looks.store(random());
    cold.memory_reserved.store(random());
    cold.memory_pending.store(random());
    for (auto& tag : region.tags[seat.lease()].tag) tag.store(random());
    region.caps[seat.lease()].paid_until_ns.store(static_cast<int64_t>(random()));
    SleepNs(static_cast<int64_t>(random() % 200'000));
  }
  return 0;
}

// Waits at the head of the line for ever, shows signs of life, and never goes.
int Squat(ArbiterSeat& seat, arbiter::RegionPage& region, Counters& counters) {
  arbiter::HotSlot& hot = region.hot[seat.slot()];
  while (counters.stop.load() == 0) {
    hot.flight.store(arbiter::kWaitOne);
    hot.waiting_since_ns.store(1);
    hot.looks.fetch_add(1);
    // Just ahead of everybody: small steps, as if it were served.
    for (auto& tag : region.tags[seat.lease()].tag) tag.fetch_add(1);
    SleepNs(100'000);
  }
  return 0;
}

class HostilePeerTest
    : public PeersTest,
      public ::testing::WithParamInterface<int (*)(ArbiterSeat&, arbiter::RegionPage&, Counters&)> {
};

TEST_P(HostilePeerTest, OthersGoOn) {
  if (geteuid() != 0) {
    std::printf("SKIPPED: needs root to become another user\n");
    GTEST_SKIP();
  }
  ArbiterLease theirs;
  theirs.weight = Share::OfPercent(40);
  theirs.uid = 65534;
  theirs.memory_quota = 1000;
  const uint32_t hostile_lease = *host_->AddLease(theirs);
  const uint32_t lease = AddLease(*host_, 30);
  // The liar maps its region by itself, from the descriptor it was given.
  auto* region = new std::unique_ptr<SharedPages>;
  PeerOptions options;
  options.uid = 65534;
  options.inspect = [region](const SeatGrant& grant) {
    *region = std::make_unique<SharedPages>(
        *SharedPages::Map(UniqueFd(dup(grant.region_fd.get())), sizeof(arbiter::RegionPage), true));
  };
  PeerProcess liar(
      *host_, hostile_lease,
      [&](ArbiterSeat& seat) {
        return GetParam()(seat, *static_cast<arbiter::RegionPage*>((*region)->data()), counters_);
      },
      options);
  PeerProcess first(*host_, lease, Saturate(counters_, 0));
  PeerProcess second(*host_, AddLease(*host_, 30), SaturateParked(counters_, 1));
  SleepNs(Stretch(2'000'000'000));
  EXPECT_TRUE(host_->Usage(hostile_lease).ok());
  counters_.stop.store(1);
  EXPECT_EQ(first.Wait(), 0);
  EXPECT_EQ(second.Wait(), 0);
  EXPECT_EQ(liar.Wait(), 0);
  const uint64_t launches[] = {counters_.launches[0].load(), counters_.launches[1].load()};
  std::printf("beside the liar %llu and %llu launches, longest wait %.1f ms\n",
              static_cast<unsigned long long>(launches[0]),
              static_cast<unsigned long long>(launches[1]),
              std::max(counters_.worst_wait_ns[0].load(), counters_.worst_wait_ns[1].load()) / 1e6);
  EXPECT_GT(launches[0], 200u);
  EXPECT_GT(launches[1], 200u);
  EXPECT_LT(counters_.worst_wait_ns[0].load(), Stretch(1'000'000'000));
}

INSTANTIATE_TEST_SUITE_P(Liars, HostilePeerTest, ::testing::Values(Lie, Squat));

// Exit code: which of the attempts to write another user's page succeeded.
int TryToWrite(const SeatGrant& grant) {
  int succeeded = 0;
  const auto reopen = [](int fd) {
    return UniqueFd(open(absl::StrCat("/proc/self/fd/", fd).c_str(), O_RDWR | O_CLOEXEC)).valid();
  };
  // The control: what is one's own can be written, through the descriptor that was handed out.
  void* own = mmap(nullptr, sizeof(arbiter::RegionPage), PROT_READ | PROT_WRITE, MAP_SHARED,
                   grant.region_fd.get(), 0);
  if (own == MAP_FAILED) succeeded |= 64;
  const auto attack = [&](int fd, size_t bytes, int bit) {
    if (reopen(fd)) succeeded |= bit;
    void* writable = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (writable != MAP_FAILED) succeeded |= bit;
    void* readable = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (readable == MAP_FAILED || mprotect(readable, bytes, PROT_READ | PROT_WRITE) == 0) {
      succeeded |= bit;
    }
    if (ftruncate(fd, 0) == 0 || fchmod(fd, 0777) == 0) succeeded |= bit;
  };
  attack(grant.control_fd.get(), sizeof(arbiter::ControlPage), 1);
  for (const auto& [region, fd] : grant.other_regions) {
    attack(fd.get(), sizeof(arbiter::RegionPage), 2);
  }
  if (grant.other_regions.empty()) succeeded |= 32;
  if (ftruncate(grant.region_fd.get(), 0) == 0) succeeded |= 4;  // sealed even against its user
  return succeeded;
}

TEST_F(PeersTest, AnotherUsersPagesCannotBeWritten) {
  if (geteuid() != 0) {
    std::printf("SKIPPED: needs root to become another user\n");
    GTEST_SKIP();
  }
  std::atomic<uint32_t>& found = Shared<std::atomic<uint32_t>>();
  found.store(0xffff);
  std::vector<uint32_t> leases;
  for (uid_t uid : {65534u, 65533u}) {
    ArbiterLease lease;
    lease.weight = Share::OfPercent(50);
    lease.uid = uid;
    leases.push_back(*host_->AddLease(lease));
  }
  PeerOptions attacker;
  attacker.uid = 65534;
  attacker.inspect = [&found](const SeatGrant& grant) { found.store(TryToWrite(grant)); };
  PeerOptions other;
  other.uid = 65533;
  PeerProcess first(*host_, leases[0], Saturate(counters_, 0), attacker);
  PeerProcess second(*host_, leases[1], Saturate(counters_, 1), other);
  SleepNs(Stretch(500'000'000));
  counters_.stop.store(1);
  EXPECT_EQ(first.Wait(), 0);
  EXPECT_EQ(second.Wait(), 0);
  EXPECT_EQ(found.load(), 0u);
  // And yet they share the device, each other's pages read-only.
  EXPECT_GT(counters_.launches[0].load(), 50u);
  EXPECT_GT(counters_.launches[1].load(), 50u);
}

TEST_F(PeersTest, AChildOfForkHasNoSeat) {
  PeerProcess peer(*host_, AddLease(*host_, 50), [](ArbiterSeat& seat) {
    const pid_t child = fork();
    if (child == 0) {
      const bool none = !seat.TryBegin(1000) &&
                        seat.Begin(1000).status().code() == absl::StatusCode::kFailedPrecondition;
      _exit(none ? 0 : 1);
    }
    int how = 0;
    waitpid(child, &how, 0);
    return how == 0 && seat.TryBegin(1000) ? 0 : 1;
  });
  EXPECT_EQ(peer.Wait(), 0);
}

// A region that came after a seat was granted is fetched, and then read.
TEST_F(PeersTest, ALaterRegionIsFetched) {
  if (geteuid() != 0) {
    std::printf("SKIPPED: needs root to become another user\n");
    GTEST_SKIP();
  }
  const uint32_t early = AddLease(*host_, 50);
  absl::StatusOr<SeatGrant> grant = host_->Seat(early, getpid(), 0);
  ASSERT_TRUE(grant.ok());
  std::atomic<int> fetched = 0;
  grant->provider = [&](uint32_t region) {
    ++fetched;
    return host_->RegionDescriptor(region);
  };
  std::unique_ptr<ArbiterSeat> seat = *ArbiterSeat::Join(*std::move(grant));
  ArbiterLease theirs;
  theirs.weight = Share::OfPercent(50);
  theirs.priority = 3;
  theirs.uid = 65534;
  std::unique_ptr<ArbiterSeat> later = Sit(*host_, *host_->AddLease(theirs));
  ASSERT_TRUE(later->TryBegin(kLaunchNs));
  Block why = Block::kNone;
  for (int i = 0; i < 100 && why != Block::kPriority; ++i) {
    if (const auto ticket = seat->TryBegin(kLaunchNs, &why)) seat->End(*ticket, kLaunchNs);
    SleepNs(1'000'000);
  }
  EXPECT_EQ(fetched.load(), 1);
  EXPECT_EQ(why, Block::kPriority);
}

}  // namespace
}  // namespace het::testing
