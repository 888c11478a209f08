// A real hetd, from outside: what a client sees, and what survives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "partition/refusal.h"
#include "protocol/frame.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

uint32_t FreePercent(protocol::Client& client, size_t device = 0) {
  const auto devices = client.ListDevices();
  if (!devices.ok() || devices->size() <= device) return 999;
  return (*devices)[device].free.share.parts() / 100;
}

TEST(Hetd, ListsDevicesSlicesAndLeases) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto devices = client->ListDevices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[0].free, (Amount{Share::Whole(), 16 * kGiB}));
  const auto leases = client->Acquire(AcquireOf("gpu-a", 30, kGiB, Holder::kProcess));
  ASSERT_TRUE(leases.ok()) << leases.status();
  EXPECT_EQ(leases->front().pid, getpid());
  EXPECT_EQ(leases->front().state, LeaseState::kConfirmed);
  const auto slices = client->ListSlices();
  ASSERT_EQ(slices->size(), 1u);
  EXPECT_EQ((*slices)[0].lease, leases->front().id);
  EXPECT_EQ((*client->ListLeases())[0].id, leases->front().id);
  EXPECT_EQ(FreePercent(*client), 70u);
  EXPECT_TRUE(client->Release(ChangeOf(leases->front())).ok());
  EXPECT_EQ(FreePercent(*client), 100u);
}

TEST(Hetd, DescribesItsInterface) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto info = client->GetInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->pid, static_cast<uint64_t>(hetd.pid()));
  const auto description =
      client->Call("org.varlink.service.GetInterfaceDescription", {{"interface", "org.het.v1"}});
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_THAT((*description)["description"].get<std::string>(), HasSubstr("method AcquireModel("));
  EXPECT_EQ(client->Call("org.het.v1.Fly", Json::object()).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(Hetd, RefusesMoreThanThereIsAndNamesWhatIsFree) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_TRUE(client->Acquire(AcquireOf("gpu-a", 60, 9 * kGiB)).ok());
  const absl::Status status = client->Acquire(AcquireOf("gpu-a", 50, kGiB)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("40% and 7 GiB are free"));
  EXPECT_FALSE(ShortageOf(status)->never_fits);
  EXPECT_TRUE(ShortageOf(client->Acquire(AcquireOf("gpu-a", 1, 17 * kGiB)).status())->never_fits);
  const absl::Status missing = client->Acquire(AcquireOf("gpu-z", 1, kGiB)).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("gpu-b"));
  // All or none.
  protocol::AcquireRequest both = AcquireOf("gpu-b", 100, kGiB);
  both.slices.push_back(AcquireOf("gpu-a", 50, kGiB).slices[0]);
  EXPECT_FALSE(client->Acquire(both).ok());
  EXPECT_EQ(FreePercent(*client, 1), 100u);
}

TEST(Hetd, ListsMoreLeasesThanAFrameHolds) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  std::set<std::string> granted;
  for (const char* device : {"gpu-a", "gpu-b", "gpu-a"}) {
    protocol::AcquireRequest request = AcquireOf(device, 1, kMiB);
    request.slices.resize(request.slices.size() * (granted.size() < 128 ? 64 : 36),
                          request.slices[0]);
    const auto leases = client->Acquire(request);
    ASSERT_TRUE(leases.ok()) << leases.status();
    for (const Lease& lease : *leases) granted.insert(lease.id);
  }
  const auto leases = client->ListLeases();
  ASSERT_TRUE(leases.ok()) << leases.status();
  std::set<std::string> listed;
  for (const Lease& lease : *leases) listed.insert(lease.id);
  EXPECT_EQ(listed, granted);
  EXPECT_EQ(client->ListSlices()->size(), granted.size());
  EXPECT_EQ(FreePercent(*client), 0u);
  const auto whole = client->Call("org.het.v1.ListLeases", Json::object());
  EXPECT_EQ(whole.status().code(), absl::StatusCode::kFailedPrecondition)
      << "one frame was asked for";
  protocol::AcquireRequest too_many = AcquireOf("gpu-b", 1, kMiB);
  too_many.slices.resize(protocol::kMaxSlicesPerRequest + 1, too_many.slices[0]);
  EXPECT_EQ(FieldOf(client->Acquire(too_many).status()), "slices");
}

