// Api: the HIP runtime's entry points, found in libamdhip64.so.7, .6 or .5 by dlopen. Hiprtc: the
// run-time compiler, which lies beside the runtime or inside it. het links neither and never closes
// them.
//
// Threads: immutable once loaded. Failures: Unavailable with the library and the remedy where it is
// missing or too old; a missing symbol is named. Optional symbols are null where the runtime is
// older.
#ifndef HET_DEVICES_HIP_API_H_
#define HET_DEVICES_HIP_API_H_

#include <string>

#include "absl/status/statusor.h"
#include "devices/hip/abi.h"

namespace het::hip {

struct Api {
#define HET_HIP_MEMBER(name, result, arguments) result(*name) arguments = nullptr;
  HET_HIP_REQUIRED(HET_HIP_MEMBER)
  HET_HIP_OPTIONAL(HET_HIP_MEMBER)
#undef HET_HIP_MEMBER
  bool has_pools() const {
    return hipMemPoolCreate != nullptr && hipMemPoolDestroy != nullptr &&
           hipMemPoolSetAccess != nullptr && hipMallocFromPoolAsync != nullptr &&
           hipFreeAsync != nullptr && hipStreamSynchronize != nullptr;
  }
  bool has_graphs() const {
    return hipStreamBeginCapture != nullptr && hipStreamEndCapture != nullptr &&
           hipGraphInstantiate != nullptr && hipGraphLaunch != nullptr &&
           hipGraphDestroy != nullptr && hipGraphExecDestroy != nullptr;
  }
  bool has_peers() const {
    return hipDeviceCanAccessPeer != nullptr && hipMemcpyPeerAsync != nullptr;
  }
  std::string library;  // "libamdhip64.so.6"
  int version = 0;      // of the runtime: 50221153 is 5.2.21153
};

struct Hiprtc {
#define HET_HIPRTC_MEMBER(name, result, arguments) result(*name) arguments = nullptr;
  HET_HIPRTC_REQUIRED(HET_HIPRTC_MEMBER)
#undef HET_HIPRTC_MEMBER
  std::string library;
};

// The library was opened and hipInit gave success; once per process. Unavailable, too, where there
// is no device.
absl::StatusOr<const Api*> LoadApi();

// Needs no device.
absl::StatusOr<const Hiprtc*> LoadHiprtc();

// "5.2" of 50221153.
std::string VersionText(int version);

// "<what>: <name>" with the canonical code, as cuda's ErrorStatus.
absl::Status ErrorStatus(const Api& api, hipError_t error, absl::string_view what);

#define HET_HIP_RETURN_IF_ERROR(api, call, what)                                            \
  do {                                                                                      \
    if (const ::het::hip::hipError_t het_hip_ = (call); het_hip_ != ::het::hip::hipSuccess) \
      return ::het::hip::ErrorStatus(api, het_hip_, what);                                  \
  } while (false)

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_API_H_
