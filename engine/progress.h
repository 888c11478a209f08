// ProgressBar: one line on stderr that shows how far a long job is; nothing when stderr is no
// terminal.
//
// Used by one thread. The line is wiped when the bar goes.
#ifndef HET_ENGINE_PROGRESS_H_
#define HET_ENGINE_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace hetllm {

class ProgressBar {
 public:
  explicit ProgressBar(std::string what);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

  // Bytes; redraws at most every 50 ms.
  void Show(uint64_t done, uint64_t all);
  void Wipe();

 private:
  const std::string what_;
  const bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace hetllm

#endif  // HET_ENGINE_PROGRESS_H_
