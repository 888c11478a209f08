// PeerProcess: a forked process with a seat at an arbiter, for tests that stop and kill it. The
// parent is the arbiter's owner. Everything the child runs must not return: its body's result is
// its exit code.
//
// Threads: the parent's one; no other thread may run in the parent when a peer is forked.
#ifndef HET_TESTS_ARBITER_PEER_PROCESS_H_
#define HET_TESTS_ARBITER_PEER_PROCESS_H_

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "partition/arbiter_host.h"
#include "partition/arbiter_seat.h"

namespace het::testing {

struct PeerOptions {
  // Taken before the seat.
  std::optional<uid_t> uid = {};
  // In shared memory: the child runs its body once, asks to be traced, stops, runs the body again
  // and then sets this.
  std::atomic<uint32_t>* traced = nullptr;
  // Run in the child before it joins.
  std::function<void(const SeatGrant&)> inspect = {};
};

class PeerProcess {
 public:
  using Body = std::function<int(ArbiterSeat&)>;
  // Forks, seats the child at `lease` and lets it run `body`.
  PeerProcess(ArbiterHost& host, uint32_t lease, Body body, const PeerOptions& options = {});
  ~PeerProcess();  // kills, reaps and unseats what is left
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  pid_t pid() const { return pid_; }
  uint32_t slot() const { return slot_; }
  void Kill();  // SIGKILL; not reaped, so that it stays a zombie
  int Wait();   // its exit code, or -signal
  void Unseat();

 private:
  ArbiterHost& host_;
  pid_t pid_ = 0;
  uint32_t slot_ = ~0u;
  bool reaped_ = false;
  bool seated_ = false;
};

// A lease with the rest at its defaults, of the caller's user.
uint32_t AddLease(ArbiterHost& host, uint32_t percent, Policy policy = Policy::kGuaranteed,
                  uint32_t priority = 1, uint64_t memory = 1 << 20);
// A seat in this process.
std::unique_ptr<ArbiterSeat> Sit(ArbiterHost& host, uint32_t lease);

int64_t NowNs();
void SleepNs(int64_t ns);
// HET_SOAK=1: everything, for as long as it takes.
bool Soak();
// The sanitizers stretch every time.
int64_t Stretch(int64_t ns);

// Plain memory that forked children share with the parent, zeroed.
void* SharedMemory(size_t bytes);
template <typename T>
T& Shared() {
  return *new (SharedMemory(sizeof(T))) T{};
}

}  // namespace het::testing

#endif  // HET_TESTS_ARBITER_PEER_PROCESS_H_
