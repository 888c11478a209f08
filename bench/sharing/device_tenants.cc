#include "bench/sharing/device_tenants.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <new>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "bench/sharing/tenants.h"

namespace het::bench {
namespace {

// The engine's side of the library, of which the daemon's has nouns of the same names.
using api::Buffer;
using api::Error;
using api::Kernel;
using api::Lease;
using api::Program;
using api::ProgramSource;
using api::Queue;
using api::Session;
using api::SessionOptions;
using api::SliceRequest;
using api::Timeline;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int kMostSeconds = 1000;
constexpr uint64_t kMemory = uint64_t{16} << 20;
constexpr uint32_t kGroups = 64;
constexpr uint32_t kInner = 256;

// Every item draws `rounds` x kInner random numbers (xorshift); no memory is read, so that tenants
// compete for compute alone.
struct SpinParams {
  uint32_t rounds;
  uint32_t pad[3];
};
constexpr char kSpin[] = R"(
struct SpinParams { uint rounds; uint pad0, pad1, pad2; };
HET_KERNEL HET_GROUP_SIZE(1) void spin(HET_BUFFER(0), struct SpinParams p) {
  HET_GLOBAL uint* out = HET_PTR(uint, 0);
  const uint rounds = p.rounds;
  const uint id = het_global_id(0);
  uint x = id + 1;
  for (uint i = 0; i < rounds; ++i) {
    for (uint j = 0; j < 256; ++j) {
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
    }
  }
  out[id] = x;
}
)";
void SpinNative(const het_native_call* call) {
  const uint32_t rounds = static_cast<const SpinParams*>(call->params)->rounds;
  auto* out = static_cast<uint32_t*>(call->buffers[0]);
  for (uint64_t id = call->group_begin; id < call->group_end; ++id) {
    uint32_t x = static_cast<uint32_t>(id) + 1;
    for (uint32_t i = 0; i < rounds; ++i) {
      for (uint32_t j = 0; j < kInner; ++j) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
      }
    }
    out[id] = x;
  }
}

// What a tenant and the caller share.
struct Board {
  std::atomic<uint32_t> ready;
  std::atomic<int64_t> start_ns;  // 0: not yet
  std::atomic<uint32_t> failed;   // het_code
  std::atomic<uint32_t> rounds;   // of calibration
  std::atomic<double> us_per_launch;
  char device[256];
  char error[512];
  std::atomic<uint32_t> launches[kMostSeconds];
  std::atomic<uint64_t> busy_ns[kMostSeconds];
};

class Spinner {
 public:
  Spinner(const std::string& socket, const std::string& device, const DeviceTenant& tenant,
          Board& board)
      : board_(board) {
    SessionOptions options;
    options.socket = socket;
    options.tenant = "bench";
    session_ = Session::Open(options);
    SliceRequest slice;
    slice.device = Find(device);
    slice.share = tenant.share;
    slice.memory_bytes = kMemory;
    slice.policy = tenant.policy;
    slice.priority = tenant.priority;
    lease_ = session_.Acquire(slice);
    queue_ = lease_.CreateQueue();
    out_ = lease_.CreateBuffer(kGroups * sizeof(uint32_t));
    ProgramSource source;
    source.name = "share";
    source.portable = kSpin;
    source.native = {{"spin", SpinNative}};
    program_ = lease_.Build(source);
    kernel_ = program_.GetKernel("spin");
    done_ = lease_.CreateTimeline();
  }

  // Launches `rounds` and gives what completes.
  uint64_t Launch(uint32_t rounds) {
    const SpinParams params = {rounds, {}};
    const het_buffer_arg buffers[] = {out_.At()};
    api::Launch launch;
    launch.kernel = kernel_;
    launch.groups[0] = kGroups;
    launch.buffers = buffers;
    launch.SetParams(params);
    queue_->Submit(launch, {{}, done_.At(++launched_)});
    return launched_;
  }
  void WaitFor(uint64_t launch) { done_.Wait(launch); }

