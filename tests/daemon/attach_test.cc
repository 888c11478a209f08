// Processes that attach to leases of a real hetd: one quota and one share for all of them, changed
// while they run, kept when hetd dies, given back when they do.
#include "protocol/attach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/clock.h"
#include "partition/arbiter_seat.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<ArbiterSeat> Sit(const HetdProcess& hetd, const std::string& lease) {
  const auto client = hetd.Connect();
  auto attachment = protocol::Attach(*client, lease);
  EXPECT_TRUE(attachment.ok()) << attachment.status();
  if (!attachment.ok()) return nullptr;
  auto seat = ArbiterSeat::Join(std::move(attachment->grant));
  EXPECT_TRUE(seat.ok()) << seat.status();
  return seat.ok() ? *std::move(seat) : nullptr;
}

// A process that attaches, reserves, says so, and waits to be killed.
pid_t ChildThatReserves(const HetdProcess& hetd, const std::string& lease, uint64_t bytes) {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto seat = Sit(hetd, lease);
    const char done = seat != nullptr && seat->Reserve(bytes).ok() ? '1' : '0';
    if (write(ready[1], &done, 1) != 1) _exit(1);
    while (true) pause();
  }
  char done = 0;
  EXPECT_EQ(read(ready[0], &done, 1), 1);
  EXPECT_EQ(done, '1');
  close(ready[0]);
  close(ready[1]);
  return child;
}

void KillAndReap(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

protocol::SliceUsage UsageOf(const HetdProcess& hetd) {
  const auto slices = hetd.Connect()->ListSlices();
  return slices.ok() && !slices->empty() ? slices->front().usage : protocol::SliceUsage();
}

TEST(Attach, HoldsAllProcessesOfALeaseToOneQuota) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  ASSERT_TRUE(lease.ok()) << lease.status();
  const pid_t child = ChildThatReserves(hetd, lease->front().id, 700 * kMiB);
  const auto seat = Sit(hetd, lease->front().id);
  ASSERT_NE(seat, nullptr);
  const absl::Status refusal = seat->Reserve(400 * kMiB);
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("324 MiB"));
  EXPECT_TRUE(seat->Reserve(324 * kMiB).ok());
  EXPECT_EQ(UsageOf(hetd).memory_bytes, kGiB);
  EXPECT_EQ(UsageOf(hetd).processes, 2u);
  KillAndReap(child);
  EXPECT_TRUE(Eventually([&] { return seat->memory_used() == 324 * kMiB; }, 1000))
      << "a dead process's memory is back within a second";
}

TEST(Attach, IsForTheOwnerOfAConfirmedLease) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  EXPECT_EQ(protocol::Attach(*client, "nobody").status().code(), absl::StatusCode::kNotFound);
  protocol::AcquireRequest request = AcquireOf("gpu-a", 30, kGiB);
  request.terms.confirm = false;
  const auto lease = client->Acquire(request);
  EXPECT_EQ(protocol::Attach(*client, lease->front().id).status().code(),
            absl::StatusCode::kFailedPrecondition);
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become a second user";
  ASSERT_TRUE(client->Confirm(ChangeOf(lease->front())).ok());
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const auto other = protocol::Client::Connect(hetd.socket());
    if (!other.ok()) _exit(3);
    const auto code = protocol::Attach(**other, lease->front().id).status().code();
    _exit(code == absl::StatusCode::kPermissionDenied ? 0 : 4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Attach, ResizesWhileProcessesRun) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  const auto seat = Sit(hetd, lease->front().id);
  ASSERT_NE(seat, nullptr);
  ASSERT_TRUE(seat->Reserve(600 * kMiB).ok());

  protocol::ResizeRequest request;
  request.leases = {{lease->front().id, 0}};
  request.share = Share::OfPercent(60);
  request.memory_bytes = 2 * kGiB;
  request.priority = Priority::kHigh;
  const auto grown = client->Resize(request);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_GT(grown->front().generation, lease->front().generation);
  EXPECT_EQ(seat->memory_limit(), 2 * kGiB);
  EXPECT_TRUE(seat->Reserve(kGiB).ok());
  seat->End(*seat->Begin(1000), 1000);
  EXPECT_EQ(seat->share(), Share::OfPercent(60));

  request.request_id.clear();
  request.memory_bytes = kGiB;
  request.share = Share::OfPercent(10);
  const absl::Status refusal = client->Resize(request).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("1.59 GiB"));
  const auto rows = client->ListSlices();
  EXPECT_EQ(rows->front().slice.share, Share::OfPercent(60)) << "nothing changed";
  EXPECT_EQ(rows->front().slice.memory_bytes, 2 * kGiB);
  EXPECT_EQ(seat->memory_limit(), 2 * kGiB);

  request.request_id.clear();
  request.memory_bytes.reset();
  request.share = Share::OfPercent(101);
  EXPECT_FALSE(client->Resize(request).ok());
}

