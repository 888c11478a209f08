#include "devices/simulated/shared_timeline.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "base/files.h"

namespace het::simulated {

absl::StatusOr<SharedTimeline*> SharedTimeline::Create(int64_t start_ns, int64_t window_ns) {
  if (window_ns <= 0) return absl::InvalidArgumentError("a window must be longer than nothing");
  void* memory = mmap(nullptr, sizeof(SharedTimeline), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus(errno, "map memory for a simulated device");
  return new (memory) SharedTimeline(start_ns, window_ns);
}

void SharedTimeline::Destroy(SharedTimeline* timeline) {
  if (timeline != nullptr) munmap(static_cast<void*>(timeline), sizeof(SharedTimeline));
}

SharedTimeline::Run SharedTimeline::Submit(uint32_t client, int64_t now_ns, int64_t length_ns) {
  int64_t free_at = free_at_.load(std::memory_order_relaxed);
  Run run;
  do {
    run.start_ns = std::max(now_ns, free_at);
    run.end_ns = run.start_ns + length_ns;
  } while (!free_at_.compare_exchange_weak(free_at, run.end_ns, std::memory_order_relaxed));
  if (client >= kClients) return run;
  // A launch that spans windows counts in each for the part that lies there.
  for (int64_t at = std::max(run.start_ns, start_ns_); at < run.end_ns;) {
    const int64_t window = (at - start_ns_) / window_ns_;
    const int64_t until = std::min(run.end_ns, start_ns_ + (window + 1) * window_ns_);
    if (window >= kWindows) break;
    clients_[client].busy[window].fetch_add(until - at, std::memory_order_relaxed);
    at = until;
  }
  return run;
}

int64_t SharedTimeline::Busy(uint32_t client, uint32_t window) const {
  if (client >= kClients || window >= kWindows) return 0;
  return clients_[client].busy[window].load(std::memory_order_relaxed);
}

}  // namespace het::simulated