  // Microseconds of one launch of `rounds`, back to back.
  double Measure(uint32_t rounds) {
    std::vector<double> all;
    for (int repeat = 0; repeat < 7; ++repeat) {
      constexpr int kLaunches = 16;
      const int64_t start = NowNs();
      uint64_t last = 0;
      for (int i = 0; i < kLaunches; ++i) last = Launch(rounds);
      WaitFor(last);
      all.push_back(static_cast<double>(NowNs() - start) / 1e3 / kLaunches);
    }
    std::sort(all.begin(), all.end());
    return all[all.size() / 4];
  }

  void Run(const DeviceTenant& tenant, uint32_t rounds, int64_t start_ns, int seconds) {
    const int64_t end_ns = start_ns + seconds * kSecond;
    std::deque<uint64_t> flying;
    uint64_t busy = queue_->busy_ns();
    const auto complete_first = [&] {
      WaitFor(flying.front());
      flying.pop_front();
      const int64_t since = NowNs() - start_ns;
      const uint64_t now = queue_->busy_ns();
      if (since >= 0 && since < seconds * kSecond) {
        board_.launches[since / kSecond].fetch_add(1, std::memory_order_relaxed);
        board_.busy_ns[since / kSecond].fetch_add(now - busy, std::memory_order_relaxed);
      }
      busy = now;
    };
    while (NowNs() < end_ns) {
      while (flying.size() < (tenant.sync ? 1 : tenant.depth)) flying.push_back(Launch(rounds));
      complete_first();
    }
    while (!flying.empty()) complete_first();
  }

 private:
  std::string Find(const std::string& asked) {
    std::string known;
    for (const het_device_info& info : session_.Devices()) {
      if ((info.flags & HET_DEVICE_USABLE) == 0) continue;
      if (asked == info.id || asked == info.backend) {
        std::snprintf(board_.device, sizeof(board_.device), "%s (%s)", info.name, info.id);
        return info.id;
      }
      absl::StrAppend(&known, " ", info.backend, ":", info.id);
    }
    throw Error(HET_NOT_FOUND,
                "there is no device " + asked + " here; there are:" + known + " (and: simulated)");
  }

  Board& board_;
  Session session_;
  Lease lease_;
  Buffer out_;
  Program program_;
  Kernel kernel_;
  Timeline done_;
  Queue queue_;
  uint64_t launched_ = 0;
};

absl::StatusOr<Board*> NewBoard() {
  void* memory =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "map memory for a tenant's report");
  return new (memory) Board;
}

// A process that runs `body`, whose error it writes on the board.
pid_t Fork(Board& board, const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int code = 0;
  try {
    body();
  } catch (const Error& error) {
    std::snprintf(board.error, sizeof(board.error), "%s", error.what());
    board.failed.store(error.code());
    code = 1;
  }
  std::fflush(nullptr);
  _exit(code);
}

absl::Status Reap(pid_t pid, const Board& board) {
  int how = 0;
  waitpid(pid, &how, 0);
  if (const uint32_t failed = board.failed.load()) {
    return absl::Status(static_cast<absl::StatusCode>(failed), board.error);
  }
  if (how != 0) return absl::InternalError(absl::StrCat("a tenant ended with status ", how));
  return absl::OkStatus();
}

// How many rounds of the kernel take `us`, alone; and what that really takes.
absl::StatusOr<std::pair<uint32_t, double>> Calibrate(const std::string& socket,
                                                      const std::string& device, double us,
                                                      std::string* name) {
  HET_ASSIGN_OR_RETURN(Board * board, NewBoard());
  const pid_t pid = Fork(*board, [&] {
    DeviceTenant whole;
    whole.share = 10000;
    Spinner spinner(socket, device, whole, *board);
    uint32_t rounds = 64;
    spinner.Measure(rounds);
    for (int i = 0; i < 4; ++i) {
      const double took = spinner.Measure(rounds);
      rounds =
          std::clamp<uint32_t>(static_cast<uint32_t>(std::lround(rounds * us / took)), 1, 60000);
    }
    board->us_per_launch.store(spinner.Measure(rounds));
    board->rounds.store(rounds);
  });
  const absl::Status status = Reap(pid, *board);
  const std::pair<uint32_t, double> result(board->rounds.load(), board->us_per_launch.load());
  *name = board->device;
  munmap(board, sizeof(Board));
  if (!status.ok()) return status;
  return result;
}

}  // namespace

