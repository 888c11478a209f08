// A row of the security table each (docs/reliability.md), with a second user. The rest of the table
// is in daemon/server_test.cc (frames, slow clients, limits, doors), tests/node/node_test.cc (lease
// limits, isolation), tests/arbiter (hostile shared memory) and daemon/process_test.cc (pid reuse).
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "base/clock.h"
#include "partition/shared_pages.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kAna = 65533;
constexpr uid_t kBob = 65534;

// Runs `work` as another user in a process of its own; what it returns is the failure, if any.
std::string As(uid_t uid, const std::function<std::string()>& work, gid_t gid = 65534) {
  int report[2];
  if (pipe(report) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0) _exit(2);
    const std::string failure = work();
    (void)!write(report[1], failure.data(), failure.size());
    _exit(0);
  }
  close(report[1]);
  std::string text(65536, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, read(report[0], text.data(), text.size()))));
  close(report[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : "the other user's process died";
}

class HetdAndTwoUsers : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to become other users";
  }
  void Start(const std::string& config = "") {
    if (config.empty()) return hetd_.Start();
    hetd_.Start({"--config", hetd_.directory().Write("hetd.toml", config)});
  }
  std::unique_ptr<protocol::Client> Client() const {
    auto client = protocol::Client::Connect(hetd_.socket(), 20'000);
    return client.ok() ? *std::move(client) : nullptr;
  }
  HetdProcess hetd_;
};

TEST_F(HetdAndTwoUsers, ShowsAUserTheirOwnRowsOnly) {
  Start();
  ASSERT_TRUE(hetd_.Connect()->Acquire(AcquireOf("gpu-a", 30, kGiB)).ok());
  EXPECT_EQ(As(kBob,
               [&]() -> std::string {
                 const auto client = Client();
                 if (client == nullptr) return "cannot connect";
                 if (!client->Acquire(AcquireOf("gpu-b", 20, kGiB)).ok()) return "no lease";
                 if (client->ListLeases()->size() != 1) return "sees leases of others";
                 if (client->ListSlices()->size() != 1) return "sees slices of others";
                 // What is free is everybody's to know.
                 const auto devices = client->ListDevices();
                 return (*devices)[0].free.share == Share::OfPercent(70) ? "" : "wrong free share";
               }),
            "");
  EXPECT_EQ(hetd_.Connect()->ListLeases()->size(), 2u) << "an administrator sees all";
}

