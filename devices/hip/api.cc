#include "devices/hip/api.h"

#include <dlfcn.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace het::hip {
namespace {

constexpr int kOldest = 50000000;  // the numbers of device attributes changed with 5.0

// Newest first. The major number is ROCm's, and the entry points het calls have not changed from 5
// to 7.
const std::vector<std::string>& RuntimeNames() {
  static const auto* const names =
      new std::vector<std::string>{"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};
  return *names;
}

std::string DlError() {
  const char* why = dlerror();
  return why == nullptr ? "unknown reason" : why;
}

absl::StatusOr<Api> Open() {
  void* library = nullptr;
  Api api;
  std::vector<std::string> failures;
  for (const std::string& name : RuntimeNames()) {
    library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    api.library = name;
    if (library != nullptr) break;
    failures.push_back(DlError());
  }
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot open AMD's HIP runtime (",
                                               absl::StrJoin(failures, "; "),
                                               "); it comes with ROCm (Debian: libamdhip64-5)"));
  }
#define HET_HIP_FIND(name, result, arguments) \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, #name));
  HET_HIP_REQUIRED(HET_HIP_FIND)
  HET_HIP_OPTIONAL(HET_HIP_FIND)
#undef HET_HIP_FIND
#define HET_HIP_CHECK(name, result, arguments)                                            \
  if (api.name == nullptr) {                                                              \
    return absl::UnavailableError(absl::StrCat(                                           \
        api.library, " has no " #name ": it is older than ROCm 5; install a newer one")); \
  }
  HET_HIP_REQUIRED(HET_HIP_CHECK)
#undef HET_HIP_CHECK
  if (const hipError_t error = api.hipInit(0); error != hipSuccess) {
    const char* name = api.hipGetErrorName(error);
    return absl::UnavailableError(absl::StrCat(
        api.library, " cannot be used: hipInit gives ", name == nullptr ? "an error" : name, " (",
        error, ")",
        error == hipErrorNoDevice || error == hipErrorInvalidDevice
            ? "; no AMD device is visible (is the amdgpu driver loaded, may you read /dev/kfd, "
              "does HIP_VISIBLE_DEVICES hide it?)"
            : "; `rocminfo` and the kernel's log say more"));
  }
  if (api.hipDriverGetVersion(&api.version) != hipSuccess || api.version < kOldest) {
    return absl::UnavailableError(absl::StrCat("the HIP runtime ", api.library, " is of version ",
                                               VersionText(api.version), "; het needs ",
                                               VersionText(kOldest), " or newer"));
  }
  return api;
}

absl::StatusOr<Hiprtc> OpenHiprtc() {
  std::vector<std::string> names = {"libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so.5"};
  names.insert(names.end(), RuntimeNames().begin(), RuntimeNames().end());
  std::vector<std::string> failures;
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      failures.push_back(name);
      continue;
    }
    Hiprtc hiprtc;
    hiprtc.library = name;
    const char* missing = nullptr;
#define HET_HIPRTC_FIND(symbol, result, arguments)                                    \
  hiprtc.symbol = reinterpret_cast<decltype(hiprtc.symbol)>(dlsym(library, #symbol)); \
  if (hiprtc.symbol == nullptr) missing = #symbol;
    HET_HIPRTC_REQUIRED(HET_HIPRTC_FIND)
#undef HET_HIPRTC_FIND
    if (missing == nullptr) return hiprtc;
    failures.push_back(absl::StrCat(name, " (no ", missing, ")"));
  }
  return absl::UnavailableError(absl::StrCat("kernels cannot be compiled: none of ",
                                             absl::StrJoin(failures, ", "),
                                             " can be used; install ROCm's hiprtc"));
}

}  // namespace

std::string VersionText(int version) {
  return absl::StrCat(version / 10'000'000, ".", version / 100'000 % 100);
}

absl::StatusOr<const Api*> LoadApi() {
  // Never destroyed: driver threads may still run at exit.
  static const absl::StatusOr<Api>* const api = new absl::StatusOr<Api>(Open());
  if (!api->ok()) return api->status();
  return &**api;
}

absl::StatusOr<const Hiprtc*> LoadHiprtc() {
  static const absl::StatusOr<Hiprtc>* const hiprtc = new absl::StatusOr<Hiprtc>(OpenHiprtc());
  if (!hiprtc->ok()) return hiprtc->status();
  return &**hiprtc;
}

absl::Status ErrorStatus(const Api& api, hipError_t error, absl::string_view what) {
  const char* name = api.hipGetErrorName(error);
  const std::string message =
      absl::StrCat(what, ": ", name == nullptr ? "HIP error" : name, " (", error, ")");
  switch (error) {
    case hipSuccess:
      return absl::OkStatus();
    case hipErrorOutOfMemory:
    case hipErrorLaunchOutOfResources:
    case hipErrorRuntimeMemory:
      return absl::ResourceExhaustedError(message);
    case hipErrorInvalidValue:
    case hipErrorInvalidDevice:
    case hipErrorInvalidImage:
    case hipErrorInvalidHandle:
    case hipErrorInvalidContext:
    case hipErrorNoBinaryForGpu:
      return absl::InvalidArgumentError(message);
    case hipErrorNotFound:
      return absl::NotFoundError(message);
    case hipErrorNotSupported:
      return absl::UnimplementedError(message);
    case hipErrorNotInitialized:
    case hipErrorNoDevice:
      return absl::UnavailableError(message);
    case hipErrorDeinitialized:
    case hipErrorECCNotCorrectable:
    case hipErrorIllegalAddress:
    case hipErrorLaunchTimeOut:
    case hipErrorContextIsDestroyed:
    case hipErrorAssert:
    case hipErrorLaunchFailure:
    case hipErrorUnknown:
    case hipErrorRuntimeOther:
      return absl::DataLossError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace het::hip