TEST(Attach, GoesOnWithoutHetd) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  const auto seat = Sit(hetd, lease->front().id);
  ASSERT_NE(seat, nullptr);
  hetd.Kill(SIGKILL);
  for (int i = 0; i < 1000; ++i) {
    const auto ticket = seat->Begin(1000);
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    seat->End(*ticket, 1000);
  }
  EXPECT_TRUE(seat->Reserve(kGiB).ok());
  EXPECT_FALSE(seat->Reserve(1).ok()) << "the quota holds without hetd too";
}

TEST(Attach, ARestartedHetdGoesOnWithTheSameArbiter) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  // Found again through the descriptors of a living process other than this one's hetd.
  const pid_t child = ChildThatReserves(hetd, lease->front().id, 700 * kMiB);
  const pid_t dies = ChildThatReserves(hetd, lease->front().id, 100 * kMiB);
  const auto seat = Sit(hetd, lease->front().id);
  ASSERT_NE(seat, nullptr);
  hetd.Kill(SIGKILL);
  KillAndReap(dies);
  hetd.Start();

  EXPECT_EQ(UsageOf(hetd).memory_bytes, 700 * kMiB);
  EXPECT_EQ(UsageOf(hetd).processes, 2u) << "the one that died meanwhile is reaped";
  protocol::ResizeRequest request;
  request.leases = {{lease->front().id, 0}};
  request.memory_bytes = 800 * kMiB;
  ASSERT_TRUE(client->Resize(request).ok());
  EXPECT_EQ(seat->memory_limit(), 800 * kMiB) << "its processes hear the new hetd";
  EXPECT_FALSE(seat->Reserve(101 * kMiB).ok());
  const auto late = Sit(hetd, lease->front().id);
  ASSERT_NE(late, nullptr);
  EXPECT_EQ(late->memory_used(), 700 * kMiB) << "who comes later sits at the same table";
  KillAndReap(child);
  EXPECT_TRUE(Eventually([&] { return late->memory_used() == 0; }, 1000));
}

TEST(Attach, ReleaseTakesTheSeatsAway) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  const auto seat = Sit(hetd, lease->front().id);
  ASSERT_NE(seat, nullptr);
  ASSERT_TRUE(client->Release(ChangeOf(lease->front())).ok());
  EXPECT_EQ(seat->Begin(1000).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Attach, DrainingGrantsNothingNew) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  ASSERT_TRUE(client->Drain("gpu-a", true).ok());
  const absl::Status refusal = client->Acquire(AcquireOf("gpu-a", 10, kGiB)).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refusal.message()), HasSubstr("undrain"));
  EXPECT_NE(Sit(hetd, lease->front().id), nullptr) << "what is held stays";
  ASSERT_TRUE(client->Drain("gpu-a", false).ok());
  EXPECT_TRUE(client->Acquire(AcquireOf("gpu-a", 10, kGiB)).ok());
  EXPECT_EQ(client->Drain("gpu-z", true).code(), absl::StatusCode::kNotFound);
}