TEST_F(HetdAndTwoUsers, OpensTheAdministratorsDoorToItsGroupOnly) {
  Start();
  struct stat info = {};
  const std::string door = hetd_.runtime_dir() + "/admin.sock";
  ASSERT_EQ(stat(door.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  const auto lease = hetd_.Connect()->Acquire(AcquireOf("gpu-a", 30, kGiB));
  const auto release = [&](const std::string& socket) -> std::string {
    const auto client = protocol::Client::Connect(socket);
    if (!client.ok()) return "cannot connect";
    const absl::Status status = (*client)->Release(ChangeOf(lease->front()));
    return status.ok() ? "released" : std::string(absl::StatusCodeToString(status.code()));
  };
  EXPECT_EQ(As(kBob, [&] { return release(door); }), "cannot connect");
  EXPECT_EQ(As(kBob, [&] { return release(hetd_.socket()); }), "PERMISSION_DENIED");
  EXPECT_EQ(As(
                kBob, [&] { return release(door); }, info.st_gid),
            "released");
}

TEST_F(HetdAndTwoUsers, BelievesTheKernelAndNotTheMessage) {
  Start();
  EXPECT_EQ(As(kBob,
               [&]() -> std::string {
                 const auto client = Client();
                 Json request = ToJson(AcquireOf("gpu-a", 10, kGiB, Holder::kProcess));
                 request["uid"] = 0u;
                 request["pid"] = 1u;
                 request["startTime"] = 1u;
                 request["admin"] = true;
                 const auto reply = client->Call("org.het.v1.Acquire", request);
                 if (!reply.ok()) return reply.status().ToString();
                 const Json& lease = (*reply)["leases"][0];
                 if (lease["uid"] != kBob) return "another user";
                 return lease["pid"] == getpid() ? "" : "another process";
               }),
            "");
  EXPECT_TRUE(Eventually([&] { return hetd_.Connect()->ListLeases()->empty(); }))
      << "it ended with the process that asked";
}

TEST_F(HetdAndTwoUsers, KeepsNamedSlicesDrainAndOthersLeasesForAdministrators) {
  Start();
  const auto lease =
      hetd_.Connect()->Acquire(AcquireOf("gpu-a", 30, kGiB, Holder::kManual, 60'000));
  const Json ref = {{{"id", lease->front().id}}};
  EXPECT_EQ(
      As(kBob,
         [&]() -> std::string {
           const auto client = Client();
           const std::pair<const char*, Json> kCalls[] = {
               {"Release", {{"leases", ref}}},
               {"Renew", {{"leases", ref}, {"ttlMs", 5u}}},
               {"Resize", {{"leases", ref}, {"memoryBytes", kGiB}}},
               {"Attach", {{"lease", lease->front().id}}},
               {"Drain", {{"device", "gpu-a"}}},
               {"CreateSlice",
                {{"name", "n"}, {"device", "gpu-a"}, {"sharePercent", 5}, {"memoryBytes", 1u}}},
               {"DeleteSlice", {{"name", "n"}}}};
           std::string wrong;
           for (const auto& [method, parameters] : kCalls) {
             const auto reply = client->Call(std::string("org.het.v1.") + method, parameters);
             if (!absl::IsPermissionDenied(reply.status())) wrong += std::string(method) + " ";
           }
           return wrong;
         }),
      "");
}

TEST_F(HetdAndTwoUsers, HoldsAUserToTheirLimits) {
  Start(R"(
[limits]
connections_per_user = 3
leases_per_user = 2
waiting_per_user = 1
requests_per_second_per_user = 20
)");
  EXPECT_EQ(As(kBob,
               [&]() -> std::string {
                 std::vector<std::unique_ptr<protocol::Client>> clients;
                 for (int i = 0; i < 3; ++i) clients.push_back(Client());
                 const auto fourth = protocol::Client::Connect(hetd_.socket());
                 if (fourth.ok() && (*fourth)->GetInfo().ok()) return "a fourth connection";
                 for (int i = 0; i < 2; ++i) {
                   const auto lease = clients[0]->Acquire(AcquireOf("gpu-a", 5, kGiB));
                   if (!lease.ok()) return lease.status().ToString();
                 }
                 const absl::Status third =
                     clients[0]->Acquire(AcquireOf("gpu-a", 5, kGiB)).status();
                 if (!absl::IsResourceExhausted(third)) return "a third lease";
                 // A burst of four seconds' worth, then twenty a second.
                 const int64_t begin = Clock::Real().MonotonicNanos();
                 for (int i = 0; i < 100; ++i) {
                   if (!clients[1]->GetInfo().ok()) return "refused";
                 }
                 const double seconds = (Clock::Real().MonotonicNanos() - begin) * 1e-9;
                 return seconds > 0.9 ? "" : "100 requests in " + std::to_string(seconds) + " s";
               }),
            "");
  const auto root = hetd_.Connect();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(root->GetInfo().ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(root->Acquire(AcquireOf("gpu-b", 5, kGiB)).ok());
}

TEST_F(HetdAndTwoUsers, SharesADeviceBetweenUsersOnlyWhereTheyAreKeptApartOrAgreed) {
  Start();
  const auto acquire = [&](const std::string& device, bool agreed) {
    return [=, this]() -> std::string {
      const auto client = Client();
      protocol::AcquireRequest request = AcquireOf(device, 20, kGiB);
      if (agreed) request.terms.isolation_at_least = Isolation::kCooperative;
      const auto lease = client->Acquire(request);
      return lease.ok() ? "leased" : std::string(lease.status().message());
    };
  };
  EXPECT_EQ(As(kAna, acquire("gpu-a", false)), "leased");
  EXPECT_EQ(As(kAna, acquire("gpu-a", false)), "leased") << "one user shares as they like";
  EXPECT_THAT(As(kBob, acquire("gpu-a", false)), HasSubstr("kept apart by cooperative means only"));
  EXPECT_THAT(As(kBob, acquire("gpu-a", true)), HasSubstr("they ask at least driver"));
  EXPECT_EQ(As(kAna, acquire("gpu-b", true)), "leased");
  EXPECT_EQ(As(kBob, acquire("gpu-b", true)), "leased");
}

TEST_F(HetdAndTwoUsers, LetsTheOperatorAllowSharingForAll) {
  Start("[security]\nisolation = \"cooperative\"\n");
  for (const uid_t uid : {kAna, kBob}) {
    EXPECT_EQ(As(uid,
                 [&]() -> std::string {
                   const auto lease = Client()->Acquire(AcquireOf("gpu-a", 20, kGiB));
                   return lease.ok() ? "" : lease.status().ToString();
                 }),
              "");
  }
}

TEST_F(HetdAndTwoUsers, HandsOutMemoryWhoseSizeIsSealedAndWhichOthersCannotOpen) {
  Start();
  const auto client = hetd_.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  std::vector<UniqueFd> descriptors;
  ASSERT_TRUE(client->Call("org.het.v1.Attach", {{"lease", lease->front().id}}, descriptors).ok());
  ASSERT_GE(descriptors.size(), 2u);
  for (const UniqueFd& fd : descriptors) {
    EXPECT_NE(ftruncate(fd.get(), 0), 0) << "the size is sealed";
    EXPECT_NE(ftruncate(fd.get(), 1 << 30), 0);
    struct stat info = {};
    ASSERT_EQ(fstat(fd.get(), &info), 0);
    EXPECT_EQ(info.st_mode & 0077, 0u) << "nobody else opens it again";
  }
}

}  // namespace
}  // namespace het::daemon
