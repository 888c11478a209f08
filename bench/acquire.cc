// How soon many processes that start at once have their slices: they wait at one barrier, then each
// opens a session of libhet and leases a slice of its own. hetd is real, its store is on disk, and
// no process opens a driver.
//
//   acquire [--processes 300] [--rounds 5] [-o table|json]
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "bench/report.h"
#include "bench/sharing/bench_daemon.h"
#include "bench/sharing/tenants.h"
#include "het/het.hpp"

namespace het::bench {
namespace {

constexpr int kMostProcesses = 1000;
constexpr int64_t kMs = 1'000'000;

struct Board {
  std::atomic<int> ready;
  std::atomic<int> go;
  std::atomic<int> done;
  std::atomic<int> leave;
  std::atomic<int64_t> leased_ns[kMostProcesses];
  char device[64];
  char error[256];
};

api::Session Open(const std::string& socket) {
  api::SessionOptions options;
  options.socket = socket;
  return api::Session::Open(options);
}

// The cpu device's UUID, by a process of its own: this one stays without threads.
absl::Status FindDevice(const std::string& socket, Board& board) {
  for (int i = 0; i < 100 && board.device[0] == 0; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      try {
        const api::Session session = Open(socket);
        for (const het_device_info& info : session.Devices()) {
          if (std::string(info.backend) == "cpu") {
            std::snprintf(board.device, sizeof(board.device), "%s", info.id);
          }
        }
      } catch (const api::Error& error) {
        std::snprintf(board.error, sizeof(board.error), "%s", error.what());
      }
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
    if (board.device[0] == 0) SleepUntilNs(NowNs() + 100 * kMs);
  }
  if (board.device[0] != 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("hetd shows no cpu device: ", board.error));
}

void Tenant(const std::string& socket, Board& board, int number) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  board.ready.fetch_add(1);
  while (board.go.load() == 0) SleepUntilNs(NowNs() + kMs);
  int code = 0;
  try {
    const api::Session session = Open(socket);
    api::SliceRequest slice;
    slice.device = board.device;
    slice.share = 100;
    slice.memory_bytes = 1 << 20;
    slice.policy = HET_BEST_EFFORT;  // 300 x 1 % is more than there is to guarantee
    const api::Lease lease = session.Acquire(slice);
    board.leased_ns[number].store(NowNs());
    board.done.fetch_add(1);
    while (board.leave.load() == 0) SleepUntilNs(NowNs() + 10 * kMs);
  } catch (const api::Error& error) {
    std::snprintf(board.error, sizeof(board.error), "%s", error.what());
    code = 1;
    board.done.fetch_add(1);
  }
  _exit(code);
}

struct Round {
  double first_ms = 0, median_ms = 0, last_ms = 0;
};

absl::StatusOr<Round> RunRound(const std::string& socket, Board& board, int processes) {
  board.ready = board.go = board.done = board.leave = 0;
  std::vector<pid_t> pids;
  pids.reserve(processes);
  for (int i = 0; i < processes; ++i) {
    const pid_t pid = fork();
    if (pid < 0) return ErrnoStatus(errno, "fork a tenant");
    if (pid == 0) Tenant(socket, board, i);
    pids.push_back(pid);
  }
  while (board.ready.load() < processes) SleepUntilNs(NowNs() + kMs);
  SleepUntilNs(NowNs() + 20 * kMs);  // all asleep
  const int64_t start = NowNs();
  board.go = 1;
  while (board.done.load() < processes && NowNs() < start + 30'000 * kMs) {
    SleepUntilNs(NowNs() + kMs);
  }
  board.leave = 1;
  int failed = 0;
  for (const pid_t pid : pids) {
    int how = 0;
    waitpid(pid, &how, 0);
    failed += how != 0;
  }
  if (failed > 0) {
    return absl::InternalError(
        absl::StrCat(failed, " of ", processes, " got no lease: ", board.error));
  }
  std::vector<double> ms;
  ms.reserve(processes);
  for (int i = 0; i < processes; ++i) {
    ms.push_back(static_cast<double>(board.leased_ns[i].load() - start) / kMs);
  }
  std::sort(ms.begin(), ms.end());
  return Round{ms.front(), ms[ms.size() / 2], ms.back()};
}

absl::Status Run(int processes, int rounds, bool json) {
  HET_ASSIGN_OR_RETURN(const auto daemon, BenchDaemon::Open());
  void* memory =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "map the board");
  Board& board = *new (memory) Board;
  HET_RETURN_IF_ERROR(FindDevice(daemon->socket(), board));
  const std::string name = absl::StrCat(processes, " processes at once");
  Row first{name, "first leased after", "ms", {}, 0},
      median{name, "half leased after", "ms", {}, 0}, last{name, "all leased after", "ms", {}, 0};
  for (int round = 0; round < rounds; ++round) {
    HET_ASSIGN_OR_RETURN(const Round times, RunRound(daemon->socket(), board, processes));
    first.samples.Add(times.first_ms);
    median.samples.Add(times.median_ms);
    last.samples.Add(times.last_ms);
  }
  Report report("acquire");
  report.Add(first);
  report.Add(median);
  report.Add(last);
  report.Add(
      Goal{absl::StrCat("all of ", processes, " leased, ms"), last.samples.median(), 1000, true});
  report.Print(json);
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  int processes = 300, rounds = 5;
  std::string output = "table";
  CLI::App app("Many processes lease a slice each, from one barrier");
  app.add_option("--processes", processes)->check(CLI::Range(1, kMostProcesses));
  app.add_option("--rounds", rounds)->check(CLI::Range(1, 100));
  app.add_option("-o,--output", output)->check(CLI::IsMember({"table", "json"}));
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(processes, rounds, output == "json");
  if (status.ok()) return 0;
  std::fprintf(stderr, "acquire: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
