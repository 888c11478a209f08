#include "engine/step_recordings.h"

#include <algorithm>

namespace hetllm {

void StepRecordings::Run(het::api::QueueView queue, const Kind& kind,
                         const std::function<void()>& step) {
  if (refused_ || kind.rows > kMostRows) return step();
  const auto [at, is_new] = entries_.try_emplace(kind);
  Entry& entry = at->second;
  entry.last_use = ++uses_;
  if (is_new) {  // many kinds come once: the end of a prompt, a sequence that ends
    if (entries_.size() > kMost) {
      entries_.erase(std::min_element(
          entries_.begin(), entries_.end(),
          [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; }));
    }
    return step();
  }
  if (!entry.recording) {
    try {
      entry.recording = queue.Record(step);
    } catch (const het::api::Error&) {
      // What ails the device, if anything, is said by the work itself.
      refused_ = true;
      entries_.clear();
      return step();
    }
  }
  queue.Replay(entry.recording);
}

}  // namespace hetllm
