#include "engine/interrupt.h"

#include <signal.h>

#include <atomic>

#include "engine/error.h"

namespace hetllm {
namespace {

std::atomic<bool> interrupted{false};  // lock-free: set in a signal handler; orders nothing else
static_assert(std::atomic<bool>::is_always_lock_free);

void Note(int) { interrupted.store(true, std::memory_order_relaxed); }

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = Note;
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupted() { return interrupted.load(std::memory_order_relaxed); }

void ThrowIfInterrupted() {
  if (Interrupted()) {
    throw Error("interrupted", Exit::kInterrupted);
  }
}

}  // namespace hetllm
