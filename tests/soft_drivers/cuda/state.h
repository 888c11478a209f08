// What the handles of the soft CUDA driver point at, and its state.
#ifndef HET_TESTS_SOFT_DRIVERS_CUDA_STATE_H_
#define HET_TESTS_SOFT_DRIVERS_CUDA_STATE_H_

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "devices/cuda/abi.h"
#include "interpose/cuda/hooked.h"
#include "tests/soft_drivers/common/engine.h"
#include "tests/soft_drivers/cuda/cards.h"

namespace het::cuda {

// What was captured, one after the other. Executable graphs are copies.
struct CUgraphOpaque {
  std::vector<soft::GraphNode> nodes;
};
struct CUgraphExecOpaque : CUgraphOpaque {};

struct CUstreamOpaque {
  CUcontext context = nullptr;
  std::unique_ptr<soft::Stream> stream;
  CUgraph captured_in = nullptr;
  bool spoilt = false;      // the capture
  std::thread::id only_of;  // the one thread that can spoil it; none: any
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
  // Under it: contexts, streams, captures, owners.
  std::mutex mutex;
  std::set<het::cuda::CUstream> streams, capturing;
  std::map<void*, het::cuda::CUcontext> owners;  // of memory that goes with its context

  // Null: nobody's any more.
  void Own(void* memory, het::cuda::CUcontext context);
  // Frees what the context owns.
  void Clear(het::cuda::CUcontext context);
};

State& The();

// The current context of the calling thread.
het::cuda::CUcontext& Current();
// Those below it on the thread's stack.
std::vector<het::cuda::CUcontext>& Pushed();
// How the calling thread behaves to captures.
int& CaptureMode();

het::cuda::CUresult ErrorOf(Trouble trouble);

}  // namespace het::soft::cuda

#endif  // HET_TESTS_SOFT_DRIVERS_CUDA_STATE_H_
