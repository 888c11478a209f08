// libhet with a real hetd: the same calls, the daemon's books.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "het/het.hpp"

namespace het::api {
namespace {

constexpr uint64_t kMiB = 1 << 20;

constexpr char kProfile[] = R"(
name = "libhet-daemon"
mode = "functional"
[[device]]
name = "solo"
vendor = "S"
memory = "64MiB"
compute_units = 4
memory_gb_per_s = 100
f32_tflops = 1
)";

// hetd in a directory of its own, stopped with the test.
class Daemon {
 public:
  Daemon() {
    char path[] = "/tmp/libhet_daemon_XXXXXX";
    directory_ = mkdtemp(path);
    std::ofstream(directory_ + "/node.toml") << kProfile;
    Start();
  }
  ~Daemon() {
    Kill(SIGTERM);
    std::filesystem::remove_all(directory_);
  }
  void Start() {
    pid_ = fork();
    if (pid_ == 0) {
      const std::string simulate = directory_ + "/node.toml";
      execl(getenv("HETD"), "hetd", "--runtime-dir", directory_.c_str(), "--state-dir",
            directory_.c_str(), "--simulate", simulate.c_str(), nullptr);
      _exit(127);
    }
  }
  void Kill(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::string socket() const { return directory_ + "/het.sock"; }
  // What `hetctl ARGUMENTS` prints.
  std::string Hetctl(const std::string& arguments) const {
    const std::string command = "HET_SOCKET=" + socket() + " " + getenv("HETCTL") + " " + arguments;
    std::string text;
    FILE* pipe = popen(command.c_str(), "r");
    char part[4096];
    while (const size_t n = fread(part, 1, sizeof(part), pipe)) text.append(part, n);
    pclose(pipe);
    return text;
  }

 private:
  std::string directory_;
  pid_t pid_ = -1;
};

// Once hetd answers and has found the simulated device.
Session Connect(const Daemon& daemon) {
  SessionOptions options;
  options.socket = daemon.socket();
  for (int i = 0; i < 600; ++i) {
    try {
      Session session = Session::Open(options);
      for (const het_device_info& info : session.Devices()) {
        if (std::string(info.backend) == "simulated") return session;
      }
    } catch (const Error& error) {
      if (error.code() != HET_UNAVAILABLE) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw Error(HET_UNAVAILABLE, "hetd did not come up");
}

std::string Solo(const Session& session, uint32_t* free_share = nullptr) {
  for (const het_device_info& info : session.Devices()) {
    if (std::string(info.backend) != "simulated") continue;
    if (free_share != nullptr) *free_share = info.free_share;
    return info.id;
  }
  return "";
}

TEST(DaemonSession, LeasesOfOneProcessAreSeenByAnotherSession) {
  const Daemon daemon;
  const Session mine = Connect(daemon);
  EXPECT_FALSE(mine.embedded());
  Lease lease = mine.Acquire(SliceRequest{Solo(mine), 7000, 8 * kMiB});
  EXPECT_EQ(lease.info().memory_limit_bytes, 8 * kMiB);
  EXPECT_GT(lease.info().generation, 0u);
  const Buffer buffer = lease.CreateBuffer(8 * kMiB);

  const Session other = Connect(daemon);
  uint32_t free_share = 0;
  const std::string device = Solo(other, &free_share);
  EXPECT_EQ(free_share, 3000u);
  try {
    other.Acquire(SliceRequest{device, 4000, kMiB});
    FAIL() << "40 % of 30 %";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), HET_RESOURCE_EXHAUSTED);
    EXPECT_THAT(error.what(), testing::HasSubstr("30%"));
  }
}

TEST(DaemonSession, LeasesANamedSliceAndAPriorityClass) {
  const Daemon daemon;
  const Session session = Connect(daemon);
  SliceRequest named;
  named.name = "nightly";
  try {
    session.Acquire(named);
    FAIL() << "nobody cut it";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), HET_NOT_FOUND);
    EXPECT_THAT(error.what(), testing::HasSubstr("nightly"));
  }
  SliceRequest request{Solo(session), 3000, 8 * kMiB};
  request.priority = HET_PRIORITY_HIGH;
  const Lease lease = session.Acquire(request);
  const std::string slices = daemon.Hetctl("get slices -o json");
  EXPECT_THAT(slices, testing::HasSubstr("\"priority\": \"high\""));
  EXPECT_EQ(daemon.Hetctl("slice create nightly --device " + Solo(session) +
                          " --share 20 --memory 4MiB --policy capped > /dev/null && echo made"),
            "made\n");
  EXPECT_EQ(session.Acquire(named).info().share, 2000u);
}

TEST(DaemonSession, AReleasedLeaseIsFreeAgain) {
  const Daemon daemon;
  const Session session = Connect(daemon);
  const std::string device = Solo(session);
  for (int i = 0; i < 5; ++i) {
    const Lease lease = session.Acquire(SliceRequest{device, 10000, 8 * kMiB});
    EXPECT_EQ(lease.info().share, 10000u);
  }
  uint32_t free_share = 0;
  Solo(session, &free_share);
  EXPECT_EQ(free_share, 10000u);
}

TEST(DaemonSession, WorkGoesOnWhileHetdIsDead) {
  Daemon daemon;
  const Session session = Connect(daemon);
  const Lease lease = session.Acquire(SliceRequest{Solo(session), 5000, 8 * kMiB});
  daemon.Kill(SIGKILL);
  const Buffer buffer = lease.CreateBuffer(kMiB);
  const Queue queue = lease.CreateQueue();
  std::vector<char> data(kMiB, 'x'), back(kMiB);
  queue->Write(data.data(), buffer.get(), 0, kMiB);
  queue->Read(buffer.get(), 0, back.data(), kMiB);
  queue->Finish();
  EXPECT_EQ(data, back);
  daemon.Start();  // takes the lease up again
  const Session after = Connect(daemon);
  uint32_t free_share = 0;
  Solo(after, &free_share);
  EXPECT_EQ(free_share, 5000u);
}

}  // namespace
}  // namespace het::api
