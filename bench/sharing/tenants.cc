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
         TenantReport& report, int64_t lateness_ns)
      : seat_(seat),
        work_(work),
        plan_(plan),
        client_(client),
        report_(report),
        lateness_ns_(lateness_ns) {}

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
    if (flying.end_ns - NowNs() > lateness_ns_) SleepUntilNs(flying.end_ns - lateness_ns_);
    while (NowNs() < flying.end_ns) {
    }
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
    Pipeline pipeline(*this);
    while (NowNs() < plan_.end_ns) {
      const int64_t idle_since = pipeline.WaitForLessThan(work_.depth);
      if (idle_since != 0) NoteAbsence(idle_since, NowNs());
      HET_ASSIGN_OR_RETURN(const Flying flying, Launch());
      pipeline.Add(flying);
    }
    return absl::OkStatus();
  }

  absl::Status RunRequests() {
    Pipeline pipeline(*this);
    int64_t next = std::max(plan_.start_ns, NowNs());
    uint32_t number = 0;
    while (next < plan_.end_ns) {
      SleepUntilNs(next);
      const int64_t begun = NowNs();
      for (uint32_t i = 0; i < work_.burst; ++i) {
        HET_ASSIGN_OR_RETURN(const Flying flying, Launch());
        if (work_.sync) {
          Complete(flying);
        } else {
          pipeline.Add(flying);
        }
      }
      pipeline.WaitForLessThan(1);
      const int64_t done = NowNs();
      if (number < TenantReport::kMostRequests) {
        report_.request_ns[number++].store(done - begun, std::memory_order_relaxed);
        report_.requests.store(number, std::memory_order_relaxed);
      }
      next = std::max(next + work_.period_ns, done);
    }
    return absl::OkStatus();
  }

  // Launches in flight, completed in order by a thread of their own.
  class Pipeline {
   public:
    explicit Pipeline(Runner& runner) : runner_(runner), thread_([this] { Loop(); }) {}
    ~Pipeline() {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        over_ = true;
        changed_.notify_all();
      }
      thread_.join();
    }
    void Add(const Flying& flying) {
      std::lock_guard<std::mutex> lock(mutex_);
      flying_.push_back(flying);
      ++count_;
      changed_.notify_all();
    }
    // Since when nothing is in flight, or 0.
    int64_t WaitForLessThan(uint32_t count) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return count_ < count; });
      return count_ == 0 ? idle_since_ : 0;
    }

   private:
    void Loop() {
      prctl(PR_SET_TIMERSLACK, 1);
      std::unique_lock<std::mutex> lock(mutex_);
      for (;;) {
        changed_.wait(lock, [&] { return over_ || !flying_.empty(); });
        if (flying_.empty()) return;
        const Flying first = flying_.front();
        flying_.pop_front();
        lock.unlock();
        runner_.Complete(first);
        lock.lock();
        if (--count_ == 0) idle_since_ = NowNs();
        changed_.notify_all();
      }
    }

    Runner& runner_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Flying> flying_;  // guarded by mutex_, as all below
    uint32_t count_ = 0;
    int64_t idle_since_ = 0;
    bool over_ = false;
    std::thread thread_;  // last: it uses all of the above
  };

  static constexpr uint64_t kKey = 1;

  ArbiterSeat& seat_;
  const TenantWork work_;
  const Tenants::Plan plan_;
  const uint32_t client_;
  TenantReport& report_;
  const int64_t lateness_ns_;
  CostEstimate costs_;
};

[[noreturn]] void TenantMain(int socket, const Tenants::Body& body, TenantReport& report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const absl::Status status = [&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(SeatGrant grant, ReceiveGrant(socket));
    HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterSeat> seat, ArbiterSeat::Join(std::move(grant)));
    return body(*seat, report);
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

int64_t SleepLatenessNs() {
  prctl(PR_SET_TIMERSLACK, 1);
  std::vector<int64_t> late;
  for (int i = 0; i < 100; ++i) {
    const int64_t until = NowNs() + 200'000;
    SleepUntilNs(until);
    late.push_back(NowNs() - until);
  }
  std::sort(late.begin(), late.end());
  return std::clamp<int64_t>(late[late.size() / 4], 0, 100'000);
}

Tenants::Tenants(ArbiterHost& host)
    : host_(host), lateness_ns_([] {
        static const int64_t lateness = SleepLatenessNs();
        return lateness;
      }()) {}

absl::Status Tenants::Start(uint32_t lease, const TenantWork& work, const Plan& plan) {
  const uint32_t client = tenants_.size();
  const int64_t late = lateness_ns_;
  return Start(lease, [work, plan, client, late](ArbiterSeat& seat, TenantReport& report) {
    return Runner(seat, work, plan, client, report, late).Run();
  });
}

absl::Status Tenants::Start(uint32_t lease, const Body& body) {
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
  tenant.pid = fork();
  if (tenant.pid < 0) return ErrnoStatus(errno, "fork a tenant");
  if (tenant.pid == 0) TenantMain(theirs.get(), body, *tenant.report);
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
