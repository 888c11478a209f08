#include "tests/daemon/hetd_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

namespace het::daemon {
namespace {

constexpr char kTwoGpus[] = R"(
cat <<'JSON'
{"backend":"fake","devices":[
 {"id":"gpu-a","name":"first","vendor":"Acme","backend":"fake","kind":"gpu","memoryBytes":17179869184,
  "computeUnits":8,"memoryBytesPerSecond":1e11,"flopsPerSecond":1e12},
 {"id":"gpu-b","name":"second","vendor":"Bcme","backend":"fake","kind":"gpu","memoryBytes":17179869184,
  "computeUnits":8,"memoryBytesPerSecond":1e11,"flopsPerSecond":1e12}]}
JSON
)";

}  // namespace

HetdProcess::HetdProcess() {
  chmod(directory_.path().c_str(), 0755);  // for tests with a second user
  SetProbeScript(kTwoGpus);
}

HetdProcess::~HetdProcess() {
  if (pid_ > 0) Kill(SIGKILL);
}

void HetdProcess::SetProbeScript(const std::string& script, const std::string& backends) {
  backends_ = backends;
  probe_ = directory_.Write("probe", "#!/bin/sh\n" + script, true);
  setenv("HET_PROBE", probe_.c_str(), 1);
}

void HetdProcess::UseRealProbe(const std::string& backends) {
  probe_ = HET_PROBE_BINARY;
  setenv("HET_PROBE", probe_.c_str(), 1);
  backends_ = backends;
}

pid_t HetdProcess::Spawn(const std::vector<std::string>& arguments, int stderr_fd) const {
  std::vector<std::string> all = {HETD_BINARY};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  if (stderr_fd >= 0) dup2(stderr_fd, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

void HetdProcess::Start(const std::vector<std::string>& extra) {
  std::vector<std::string> arguments = {"--runtime-dir", runtime_dir(), "--state-dir", state_dir()};
  if (!backends_.empty()) arguments.insert(arguments.end(), {"--backends", backends_});
  arguments.insert(arguments.end(), extra.begin(), extra.end());
  pid_ = Spawn(arguments, -1);
  const auto serves = [this] {
    const auto client = protocol::Client::Connect(socket(), 1000);
    const auto info = client.ok() ? (*client)->GetInfo() : client.status();
    return info.ok() && info->pid == static_cast<uint64_t>(pid_);
  };
  ASSERT_TRUE(Eventually(serves, 20'000)) << "hetd did not start";
}

void HetdProcess::Kill(int signal) {
  kill(pid_, signal);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
}

std::string HetdProcess::StartAndFail(const std::vector<std::string>& arguments, int* exit_code) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return "";
  const pid_t child = Spawn(arguments, report[1]);
  close(report[1]);
  std::string text;
  char block[1024];
  for (ssize_t got; (got = read(report[0], block, sizeof(block))) > 0;) text.append(block, got);
  close(report[0]);
  int status = 0;
  waitpid(child, &status, 0);
  *exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return text;
}

std::unique_ptr<protocol::Client> HetdProcess::Connect() const {
  auto client = protocol::Client::Connect(socket(), 20'000);
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *std::move(client) : nullptr;
}

int HetdProcess::ConnectRaw() const {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

protocol::AcquireRequest AcquireOf(const std::string& device, uint32_t percent, uint64_t bytes,
                                   Holder holder, int64_t ttl_ms) {
  protocol::AcquireRequest request;
  request.terms.holder = holder;
  request.terms.ttl_ms = ttl_ms;
  request.terms.confirm = true;
  request.slices = {{device, Share::OfPercent(percent), bytes, Policy::kGuaranteed}};
  return request;
}

protocol::LeaseChange ChangeOf(const Lease& lease, uint64_t generation) {
  return {"", {{lease.id, generation}}, 0};
}

bool Eventually(const std::function<bool()>& done, int64_t ms) {
  const int64_t deadline = Clock::Real().MonotonicNanos() + ms * 1'000'000;
  while (!done()) {
    if (Clock::Real().MonotonicNanos() > deadline) return false;
    usleep(5000);
  }
  return true;
}

}  // namespace het::daemon
