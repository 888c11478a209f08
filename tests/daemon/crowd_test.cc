// Many clients at once, and clients that stand still: hetd serves the others.
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/uuid.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

bool Soak() { return getenv("HET_SOAK") != nullptr && *getenv("HET_SOAK") != '\0'; }

double Seconds() { return static_cast<double>(Clock::Real().MonotonicNanos()) * 1e-9; }

protocol::AcquireRequest Small(Holder holder = Holder::kProcess) {
  protocol::AcquireRequest request = AcquireOf("gpu-a", 1, kMiB, holder);
  request.slices[0].policy = Policy::kBestEffort;
  return request;
}

// A figure of /proc/<pid>/status, in its unit.
uint64_t StatusOf(pid_t pid, const std::string& field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1));
  }
  return 0;
}

size_t OpenFilesOf(pid_t pid) {
  size_t count = 0;
  DIR* directory = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  while (directory != nullptr && readdir(directory) != nullptr) ++count;
  if (directory != nullptr) closedir(directory);
  return count;
}

// Milliseconds, sorted, of `count` pings.
std::vector<double> Ping(protocol::Client& client, int count) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const double begin = Seconds();
    EXPECT_TRUE(client.GetInfo().ok());
    times.push_back((Seconds() - begin) * 1e3);
  }
  std::sort(times.begin(), times.end());
  return times;
}

TEST(HetdInACrowd, ServesWith4096IdleConnections) {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  ASSERT_GT(limit.rlim_cur, 4200u) << "ulimit -Hn is too low to test this";
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  std::vector<int> idle;
  for (int i = 0; i < 4096; ++i) idle.push_back(hetd.ConnectRaw());
  const std::vector<double> times = Ping(*client, 300);
  printf("4,096 idle connections: ping p50 %.2f ms, p99 %.2f ms\n", times[150], times[296]);
  for (const int fd : idle) close(fd);
  EXPECT_TRUE(Eventually([&] { return OpenFilesOf(hetd.pid()) < 100; })) << "all are given back";
}

TEST(HetdInACrowd, GoesOnWithoutDescriptorsAndTakesClientsAgainAfterwards) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_TRUE(client->ListDevices().ok());  // the probes are done
  const rlimit tight = {OpenFilesOf(hetd.pid()) + 8, 4096};
  ASSERT_EQ(prlimit(hetd.pid(), RLIMIT_NOFILE, &tight, nullptr), 0);
  std::vector<int> many;
  for (int i = 0; i < 100; ++i) many.push_back(hetd.ConnectRaw());
  const uint64_t before = Clock::Real().MonotonicNanos();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(client->GetInfo().ok());
  EXPECT_LT(Clock::Real().MonotonicNanos() - before, 5'000'000'000u);
  for (const int fd : many) close(fd);
  EXPECT_TRUE(Eventually([&] {
    const auto again = protocol::Client::Connect(hetd.socket(), 1000);
    return again.ok() && (*again)->GetInfo().ok();
  }));
}

