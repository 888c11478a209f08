#include "tests/arbiter/peer_process.h"

#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "partition/grant_channel.h"
#include "partition/process_state.h"

namespace het::testing {
namespace {

[[noreturn]] void Child(int socket, const PeerProcess::Body& body, const PeerOptions& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  absl::StatusOr<SeatGrant> grant = ReceiveGrant(socket);
  if (!grant.ok()) {
    std::fprintf(stderr, "no grant: %s\n", std::string(grant.status().message()).c_str());
    _exit(101);
  }
  if (options.uid) {
    if (setgroups(0, nullptr) != 0 || setresuid(*options.uid, *options.uid, *options.uid) != 0) {
      _exit(102);
    }
    prctl(PR_SET_DUMPABLE, 1);  // its own /proc/self/fd stays open to it
  }
  if (options.inspect) options.inspect(*grant);
  absl::StatusOr<std::unique_ptr<ArbiterSeat>> seat = ArbiterSeat::Join(*std::move(grant));
  if (!seat.ok()) {
    std::fprintf(stderr, "no seat: %s\n", std::string(seat.status().message()).c_str());
    _exit(103);
  }
  if (options.traced != nullptr) {
    body(**seat);  // once before, so that no symbol is left to bind
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
  }
  const int result = body(**seat);
  if (options.traced != nullptr) options.traced->store(1);
  _exit(result);
}

}  // namespace

PeerProcess::PeerProcess(ArbiterHost& host, uint32_t lease, Body body, const PeerOptions& options)
    : host_(host) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) std::abort();
  const UniqueFd ours(sockets[0]);
  const UniqueFd theirs(sockets[1]);
  pid_ = fork();
  if (pid_ < 0) std::abort();
  if (pid_ == 0) Child(theirs.get(), body, options);
  absl::StatusOr<SeatGrant> grant = host.Seat(lease, pid_, StartTimeOfProcess(pid_));
  if (!grant.ok()) {
    std::fprintf(stderr, "%s\n", std::string(grant.status().message()).c_str());
    std::abort();
  }
  slot_ = grant->slot;
  seated_ = true;
  if (!SendGrant(ours.get(), *grant).ok()) std::abort();
}

PeerProcess::~PeerProcess() {
  if (!reaped_) {
    Kill();
    Wait();
  }
  Unseat();
}

void PeerProcess::Kill() { kill(pid_, SIGKILL); }

int PeerProcess::Wait() {
  int how = 0;
  do {  // a traced child reports its death only after its stops
    if (waitpid(pid_, &how, 0) != pid_) return -1000;
  } while (WIFSTOPPED(how));
  reaped_ = true;
  return WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
}

void PeerProcess::Unseat() {
  if (seated_) (void)host_.Unseat(slot_);
  seated_ = false;
}

uint32_t AddLease(ArbiterHost& host, uint32_t percent, Policy policy, uint32_t priority,
                  uint64_t memory) {
  ArbiterLease lease;
  lease.weight = Share::OfPercent(percent);
  lease.policy = policy;
  lease.priority = priority;
  lease.memory_quota = memory;
  lease.uid = geteuid();
  return *host.AddLease(lease);
}

std::unique_ptr<ArbiterSeat> Sit(ArbiterHost& host, uint32_t lease) {
  return *ArbiterSeat::Join(*host.Seat(lease, getpid(), StartTimeOfProcess(getpid())));
}

int64_t NowNs() { return Clock::Real().MonotonicNanos(); }

void SleepNs(int64_t ns) {
  const timespec time = {ns / 1'000'000'000, ns % 1'000'000'000};
  nanosleep(&time, nullptr);
}

bool Soak() {
  const char* soak = std::getenv("HET_SOAK");
  return soak != nullptr && soak[0] == '1';
}

int64_t Stretch(int64_t ns) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return ns * 10;
#else
  return ns;
#endif
}

void* SharedMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return memory;
}

}  // namespace het::testing