// A child that acquires for itself and then waits to be killed.
pid_t ChildThatAcquires(const HetdProcess& hetd, uint32_t percent) {
  int ready[2];
  if (pipe(ready) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    close(ready[0]);
    const auto client = protocol::Client::Connect(hetd.socket());
    const bool ok =
        client.ok() && (*client)->Acquire(AcquireOf("gpu-a", percent, kGiB, Holder::kProcess)).ok();
    if (write(ready[1], ok ? "y" : "n", 1) != 1) _exit(1);
    while (true) pause();
  }
  close(ready[1]);
  char answer = 'n';
  EXPECT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  close(ready[0]);
  return child;
}

void KillAndReap(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST(Hetd, ReclaimsTheLeaseOfAProcessWithinASecondOfItsDeath) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const pid_t child = ChildThatAcquires(hetd, 30);
  ASSERT_EQ(FreePercent(*client), 70u);
  KillAndReap(child);
  EXPECT_TRUE(Eventually([&] { return FreePercent(*client) == 100; }, 1000));
}

TEST(Hetd, KeepsItsLeasesThroughKill9) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto mine = client->Acquire(AcquireOf("gpu-a", 10, kGiB, Holder::kProcess));
  const auto manual = client->Acquire(AcquireOf("gpu-a", 20, kGiB, Holder::kManual));
  ASSERT_TRUE(mine.ok() && manual.ok());
  const pid_t lives = ChildThatAcquires(hetd, 5);
  const pid_t dies = ChildThatAcquires(hetd, 40);

  hetd.Kill(SIGKILL);
  KillAndReap(dies);
  hetd.Start();  // over the socket that was left behind
  // The same client goes on: it connects again by itself.
  EXPECT_TRUE(Eventually([&] { return FreePercent(*client) == 65; }, 2000)) << FreePercent(*client);
  const auto leases = client->ListLeases();
  ASSERT_EQ(leases->size(), 3u);
  KillAndReap(lives);  // is watched again
  EXPECT_TRUE(Eventually([&] { return FreePercent(*client) == 70; }, 1000));
  EXPECT_TRUE(client->Release(ChangeOf(manual->front())).ok());
  EXPECT_TRUE(client->Release(ChangeOf(mine->front())).ok());
}

TEST(Hetd, EndsALeaseWhenItsTimeIsOver) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB, Holder::kManual, 400));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(FreePercent(*client), 70u);
  EXPECT_TRUE(Eventually([&] { return FreePercent(*client) == 100; }, 5000));
}

TEST(Hetd, AnswersARepeatedRequestTheSameAlsoAfterARestart) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  protocol::AcquireRequest request = AcquireOf("gpu-a", 30, kGiB);
  request.terms.request_id = "once";
  const auto first = client->Acquire(request);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto again = client->Acquire(request);
  hetd.Kill(SIGKILL);
  hetd.Start();
  const auto after = client->Acquire(request);
  ASSERT_TRUE(again.ok() && after.ok()) << after.status();
  EXPECT_EQ(again->front().id, first->front().id);
  EXPECT_EQ(after->front().id, first->front().id);
  EXPECT_EQ(FreePercent(*client), 70u);
  request.slices[0].share = Share::OfPercent(31);
  EXPECT_EQ(FieldOf(client->Acquire(request).status()), "requestId");
}

TEST(Hetd, FencesAStaleGeneration) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB, Holder::kManual, 60'000));
  protocol::LeaseChange renewal = ChangeOf(lease->front(), lease->front().generation);
  renewal.ttl_ms = 90'000;
  const auto renewed = client->Renew(renewal);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(client->Release(ChangeOf(lease->front(), lease->front().generation)).code(),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(client->Release(ChangeOf(lease->front(), renewed->front().generation)).ok());
}

TEST(Hetd, KeepsAUsersLeasesFromOthers) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become a second user";
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const auto other = protocol::Client::Connect(hetd.socket());
    if (!other.ok()) _exit(3);
    const auto code = (*other)->Release(ChangeOf(lease->front())).code();
    _exit(code == absl::StatusCode::kPermissionDenied ? 0 : 4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(client->Release(ChangeOf(lease->front())).ok());
}

