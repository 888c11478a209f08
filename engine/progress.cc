#include "engine/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "engine/error.h"

namespace hetllm {

ProgressBar::ProgressBar(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressBar::~ProgressBar() { Wipe(); }

void ProgressBar::Show(uint64_t done, uint64_t all) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || all == 0 || (done < all && now - last_ < std::chrono::milliseconds(50))) {
    return;
  }
  last_ = now;
  constexpr size_t kWidth = 30;
  const double share = static_cast<double>(done) / static_cast<double>(all);
  const size_t full = std::min(kWidth, static_cast<size_t>(share * kWidth));
  const std::string bar = std::string(full, '#') + std::string(kWidth - full, '.');
  std::fprintf(stderr, "\r%s [%s] %3.0f%% of %s\033[K", what_.c_str(), bar.c_str(), share * 100,
               FormatBytes(all).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::Wipe() {
  if (std::exchange(drawn_, false)) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
  }
}

}  // namespace hetllm