absl::StatusOr<DeviceRun> RunOnDevice(const std::string& socket, const std::string& device,
                                      const std::vector<DeviceTenant>& tenants, int seconds) {
  DeviceRun run;
  // hetd answers only some time after it was started, and finds its devices after that.
  absl::StatusOr<std::pair<uint32_t, double>> first = absl::UnavailableError("");
  for (int i = 0; i < 100; ++i) {
    first = Calibrate(socket, device, tenants[0].kernel_us, &run.device);
    const bool early =
        absl::IsUnavailable(first.status()) || (absl::IsNotFound(first.status()) && i < 30);
    if (!early) break;
    SleepUntilNs(NowNs() + kSecond / 10);
  }
  if (!first.ok()) return first.status();
  std::vector<std::pair<uint32_t, double>> lengths = {*first};
  for (size_t i = 1; i < tenants.size(); ++i) {
    size_t same = 0;
    while (same < i && tenants[same].kernel_us != tenants[i].kernel_us) ++same;
    if (same < i) {
      lengths.push_back(lengths[same]);
      continue;
    }
    HET_ASSIGN_OR_RETURN(const auto length,
                         Calibrate(socket, device, tenants[i].kernel_us, &run.device));
    lengths.push_back(length);
  }

  std::vector<Board*> boards;
  std::vector<pid_t> pids;
  for (size_t i = 0; i < tenants.size(); ++i) {
    HET_ASSIGN_OR_RETURN(Board * board, NewBoard());
    boards.push_back(board);
    pids.push_back(Fork(*board, [&, i] {
      Spinner spinner(socket, device, tenants[i], *boards[i]);
      spinner.WaitFor(spinner.Launch(lengths[i].first));  // compiled, threads are there
      boards[i]->ready.store(1);
      while (boards[i]->start_ns.load() == 0) SleepUntilNs(NowNs() + 1'000'000);
      spinner.Run(tenants[i], lengths[i].first, boards[i]->start_ns.load(), seconds);
    }));
  }
  const int64_t deadline = NowNs() + 60 * kSecond;
  const auto all_ready = [&] {
    return std::all_of(boards.begin(), boards.end(), [](const Board* board) {
      return board->ready.load() != 0 || board->failed.load() != 0;
    });
  };
  while (!all_ready() && NowNs() < deadline) SleepUntilNs(NowNs() + 10'000'000);
  const bool ready = all_ready();
  const int64_t start = NowNs() + kSecond;
  for (Board* board : boards) board->start_ns.store(start);
  absl::Status status;
  for (size_t i = 0; i < pids.size(); ++i) {
    if (!ready) kill(pids[i], SIGKILL);
    const absl::Status ended = Reap(pids[i], *boards[i]);
    if (status.ok()) status = ended;
  }
  for (size_t i = 0; i < boards.size(); ++i) {
    run.kernel_us.push_back(lengths[i].second);
    run.busy.emplace_back();
    run.work.emplace_back();
    for (int window = 0; window < seconds; ++window) {
      run.busy.back().push_back(static_cast<double>(boards[i]->busy_ns[window].load()));
      run.work.back().push_back(boards[i]->launches[window].load() * lengths[i].second * 1e3);
    }
    munmap(boards[i], sizeof(Board));
  }
  if (!status.ok()) return status;
  return run;
}

}  // namespace het::bench