TEST(Hetd, IsAloneInItsDirectories) {
  HetdProcess hetd;
  hetd.Start();
  int exit_code = 0;
  EXPECT_THAT(hetd.StartAndFail({"--runtime-dir", hetd.runtime_dir(), "--state-dir",
                                 hetd.directory().path() + "/other"},
                                &exit_code),
              HasSubstr("another hetd (process " + std::to_string(hetd.pid()) + ")"));
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(hetd.StartAndFail({"--runtime-dir", hetd.directory().path() + "/other", "--state-dir",
                                 hetd.state_dir()},
                                &exit_code),
              HasSubstr("another hetd has it"));
  EXPECT_TRUE(hetd.Connect()->GetInfo().ok()) << "the first one goes on";
}

TEST(Hetd, SurvivesMalformedInput) {
  HetdProcess hetd;
  hetd.Start();
  const std::string frames[] = {
      std::string("\0", 1),
      std::string("{}\0", 3),
      std::string(100'000, '{'),
      *protocol::EncodeFrame({{"method", 7}}),
      *protocol::EncodeFrame({{"method", "org.het.v1.Acquire"}, {"parameters", "none"}}),
      *protocol::EncodeFrame({{"method", "org.het.v1.Acquire"}, {"parameters", {{"slices", 1}}}}),
      *protocol::EncodeFrame({{"method", "org.het.v1.Release"},
                              {"parameters", {{"leases", {{{"id", std::string(9000, 'x')}}}}}}})};
  for (const std::string& frame : frames) {
    const int fd = hetd.ConnectRaw();
    (void)send(fd, frame.data(), frame.size(), MSG_NOSIGNAL);
    char answer[65536] = {};
    EXPECT_GT(recv(fd, answer, sizeof(answer) - 1, 0), 0);
    EXPECT_THAT(answer, HasSubstr("org.het.v1.Invalid")) << frame.substr(0, 60);
    close(fd);
  }
  EXPECT_TRUE(hetd.Connect()->GetInfo().ok());
}

TEST(Hetd, RefusesNewLeasesOnAFullDiskAndHeals) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto old = client->Acquire(AcquireOf("gpu-a", 30, kGiB));
  ASSERT_TRUE(old.ok());
  rlimit limit = {};
  ASSERT_EQ(prlimit(hetd.pid(), RLIMIT_FSIZE, nullptr, &limit), 0);
  const rlimit full = {1, limit.rlim_max};
  ASSERT_EQ(prlimit(hetd.pid(), RLIMIT_FSIZE, &full, nullptr), 0);
  const absl::Status refused = client->Acquire(AcquireOf("gpu-a", 30, kGiB)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr(hetd.state_dir()));
  EXPECT_EQ(FreePercent(*client), 70u) << "nothing was granted, nothing was lost";
  EXPECT_NE(client->GetInfo()->store_error, "");
  ASSERT_EQ(prlimit(hetd.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  EXPECT_TRUE(Eventually([&] { return client->GetInfo()->store_error.empty(); }, 5000));
  EXPECT_TRUE(client->Acquire(AcquireOf("gpu-a", 30, kGiB)).ok());
  hetd.Kill(SIGKILL);
  hetd.Start();
  EXPECT_EQ(client->ListLeases()->size(), 2u);
}

// ---- models ----

protocol::ModelRequest ModelOf(uint64_t layers, uint64_t bytes, int64_t wait_ms = 0) {
  protocol::ModelRequest request;
  request.model.name = "m";
  request.model.layers = {{bytes, 0, 0, layers}};
  request.terms.holder = Holder::kManual;
  request.terms.confirm = true;
  request.wait_ms = wait_ms;
  return request;
}

TEST(Hetd, LeasesAllStagesOfAModelThatFitsNoDeviceAlone) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto plan = client->PlanModel(ModelOf(20, kGiB));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(FreePercent(*client), 100u) << "a plan takes nothing";
  const auto reply = client->AcquireModel(ModelOf(20, kGiB));
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->leases.size(), 2u);
  EXPECT_EQ(reply->plan.stages[0].end, reply->plan.stages[1].begin);
  EXPECT_EQ(reply->plan.stages[1].end, 20u);
  EXPECT_EQ(reply->plan.stages[0].lease, reply->leases[0].id);
  EXPECT_EQ(reply->leases[0].slice.memory_bytes, reply->plan.stages[0].memory_bytes);
  const absl::Status second = client->AcquireModel(ModelOf(20, kGiB)).status();
  EXPECT_FALSE(ShortageOf(second)->never_fits) << second;
  EXPECT_EQ(client->ListLeases()->size(), 2u);
}

TEST(Hetd, RefusesAModelThatCanNeverFitAtOnce) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const int64_t begin = Clock::Real().MonotonicNanos();
  const absl::Status status = client->AcquireModel(ModelOf(40, kGiB, 60'000)).status();
  EXPECT_LT(Clock::Real().MonotonicNanos() - begin, 10'000'000'000);
  ASSERT_TRUE(ShortageOf(status).has_value()) << status;
  EXPECT_TRUE(ShortageOf(status)->never_fits);
  EXPECT_EQ(ShortageOf(status)->requested.memory_bytes, 40 * kGiB);
}

TEST(Hetd, LetsAModelWaitUntilOthersRelease) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto held = client->Acquire(AcquireOf("gpu-a", 100, 16 * kGiB));
  ASSERT_TRUE(held.ok());
  absl::StatusOr<protocol::ModelReply> reply = absl::UnknownError("no answer");
  std::jthread waiter([&] { reply = hetd.Connect()->AcquireModel(ModelOf(20, kGiB, 30'000)); });
  ASSERT_TRUE(Eventually([&] { return client->GetInfo()->waiting == 1; }));
  EXPECT_TRUE(client->Release(ChangeOf(held->front())).ok());
  waiter.join();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->leases.size(), 2u);
  EXPECT_EQ(client->GetInfo()->waiting, 0u);
}

TEST(Hetd, GivesUpWaitingInTime) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_TRUE(client->Acquire(AcquireOf("gpu-a", 100, 16 * kGiB)).ok());
  const absl::Status status = client->AcquireModel(ModelOf(20, kGiB, 200)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("waited 200 ms"));
  EXPECT_EQ(client->GetInfo()->waiting, 0u);
}

TEST(Hetd, ForgetsAWaiterThatLeft) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_TRUE(client->Acquire(AcquireOf("gpu-a", 100, 16 * kGiB)).ok());
  const int fd = hetd.ConnectRaw();
  const std::string frame = *protocol::EncodeFrame(
      {{"method", "org.het.v1.AcquireModel"}, {"parameters", ToJson(ModelOf(20, kGiB, 60'000))}});
  ASSERT_EQ(send(fd, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  ASSERT_TRUE(Eventually([&] { return client->GetInfo()->waiting == 1; }));
  close(fd);
  EXPECT_TRUE(Eventually([&] { return client->GetInfo()->waiting == 0; }));
}

// ---- discovery ----

TEST(Hetd, ListsABackendWhoseProbeHangsWhileTheOthersServe) {
  HetdProcess hetd;
  hetd.SetProbeScript(R"(
case "$1 $2" in
  *hung) exec sleep 60 ;;
  *crashed) kill -SEGV $$ ;;
  *) echo '{"devices":[{"id":"d","name":"n","backend":"good","memoryBytes":1073741824,"memoryBytesPerSecond":1}]}' ;;
esac)",
                      "good,hung,crashed");
  hetd.Start();
  const auto client = hetd.Connect();
  EXPECT_TRUE(client->GetInfo()->discovering) << "it serves before it knows the devices";
  const auto devices = client->ListDevices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 3u);
  EXPECT_EQ((*devices)[0].info.state, DeviceState::kOk);
  EXPECT_EQ((*devices)[1].info.state, DeviceState::kDegraded);
  EXPECT_THAT((*devices)[1].info.reason, HasSubstr("did not answer in 5000 ms"));
  EXPECT_EQ((*devices)[2].info.state, DeviceState::kDegraded);
  EXPECT_THAT((*devices)[2].info.reason, HasSubstr("crashed"));
  EXPECT_TRUE(client->Acquire(AcquireOf("d", 10, kMiB)).ok());
  EXPECT_EQ(client->Acquire(AcquireOf((*devices)[1].info.uuid, 10, kMiB)).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Hetd, SeesNewDevicesOnRescanAndOnSighup) {
  HetdProcess hetd;
  const auto script = [&hetd](int devices) {
    std::ostringstream text;
    text << "echo '{\"devices\":[";
    for (int i = 0; i < devices; ++i) {
      text << (i > 0 ? "," : "") << "{\"id\":\"d" << i << "\",\"name\":\"n\",\"backend\":\"x\","
           << "\"memoryBytes\":1073741824,\"memoryBytesPerSecond\":1}";
    }
    text << "]}'\n";
    hetd.SetProbeScript(text.str(), "x");
  };
  script(1);
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_EQ(client->ListDevices()->size(), 1u);
  ASSERT_TRUE(client->Acquire(AcquireOf("d0", 40, kMiB)).ok());
  script(2);
  ASSERT_TRUE(client->Rescan().ok());
  EXPECT_EQ(client->ListDevices()->size(), 2u);
  EXPECT_EQ(FreePercent(*client), 60u) << "leases stay";
  script(3);
  kill(hetd.pid(), SIGHUP);
  EXPECT_TRUE(Eventually([&] { return client->ListDevices()->size() == 3; }));
}

TEST(Hetd, MeasuresADeviceOnceAndKeepsTheFigures) {
  HetdProcess hetd;
  hetd.SetProbeScript(R"(
if [ "$3" = --measure ]; then echo measured >> ")" +
                          hetd.directory().path() +
                          R"(/count"; RATE=',"memoryBytesPerSecond":5e9,"flopsPerSecond":7e9'; fi
echo '{"devices":[{"id":"d","name":"n","backend":"x","memoryBytes":1073741824'"$RATE"'}]}')",
                      "x");
  for (int round = 0; round < 2; ++round) {
    hetd.Start();
    const auto client = hetd.Connect();
    ASSERT_TRUE(client->PlanModel(ModelOf(1, kMiB)).ok()) << "plans wait for the figures";
    EXPECT_EQ((*client->ListDevices())[0].info.memory_bytes_per_s, 5e9);
    hetd.Kill(SIGTERM);
  }
  std::ifstream count(hetd.directory().path() + "/count");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(count), {}), "measured\n");
}

TEST(Hetd, SaysThatThereIsNoProbe) {
  HetdProcess hetd;
  hetd.Start();
  hetd.Kill(SIGTERM);
  unlink((hetd.directory().path() + "/probe").c_str());
  hetd.Start();
  const auto devices = hetd.Connect()->ListDevices();
  ASSERT_EQ(devices->size(), 1u);
  EXPECT_EQ((*devices)[0].info.state, DeviceState::kDegraded);
  EXPECT_THAT((*devices)[0].info.reason, HasSubstr("cannot start"));
}

TEST(Hetd, SeesTheHostsProcessorsThroughTheRealProbe) {
  HetdProcess hetd;
  hetd.UseRealProbe("cpu");
  hetd.Start();
  const auto client = hetd.Connect();
  const auto devices = client->ListDevices();
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_GE(devices->size(), 1u);
  const DeviceInfo cpu = (*devices)[0].info;
  EXPECT_EQ(cpu.backend, "cpu");
  ASSERT_FALSE(cpu.cores.empty());
  const auto lease = client->Acquire(AcquireOf(cpu.uuid, 50, kMiB));
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_FALSE(lease->front().slice.cores.empty());
  ASSERT_TRUE(client->PlanModel(ModelOf(1, kMiB)).ok());
  EXPECT_GT((*client->ListDevices())[0].info.memory_bytes_per_s, 0);
}

TEST(Hetd, CarriesNoBackend) {
  std::ifstream file(HETD_BINARY, std::ios::binary);
  const std::string binary((std::istreambuf_iterator<char>(file)), {});
  ASSERT_GT(binary.size(), 100'000u);
  for (const char* word : {"libOpenCL.so", "clGetPlatformIDs", "libhwloc.so", "CreateDriver"}) {
    EXPECT_EQ(binary.find(word), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace het::daemon
