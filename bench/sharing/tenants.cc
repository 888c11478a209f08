#include "bench/sharing/tenants.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "partition/cost_estimate.h"
#include "partition/grant_channel.h"
#include "partition/process_state.h"

namespace het::bench {
namespace {

// One tenant's process.
class Runner {
 public:
  Runner(ArbiterSeat& seat, const TenantWork& work, const Tenants::Plan& plan, uint32_t client,
         TenantReport& report)
      : seat_(seat), work_(work), plan_(plan), client_(client), report_(report) {}

  absl::Status Run() {
    // Sleeps end when asked, not up to 50 us later.
    prctl(PR_SET_TIMERSLACK, 1);
    if (work_.period_ns > 0) return RunRequests();
    return work_.sync || work_.depth == 1 ? RunInTurns() : RunPipelined();
  }

 private:
  struct Flying {
    Ticket ticket;
    int64_t end_ns;
  };

  absl::StatusOr<Flying> Launch() {
    Flying flying = {};
    if (work_.arbitrated) {
      HET_ASSIGN_OR_RETURN(flying.ticket, seat_.Begin(costs_.Estimate(kKey)));
    }
    flying.end_ns = plan_.device->Submit(client_, NowNs(), work_.kernel_ns).end_ns;
    return flying;
  }
  void Complete(const Flying& flying) {
    SleepUntilNs(flying.end_ns);
    costs_.Learn(kKey, work_.kernel_ns);
    if (work_.arbitrated) seat_.End(flying.ticket, work_.kernel_ns);
    report_.launches.fetch_add(1, std::memory_order_relaxed);
  }
  void NoteAbsence(int64_t from_ns, int64_t until_ns) {
    if (from_ns < plan_.start_ns) return;
    const int64_t window = (from_ns - plan_.start_ns) / plan_.window_ns;
    if (window < simulated::SharedTimeline::kWindows) {
      report_.absent_ns[window].fetch_add(until_ns - from_ns, std::memory_order_relaxed);
    }
  }

  absl::Status RunInTurns() {
    int64_t done = NowNs();
    while (done < plan_.end_ns) {
      NoteAbsence(done, NowNs());
      HET_ASSIGN_OR_RETURN(const Flying flying, Launch());
      Complete(flying);
      done = NowNs();
    }
    return absl::OkStatus();
  }

  absl::Status RunPipelined() {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Flying> flying;  // guarded by mutex, as all below
    uint32_t wanted = 0;        // in flight
    int64_t idle_since = 0;
    bool over = false;
    std::thread completer([&] {
      prctl(PR_SET_TIMERSLACK, 1);
      std::unique_lock<std::mutex> lock(mutex);
      for (;;) {
        changed.wait(lock, [&] { return over || !flying.empty(); });
        if (flying.empty()) return;
        const Flying first = flying.front();
        flying.pop_front();
        lock.unlock();
        Complete(first);
        lock.lock();
        --wanted;
        if (wanted == 0) idle_since = NowNs();
        changed.notify_all();
      }
    });
    absl::Status status;
    while (NowNs() < plan_.end_ns) {
      {
        std::unique_lock<std::mutex> lock(mutex);
        changed.wait(lock, [&] { return wanted < work_.depth; });
        if (wanted == 0 && idle_since != 0) NoteAbsence(idle_since, NowNs());
      }
      absl::StatusOr<Flying> launched = Launch();
      if (!launched.ok()) {
        status = launched.status();
        break;
      }
      std::lock_guard<std::mutex> lock(mutex);
      flying.push_back(*launched);
      ++wanted;
      changed.notify_all();
    }
    {
      std::lock_guard<std::mutex> lock(mutex);
      over = true;
      changed.notify_all();
    }
    completer.join();
    return status;
  }

