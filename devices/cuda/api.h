// Api: the CUDA driver's entry points, found in libcuda.so.1 by dlopen. Nvrtc: the run-time
// compiler, of whatever version is there. het links neither library and never closes them.
//
// Threads: immutable once loaded. Failures: Unavailable with the library and the remedy where it is
// missing or too old; a missing symbol is named. Optional symbols are null where the driver is
// older.
#ifndef HET_DEVICES_CUDA_API_H_
#define HET_DEVICES_CUDA_API_H_

#include <string>

#include "absl/status/statusor.h"
#include "devices/cuda/abi.h"

namespace het::cuda {

struct Api {
#define HET_CUDA_MEMBER(name, arguments) CUresult(*name) arguments = nullptr;
  HET_CUDA_REQUIRED(HET_CUDA_MEMBER)
  HET_CUDA_OPTIONAL(HET_CUDA_MEMBER)
#undef HET_CUDA_MEMBER
  int version = 0;  // of the driver: 12040 is 12.4

  bool has_green_contexts() const {
    return cuDeviceGetDevResource != nullptr && cuDevSmResourceSplitByCount != nullptr &&
           cuDevResourceGenerateDesc != nullptr && cuGreenCtxCreate != nullptr &&
           cuGreenCtxDestroy != nullptr && cuCtxFromGreenCtx != nullptr &&
           cuGreenCtxStreamCreate != nullptr;
  }
  bool has_pools() const {
    return cuMemPoolCreate != nullptr && cuMemPoolDestroy != nullptr &&
           cuMemPoolSetAccess != nullptr && cuMemAllocFromPoolAsync != nullptr &&
           cuMemFreeAsync != nullptr && cuStreamSynchronize != nullptr;
  }
  bool has_graphs() const {
    return cuStreamBeginCapture_v2 != nullptr && cuStreamEndCapture != nullptr &&
           cuGraphInstantiateWithFlags != nullptr && cuGraphLaunch != nullptr &&
           cuGraphDestroy != nullptr && cuGraphExecDestroy != nullptr;
  }
  bool has_peers() const {
    return cuDeviceCanAccessPeer != nullptr && cuMemcpyPeerAsync != nullptr;
  }
};

struct Nvrtc {
#define HET_NVRTC_MEMBER(name, result, arguments) result(*name) arguments = nullptr;
  HET_NVRTC_REQUIRED(HET_NVRTC_MEMBER)
#undef HET_NVRTC_MEMBER
  std::string library;  // "libnvrtc.so.13"
  int version = 0;      // 13000 is 13.0
};

// The library was opened and cuInit gave success; once per process. Unavailable, too, where there
// is no device.
absl::StatusOr<const Api*> LoadApi();

// Prefers the compiler of the driver's own major version: a driver loads what its own or an older
// compiler made.
absl::StatusOr<const Nvrtc*> LoadNvrtc(int driver_version);

// "12.4" of 12040.
std::string VersionText(int version);

// "CUDA_ERROR_OUT_OF_MEMORY", from the driver; the number for one that it does not know.
std::string ErrorName(const Api& api, CUresult error);

// "<what>: <name>" with the canonical code: DataLoss for a lost device or a broken context (nothing
// goes on in it), ResourceExhausted for memory, InvalidArgument for a wrong argument, Unavailable
// for a driver that is not ready; else Internal.
absl::Status ErrorStatus(const Api& api, CUresult error, absl::string_view what);

#define HET_CUDA_RETURN_IF_ERROR(api, call, what)                                           \
  do {                                                                                      \
    if (const ::het::cuda::CUresult het_cu_ = (call); het_cu_ != ::het::cuda::CUDA_SUCCESS) \
      return ::het::cuda::ErrorStatus(api, het_cu_, what);                                  \
  } while (false)

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_API_H_
