// Work for the device: launches of kernels in all their forms, and of graphs. Copies and fills are
// not held: copy engines and bandwidth are not divided (docs/slices.md).
#include "interpose/cuda/holding.h"
#include "partition/cost_estimate.h"

namespace het::interpose {
namespace {

// Launches that cost about the same: of one function with as many threads.
template <typename Function>
uint64_t WorkKey(Function function, uint64_t blocks, uint64_t threads_of_block) {
  return CostEstimate::Key(reinterpret_cast<uintptr_t>(function), blocks * threads_of_block);
}

uint64_t WorkKey(const cuda::CUlaunchConfig& launch, cuda::CUfunction function) {
  return WorkKey(function, uint64_t{launch.gridDimX} * launch.gridDimY * launch.gridDimZ,
                 uint64_t{launch.blockDimX} * launch.blockDimY * launch.blockDimZ);
}

}  // namespace
}  // namespace het::interpose

namespace het::cuda {

using namespace interpose;  // NOLINT(google-build-using-namespace): its hooks

// The same launch under its two names, which differ in what stream null is.
#define HET_SHADOW_LAUNCH(name, per_thread)                                                  \
  CUresult name HET_SHADOW_LAUNCH_ARGUMENTS {                                                \
    return Launched(stream, per_thread,                                                      \
                    WorkKey(function, uint64_t{grid_x} * grid_y * grid_z,                    \
                            uint64_t{block_x} * block_y * block_z),                          \
                    [=] {                                                                    \
                      return driver.name(function, grid_x, grid_y, grid_z, block_x, block_y, \
                                         block_z, shared_bytes, stream, parameters, extra);  \
                    });                                                                      \
  }
HET_SHADOW_LAUNCH(cuLaunchKernel, false)
HET_SHADOW_LAUNCH(cuLaunchKernel_ptsz, true)
#undef HET_SHADOW_LAUNCH

#define HET_SHADOW_LAUNCH(name, per_thread)                                                  \
  CUresult name HET_SHADOW_COOPERATIVE_ARGUMENTS {                                           \
    return Launched(stream, per_thread,                                                      \
                    WorkKey(function, uint64_t{grid_x} * grid_y * grid_z,                    \
                            uint64_t{block_x} * block_y * block_z),                          \
                    [=] {                                                                    \
                      return driver.name(function, grid_x, grid_y, grid_z, block_x, block_y, \
                                         block_z, shared_bytes, stream, parameters);         \
                    });                                                                      \
  }
HET_SHADOW_LAUNCH(cuLaunchCooperativeKernel, false)
HET_SHADOW_LAUNCH(cuLaunchCooperativeKernel_ptsz, true)
#undef HET_SHADOW_LAUNCH

#define HET_SHADOW_LAUNCH(name, per_thread)                                             \
  CUresult name(const CUlaunchConfig* launch, CUfunction function, void** parameters,   \
                void** extra) {                                                         \
    const auto call = [=] { return driver.name(launch, function, parameters, extra); }; \
    if (launch == nullptr) return call();                                               \
    return Launched(launch->hStream, per_thread, WorkKey(*launch, function), call);     \
  }
HET_SHADOW_LAUNCH(cuLaunchKernelEx, false)
HET_SHADOW_LAUNCH(cuLaunchKernelEx_ptsz, true)
#undef HET_SHADOW_LAUNCH

// The driver runs them as one: the first stands for all.
CUresult cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS* list, unsigned int count,
                                              unsigned int flags) {
  const auto call = [=] { return driver.cuLaunchCooperativeKernelMultiDevice(list, count, flags); };
  if (list == nullptr || count == 0) return call();
  const uint64_t blocks = uint64_t{list->gridDimX} * list->gridDimY * list->gridDimZ;
  const uint64_t threads = uint64_t{list->blockDimX} * list->blockDimY * list->blockDimZ;
  return Launched(list->hStream, false, WorkKey(list->function, blocks, threads), call);
}

CUresult cuLaunch(CUfunction function) {
  return Launched(nullptr, false, WorkKey(function, 1, 1),
                  [=] { return driver.cuLaunch(function); });
}

CUresult cuLaunchGrid(CUfunction function, int width, int height) {
  return Launched(nullptr, false,
                  WorkKey(function, static_cast<uint64_t>(width), static_cast<uint64_t>(height)),
                  [=] { return driver.cuLaunchGrid(function, width, height); });
}

CUresult cuLaunchGridAsync(CUfunction function, int width, int height, CUstream stream) {
  return Launched(stream, false,
                  WorkKey(function, static_cast<uint64_t>(width), static_cast<uint64_t>(height)),
                  [=] { return driver.cuLaunchGridAsync(function, width, height, stream); });
}

CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) {
  return Launched(stream, false, WorkKey(graph, 1, 1),
                  [=] { return driver.cuGraphLaunch(graph, stream); });
}

CUresult cuGraphLaunch_ptsz(CUgraphExec graph, CUstream stream) {
  return Launched(stream, true, WorkKey(graph, 1, 1),
                  [=] { return driver.cuGraphLaunch_ptsz(graph, stream); });
}

}  // namespace het::cuda