  // A request: `burst` launches one after the other, each when the last is complete.
  absl::Status RunRequests() {
    int64_t next = std::max(plan_.start_ns, NowNs());
    uint32_t number = 0;
    while (next < plan_.end_ns) {
      SleepUntilNs(next);
      const int64_t begun = NowNs();
      for (uint32_t i = 0; i < work_.burst; ++i) {
        HET_ASSIGN_OR_RETURN(const Flying flying, Launch());
        Complete(flying);
      }
      const int64_t done = NowNs();
      if (number < TenantReport::kMostRequests) {
        report_.request_ns[number++].store(done - begun, std::memory_order_relaxed);
        report_.requests.store(number, std::memory_order_relaxed);
      }
      next = std::max(next + work_.period_ns, done);
    }
    return absl::OkStatus();
  }

  static constexpr uint64_t kKey = 1;

  ArbiterSeat& seat_;
  const TenantWork work_;
  const Tenants::Plan plan_;
  const uint32_t client_;
  TenantReport& report_;
  CostEstimate costs_;
};

[[noreturn]] void TenantMain(int socket, const TenantWork& work, const Tenants::Plan& plan,
                             uint32_t client, TenantReport& report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  absl::Status status = [&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(SeatGrant grant, ReceiveGrant(socket));
    HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterSeat> seat, ArbiterSeat::Join(std::move(grant)));
    return Runner(*seat, work, plan, client, report).Run();
  }();
  if (!status.ok()) {
    std::strncpy(report.error, std::string(status.message()).c_str(), sizeof(report.error) - 1);
    report.failed.store(1);
  }
  _exit(status.ok() ? 0 : 1);
}

}  // namespace

int64_t NowNs() { return Clock::Real().MonotonicNanos(); }

void SleepUntilNs(int64_t until_ns) {
  const timespec until = {until_ns / 1'000'000'000, until_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

absl::Status Tenants::Start(uint32_t lease, const TenantWork& work, const Plan& plan) {
  Tenant tenant;
  void* memory = mmap(nullptr, sizeof(TenantReport), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "map memory for a tenant's report");
  tenant.report = new (memory) TenantReport;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoStatus(errno, "make a socket pair");
  }
  const UniqueFd ours(sockets[0]);
  UniqueFd theirs(sockets[1]);
  const uint32_t client = tenants_.size();
  tenant.pid = fork();
  if (tenant.pid < 0) return ErrnoStatus(errno, "fork a tenant");
  if (tenant.pid == 0) TenantMain(theirs.get(), work, plan, client, *tenant.report);
  tenants_.push_back(tenant);
  HET_ASSIGN_OR_RETURN(const SeatGrant grant,
                       host_.Seat(lease, tenant.pid, StartTimeOfProcess(tenant.pid)));
  tenants_.back().slot = grant.slot;
  return SendGrant(ours.get(), grant);
}

absl::Status Tenants::Wait(const Plan& plan, const std::function<void()>& tick) {
  absl::Status status;
  for (Tenant& tenant : tenants_) {
    while (tenant.pid != 0) {
      int how = 0;
      const pid_t ended = waitpid(tenant.pid, &how, WNOHANG);
      if (ended == tenant.pid) {
        tenant.pid = 0;
        if (tenant.report->failed.load() != 0 && status.ok()) {
          status = absl::InternalError(absl::StrCat("a tenant failed: ", tenant.report->error));
        } else if (WIFSIGNALED(how) && status.ok()) {
          status = absl::InternalError(absl::StrCat("a tenant died of signal ", WTERMSIG(how)));
        }
        break;
      }
      host_.Beat();
      if (tick) tick();
      if (NowNs() > plan.end_ns + 5'000'000'000) kill(tenant.pid, SIGKILL);
      SleepUntilNs(NowNs() + 20'000'000);
    }
    (void)host_.Unseat(tenant.slot);
  }
  return status;
}

Tenants::~Tenants() {
  for (Tenant& tenant : tenants_) {
    if (tenant.pid != 0) {
      kill(tenant.pid, SIGKILL);
      waitpid(tenant.pid, nullptr, 0);
    }
    if (tenant.report != nullptr) munmap(tenant.report, sizeof(TenantReport));
  }
}

}  // namespace het::bench