// Memory is the one thing hetd does not go on without: it ends at once, as if it were killed, and
// the next one has every lease. Clients that fill its buffers are bounded long before.
TEST(HetdInACrowd, LosesNoLeaseWhenItsMemoryIsUsedUp) {
  HetdProcess hetd;
  hetd.Start();
  std::vector<Lease> leases;
  {
    const auto client = hetd.Connect();
    for (int i = 0; i < 100; ++i) {
      const auto lease = client->Acquire(Small(Holder::kManual));
      ASSERT_TRUE(lease.ok()) << lease.status();
      leases.push_back(lease->front());
    }
  }
  const rlim_t bytes = (StatusOf(hetd.pid(), "VmSize") + 256) << 10;
  const rlimit tight = {bytes, RLIM_INFINITY};
  ASSERT_EQ(prlimit(hetd.pid(), RLIMIT_AS, &tight, nullptr), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  hetd.socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
  // Half a frame from each of many clients, until one finds nobody.
  const std::string half = "{\"method\":\"" + std::string(60'000, 'x');
  std::vector<int> many;
  const auto ended = [&] {
    return kill(hetd.pid(), 0) != 0 || StatusOf(hetd.pid(), "VmSize") == 0;
  };
  for (int i = 0; i < 600 && !ended(); ++i) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    many.push_back(fd);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) break;
    (void)!send(fd, half.data(), half.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  const bool dead = Eventually(ended, 3000);
  printf("memory used up: hetd %s after %zu clients with half a frame\n",
         dead ? "ended" : "goes on", many.size());
  for (const int fd : many) close(fd);
  hetd.Kill(SIGKILL);
  hetd.Start();
  const auto client = hetd.Connect();
  const auto after = client->ListLeases();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->size(), leases.size());
  ASSERT_TRUE(client->Release(ChangeOf(leases[0])).ok());
}

// A child that acquires, says so, and stays until it is killed.
pid_t StartHolder(const HetdProcess& hetd, int ready) {
  const pid_t child = fork();
  if (child != 0) return child;
  const auto client = protocol::Client::Connect(hetd.socket(), 30'000);
  const bool leased = client.ok() && (*client)->Acquire(Small()).ok();
  (void)!write(ready, leased ? "y" : "n", 1);
  while (true) pause();
}

TEST(HetdInACrowd, KeepsTheLeasesOfStoppedClientsAndServesTheOthers) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 100; ++i) children.push_back(StartHolder(hetd, ready[1]));
  for (int i = 0; i < 100; ++i) {
    char leased = 0;
    ASSERT_EQ(read(ready[0], &leased, 1), 1);
    ASSERT_EQ(leased, 'y');
  }
  for (const pid_t child : children) kill(child, SIGSTOP);
  std::vector<double> times;
  for (int i = 0; i < 200; ++i) {
    const double begin = Seconds();
    const auto lease = client->Acquire(Small());
    times.push_back((Seconds() - begin) * 1e3);
    ASSERT_TRUE(lease.ok()) << lease.status();
    ASSERT_TRUE(client->Release(ChangeOf(lease->front())).ok());
  }
  std::sort(times.begin(), times.end());
  printf("100 stopped clients: acquire p50 %.2f ms, p99 %.2f ms\n", times[100], times[197]);
  EXPECT_EQ(client->ListLeases()->size(), 100u) << "who is stopped lives";
  for (const pid_t child : children) kill(child, SIGKILL);
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  EXPECT_TRUE(Eventually([&] { return client->ListLeases()->empty(); }));
  close(ready[0]);
  close(ready[1]);
}

TEST(HetdInACrowd, LeasesToThreeHundredProcessesThatStartAtOnce) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_TRUE(client->ListDevices().ok());
  int barrier[2], report[2];
  ASSERT_EQ(pipe(barrier), 0);
  ASSERT_EQ(pipe(report), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 300; ++i) {
    const pid_t child = fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    close(barrier[1]);
    char unused;
    (void)!read(barrier[0], &unused, 1);  // until the last writer is gone
    const auto own = protocol::Client::Connect(hetd.socket(), 30'000);
    const bool leased = own.ok() && (*own)->Acquire(Small()).ok();
    (void)!write(report[1], leased ? "y" : "n", 1);
    while (true) pause();
  }
  const double begin = Seconds();
  close(barrier[1]);
  int leased = 0;
  for (int i = 0; i < 300; ++i) {
    char answer = 0;
    ASSERT_EQ(read(report[0], &answer, 1), 1);
    leased += answer == 'y' ? 1 : 0;
  }
  printf("300 processes from one barrier: all leased after %.3f s\n", Seconds() - begin);
  EXPECT_EQ(leased, 300);
  EXPECT_EQ(client->ListLeases()->size(), 300u);
  for (const pid_t child : children) kill(child, SIGKILL);
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  EXPECT_TRUE(Eventually([&] { return client->ListLeases()->empty(); }));
  for (const int fd : {barrier[0], report[0], report[1]}) close(fd);
}

