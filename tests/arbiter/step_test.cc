// Death and arrest at every instruction: a peer is single-stepped through a turn (TryBegin, End) or
// a reservation (Reserve, GiveBack) and killed, or stopped, after each instruction. Whoever is left
// goes on within milliseconds, and when the owner has reaped it nothing of it is left.
//
// Every instruction with HET_SOAK=1; else a sample of them, in a different place every time
// (HET_SEED replays one).
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/arbiter/peer_process.h"

namespace het::testing {
namespace {

constexpr uint64_t kLaunchNs = 200'000;
// The goal is 10 ms, which the benchmark shows; this is for busy machines.
constexpr int64_t kPatienceNs = 100'000'000;
constexpr int kRunAhead = 10;  // 2 ms of launches

enum class Fate { kKill, kStop };

struct Case {
  const char* name;
  bool contended;  // the survivor waits and is in flight meanwhile
  int (*body)(ArbiterSeat&);
};

int Turn(ArbiterSeat& seat) {
  if (const std::optional<Ticket> ticket = seat.TryBegin(kLaunchNs)) seat.End(*ticket, kLaunchNs);
  return 0;
}
int Wait(ArbiterSeat& seat) {
  seat.KeepPlace();
  if (const std::optional<Ticket> ticket = seat.TryBegin(kLaunchNs)) seat.End(*ticket, kLaunchNs);
  seat.Withdraw();
  return 0;
}
int Allocate(ArbiterSeat& seat) {
  if (seat.Reserve(1000).ok()) seat.GiveBack(1000);
  return 0;
}

uint32_t Seed() {
  const char* seed = std::getenv("HET_SEED");
  return seed != nullptr ? std::atoi(seed) : static_cast<uint32_t>(NowNs());
}

// One instruction of the child; false when it has ended.
bool Step(pid_t pid) {
  if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0) return false;
  int how = 0;
  return waitpid(pid, &how, 0) == pid && WIFSTOPPED(how);
}

struct Totals {
  int steps = 0;
  int64_t worst_ns = 0;
};

class StepTest : public ::testing::TestWithParam<std::tuple<Case, Fate>> {
 protected:
  StepTest() : host_(*ArbiterHost::Create("device")), lease_(AddLease(*host_, 50)) {
    survivor_lease_ = AddLease(*host_, 50);
  }

  // The child runs `instructions` of the body, then meets its fate. False: the body was over.
  bool Try(const Case& c, Fate fate, int instructions, Totals* totals) {
    PeerOptions traced;
    over_.store(0);
    traced.traced = &over_;
    PeerProcess peer(
        *host_, lease_, [&c](ArbiterSeat& seat) { return c.body(seat); }, traced);
    // Not before the survivor: the other lease's seat must not stand in for it.
    std::unique_ptr<ArbiterSeat> survivor = Sit(*host_, survivor_lease_);
    int how = 0;
    if (waitpid(peer.pid(), &how, 0) != peer.pid() || !WIFSTOPPED(how)) return false;
    std::optional<Ticket> held;
    if (c.contended) {
      held = survivor->TryBegin(kLaunchNs);
      survivor->KeepPlace();
    }
    for (int i = 0; i < instructions; ++i) {
      if (!Step(peer.pid()) || over_.load() != 0) return false;
    }
    if (fate == Fate::kKill) {
      peer.Kill();
    } else {
      ptrace(PTRACE_DETACH, peer.pid(), nullptr, SIGSTOP);
    }
    ++totals->steps;
    if (c.contended) {
      survivor->Withdraw();
      if (held) survivor->End(*held, kLaunchNs);
    }
    GoOn(*survivor, totals);
    if (fate == Fate::kStop) {
      kill(peer.pid(), SIGCONT);
      EXPECT_EQ(peer.Wait(), 0) << "after " << instructions << " instructions";
    } else {
      EXPECT_EQ(peer.Wait(), -SIGKILL);
    }
    peer.Unseat();
    NothingIsLeft(*survivor);
    EXPECT_TRUE(host_->Unseat(survivor->slot()).ok());
    return true;
  }

  // As many turns as fill the device's depth several times, so that one lost place would show.
  void GoOn(ArbiterSeat& survivor, Totals* totals) {
    for (int i = 0; i < 4; ++i) {
      const int64_t asked = NowNs();
      const absl::StatusOr<Ticket> ticket = survivor.Begin(kLaunchNs);
      const int64_t waited = NowNs() - asked;
      ASSERT_TRUE(ticket.ok()) << ticket.status();
      EXPECT_LT(waited, Stretch(kPatienceNs));
      totals->worst_ns = std::max(totals->worst_ns, waited);
      EXPECT_TRUE(survivor.Reserve(100).ok());
      survivor.GiveBack(100);
      survivor.End(*ticket, kLaunchNs);
    }
  }

  void NothingIsLeft(ArbiterSeat& survivor) {
    const ArbiterUsage usage = *host_->Usage(lease_);
    EXPECT_EQ(usage.in_flight, 0u);
    EXPECT_EQ(usage.waiting, 0u);
    EXPECT_EQ(usage.memory, 0u);
    std::unique_ptr<ArbiterSeat> heir = Sit(*host_, lease_);
    EXPECT_TRUE(heir->Reserve(1 << 20).ok());
    EXPECT_TRUE(host_->Unseat(heir->slot()).ok());
    // The whole device is there: alone, it runs ahead as far as ever.
    std::vector<Ticket> tickets;
    while (const std::optional<Ticket> ticket = survivor.TryBegin(kLaunchNs)) {
      tickets.push_back(*ticket);
    }
    EXPECT_EQ(tickets.size(), kRunAhead);
    for (const Ticket& ticket : tickets) survivor.End(ticket, kLaunchNs);
  }

  std::unique_ptr<ArbiterHost> host_;
  const uint32_t lease_;
  uint32_t survivor_lease_;
  std::atomic<uint32_t>& over_ = Shared<std::atomic<uint32_t>>();
};

TEST_P(StepTest, PeersGoOnAndNothingLeaks) {
  const auto& [c, fate] = GetParam();
  const int stride = Soak() ? 1 : 23;
  const uint32_t seed = Seed();
  SCOPED_TRACE("HET_SEED=" + std::to_string(seed));
  Totals totals;
  for (int at = Soak() ? 0 : seed % stride; !HasFailure(); at += stride) {
    if (!Try(c, fate, at, &totals)) break;
  }
  EXPECT_GT(totals.steps, Soak() ? 100 : 3);
  std::printf("%d places, longest wait of a survivor %.2f ms\n", totals.steps,
              totals.worst_ns / 1e6);
  RecordProperty("places", totals.steps);
  RecordProperty("worst_us", static_cast<int>(totals.worst_ns / 1000));
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Case, Fate>>& info) {
  return std::string(std::get<0>(info.param).name) +
         (std::get<1>(info.param) == Fate::kKill ? "Killed" : "Stopped");
}

INSTANTIATE_TEST_SUITE_P(Everywhere, StepTest,
                         ::testing::Combine(::testing::Values(Case{"Turn", false, Turn},
                                                              Case{"ContendedTurn", true, Turn},
                                                              Case{"Wait", true, Wait},
                                                              Case{"Allocation", false, Allocate}),
                                            ::testing::Values(Fate::kKill, Fate::kStop)),
                         NameOf);

}  // namespace
}  // namespace het::testing