TEST(NamedSlice, IsLeasedByNameAndThereAgainAfterwards) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  SliceRequest gold = AcquireOf("gpu-a", 60, kGiB).slices[0];
  gold.name = "gold";
  ASSERT_TRUE(client->CreateSlice(gold).ok());
  EXPECT_EQ(client->CreateSlice(gold).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(client->Acquire(AcquireOf("gpu-a", 50, kGiB)).ok()) << "its part is booked";
  EXPECT_TRUE(client->ListLeases()->empty());
  protocol::AcquireRequest by_name;
  by_name.terms.holder = Holder::kManual;
  by_name.terms.confirm = true;
  by_name.slices.emplace_back().name = "gold";
  const auto lease = client->Acquire(by_name);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->front().slice.share, Share::OfPercent(60));
  EXPECT_EQ(client->Acquire(by_name).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(client->DeleteSlice("gold").code(), absl::StatusCode::kFailedPrecondition);
  hetd.Kill(SIGKILL);
  hetd.Start();
  EXPECT_EQ(client->ListLeases()->size(), 1u);
  ASSERT_TRUE(client->Release(ChangeOf(lease->front())).ok());
  EXPECT_TRUE(client->ListLeases()->empty());
  hetd.Kill(SIGKILL);
  hetd.Start();
  const auto rows = client->ListSlices();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().state, LeaseState::kAvailable);
  by_name.slices.push_back(AcquireOf("gpu-a", 50, kGiB).slices[0]);
  EXPECT_FALSE(client->Acquire(by_name).ok()) << "all or none";
  by_name.slices[1] = AcquireOf("gpu-a", 40, kGiB).slices[0];
  const auto both = client->Acquire(by_name);
  ASSERT_TRUE(both.ok()) << both.status();
  for (const Lease& one : *both) ASSERT_TRUE(client->Release(ChangeOf(one)).ok());
  ASSERT_TRUE(client->DeleteSlice("gold").ok());
  EXPECT_TRUE(client->Acquire(AcquireOf("gpu-a", 100, kGiB)).ok());
}

TEST(NamedSlice, ComesFromTheConfiguration) {
  HetdProcess hetd;
  const std::string config = hetd.directory().path() + "/hetd.toml";
  std::ofstream(config) << "[[slice]]\nname = \"gold\"\ndevice = \"gpu-a\"\nshare = 25\nmemory = "
                           "\"2GiB\"\npriority = \"high\"\n";
  hetd.Start({"--config", config});
  ASSERT_TRUE(Eventually([&] { return hetd.Connect()->ListSlices()->size() == 1; }, 5000));
  EXPECT_EQ(hetd.Connect()->ListSlices()->front().slice.priority, Priority::kHigh);
  hetd.Kill(SIGKILL);
  std::ofstream(config) << "[[slice]]\nname = \"gold\"\ndevice = \"gpu-a\"\nshare = 250\n";
  int exit_code = 0;
  EXPECT_THAT(hetd.StartAndFail({"--runtime-dir", hetd.runtime_dir(), "--state-dir",
                                 hetd.state_dir(), "--config", config},
                                &exit_code),
              HasSubstr("hetd.toml:4:9: \"share\""));
  EXPECT_EQ(exit_code, 1);
}

TEST(Attach, ManyProcessesAttachAtOnce) {
  HetdProcess hetd;
  hetd.Start();
  constexpr int kProcesses = 64;
  int barrier[2];
  ASSERT_EQ(pipe(barrier), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      close(barrier[1]);
      char byte;
      if (read(barrier[0], &byte, 1) != 0) _exit(2);
      const auto client = hetd.Connect();
      const auto lease = client->Acquire(AcquireOf("gpu-a", 1, kMiB, Holder::kProcess));
      if (!lease.ok()) _exit(3);
      const auto seat = Sit(hetd, lease->front().id);
      _exit(seat != nullptr && seat->Reserve(kMiB).ok() ? 0 : 4);
    }
    children.push_back(child);
  }
  close(barrier[0]);
  close(barrier[1]);  // all go at once
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
}

}  // namespace
}  // namespace het::daemon
