// What the handles of the soft CUDA driver point at, and its state.
#ifndef HET_TESTS_SOFT_DRIVERS_CUDA_STATE_H_
#define HET_TESTS_SOFT_DRIVERS_CUDA_STATE_H_

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "devices/cuda/abi.h"
#include "tests/soft_drivers/common/engine.h"
#include "tests/soft_drivers/cuda/cards.h"

namespace het::cuda {

struct CUstreamOpaque {
  CUcontext context = nullptr;
  std::unique_ptr<soft::Stream> stream;
};

struct CUctxOpaque {
  int card = 0;  // index among the shown ones
  uint32_t first_unit = 0, units = 0;
  int uses = 0;                   // of a primary context
  CUstreamOpaque default_stream;  // made when it is first used
};

struct CUeventOpaque : soft::Event {};

struct CUfunctionOpaque {
  CUmodule module = nullptr;
  const soft::KernelShape* shape = nullptr;
};

struct CUmoduleOpaque {
  std::shared_ptr<const soft::Program> program;
  std::deque<CUfunctionOpaque> functions;
};

struct CUdevResourceDescOpaque {
  uint32_t first_unit = 0, units = 0;
};

}  // namespace het::cuda

namespace het::soft::cuda {

struct State {
  State();

  Engine engine{"libcuda", kVariable};
  std::vector<CardFacts> cards;  // those that CUDA_VISIBLE_DEVICES shows
  std::deque<het::cuda::CUctxOpaque> primary;
  std::atomic<bool> initialised{false};
  std::mutex mutex;  // contexts
};

State& The();

// The current context of the calling thread.
het::cuda::CUcontext& Current();

het::cuda::CUresult ErrorOf(Trouble trouble);

}  // namespace het::soft::cuda

#endif  // HET_TESTS_SOFT_DRIVERS_CUDA_STATE_H_