TEST(HetdInACrowd, SeesADeviceGoAndComeBackInRealTime) {
  HetdProcess hetd;
  const std::string flag = hetd.directory().path() + "/lost";
  hetd.SetProbeScript(R"(
if [ -e ')" + flag + R"(' ]; then echo '{"devices":[]}'; exit; fi
echo '{"devices":[{"id":"d","name":"n","backend":"x","kind":"gpu","computeUnits":4,
  "memoryBytes":1073741824,"memoryBytesPerSecond":1,"flopsPerSecond":1}]}')",
                      "x");
  hetd.Start();
  const auto client = hetd.Connect();
  const auto state = [&] { return (*client->ListDevices())[0].info.state; };
  ASSERT_EQ(state(), DeviceState::kOk);
  const auto lease = client->Acquire(AcquireOf("d", 10, kMiB));  // it stays listed for that
  ASSERT_TRUE(lease.ok()) << lease.status();
  for (int i = 0; i < (Soak() ? 3 : 1); ++i) {
    std::ofstream(flag).put('1');
    double begin = Seconds();
    ASSERT_TRUE(Eventually([&] { return state() == DeviceState::kRemoved; }, 20'000));
    const double gone = Seconds() - begin;
    unlink(flag.c_str());
    begin = Seconds();
    ASSERT_TRUE(Eventually([&] { return state() == DeviceState::kOk; }, 60'000));
    printf("a device is lost: seen after %.2f s; back: after %.2f s\n", gone, Seconds() - begin);
  }
}

// Memory and descriptors do not grow with what was done.
TEST(HetdInACrowd, StaysAsLargeAsItIs) {
  HetdProcess hetd;
  hetd.Start();
  const int warm = 25'000;  // the answers that are kept are all there then
  const int cycles = Soak() ? 1'000'000 : 5'000;
  constexpr int kClients = 32;  // that share commits
  std::vector<std::unique_ptr<protocol::Client>> clients;
  for (int i = 0; i < kClients; ++i) clients.push_back(hetd.Connect());
  const auto cycle = [&](int count) {
    std::vector<std::jthread> threads;
    for (const auto& own : clients) {
      threads.emplace_back([&own, count] {
        for (int i = 0; i < count / kClients; ++i) {
          const auto lease = own->Acquire(Small());
          ASSERT_TRUE(lease.ok()) << lease.status();
          ASSERT_TRUE(own->Release(ChangeOf(lease->front())).ok());
        }
      });
    }
  };
  cycle(warm);
  const uint64_t rss = StatusOf(hetd.pid(), "VmRSS");
  const size_t files = OpenFilesOf(hetd.pid());
  cycle(cycles);
  const uint64_t grown =
      StatusOf(hetd.pid(), "VmRSS") - std::min(rss, StatusOf(hetd.pid(), "VmRSS"));
  const auto wal = std::filesystem::file_size(hetd.state_dir() + "/hetd.db-wal");
  printf("%d cycles: RSS %llu KiB, grown by %llu KiB, %zu descriptors (%zu before), WAL %.1f MiB\n",
         cycles, static_cast<unsigned long long>(rss), static_cast<unsigned long long>(grown),
         OpenFilesOf(hetd.pid()), files, static_cast<double>(wal) / (1 << 20));
  EXPECT_LT(grown, 1024u);
  // A probe that is under way has a pipe.
  EXPECT_TRUE(Eventually([&] { return OpenFilesOf(hetd.pid()) <= files; }, 10'000))
      << OpenFilesOf(hetd.pid()) << " descriptors, " << files << " before";
  EXPECT_LE(wal, uint64_t{64} << 20);
}

}  // namespace
}  // namespace het::daemon
