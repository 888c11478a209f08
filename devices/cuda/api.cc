#include "devices/cuda/api.h"

#include <dlfcn.h>

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"

namespace het::cuda {
namespace {

constexpr char kLibrary[] = "libcuda.so.1";
constexpr int kOldest = 11000;  // green contexts and MIG UUIDs are optional

std::string DlError() {
  const char* why = dlerror();
  return why == nullptr ? "unknown reason" : why;
}

absl::StatusOr<Api> Open() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot open ", kLibrary, " (", DlError(),
                     "); it comes with NVIDIA's driver (Debian: nvidia-driver)"));
  }
  Api api;
#define HET_CUDA_FIND(name, arguments) \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, #name));
  HET_CUDA_REQUIRED(HET_CUDA_FIND)
  HET_CUDA_OPTIONAL(HET_CUDA_FIND)
#undef HET_CUDA_FIND
#define HET_CUDA_CHECK(name, arguments)                                                            \
  if (api.name == nullptr) {                                                                       \
    return absl::UnavailableError(absl::StrCat(kLibrary,                                           \
                                               " has no " #name ": it is older than CUDA ",        \
                                               VersionText(kOldest), "; install a newer driver")); \
  }
  HET_CUDA_REQUIRED(HET_CUDA_CHECK)
#undef HET_CUDA_CHECK
  // The version may be asked before cuInit, and says more than cuInit's error.
  if (const CUresult error = api.cuDriverGetVersion(&api.version); error != CUDA_SUCCESS) {
    return absl::UnavailableError(
        absl::StrCat(kLibrary, " does not tell its version: ", ErrorName(api, error)));
  }
  if (api.version < kOldest) {
    return absl::UnavailableError(absl::StrCat("the driver behind ", kLibrary, " is for CUDA ",
                                               VersionText(api.version), "; het needs ",
                                               VersionText(kOldest), " or newer"));
  }
  if (const CUresult error = api.cuInit(0); error != CUDA_SUCCESS) {
    return absl::UnavailableError(absl::StrCat(
        kLibrary, " cannot be used: cuInit gives ", ErrorName(api, error),
        error == CUDA_ERROR_NO_DEVICE ? "; no NVIDIA device is visible (CUDA_VISIBLE_DEVICES?)"
        : error == CUDA_ERROR_SYSTEM_DRIVER_MISMATCH || error == CUDA_ERROR_STUB_LIBRARY
            ? "; the library does not belong to the kernel's driver: reinstall it, or reboot"
            : "; `nvidia-smi` and the kernel's log say more"));
  }
  return api;
}

absl::StatusOr<Nvrtc> OpenNvrtc(const std::vector<std::string>& names) {
  std::vector<std::string> failures;
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      failures.push_back(name);
      continue;
    }
    Nvrtc nvrtc;
    nvrtc.library = name;
    const char* missing = nullptr;
#define HET_NVRTC_FIND(symbol, result, arguments)                                   \
  nvrtc.symbol = reinterpret_cast<decltype(nvrtc.symbol)>(dlsym(library, #symbol)); \
  if (nvrtc.symbol == nullptr) missing = #symbol;
    HET_NVRTC_REQUIRED(HET_NVRTC_FIND)
#undef HET_NVRTC_FIND
    if (missing != nullptr) {
      failures.push_back(absl::StrCat(name, " (no ", missing, ")"));
      continue;
    }
    int major = 0, minor = 0;
    nvrtc.nvrtcVersion(&major, &minor);
    nvrtc.version = major * 1000 + minor * 10;
    return nvrtc;
  }
  return absl::UnavailableError(absl::StrCat(
      "kernels cannot be compiled: none of ", absl::StrJoin(failures, ", "),
      " can be used; install NVIDIA's run-time compiler (package cuda-nvrtc or libnvrtc)"));
}

std::vector<std::string> NvrtcNames(int driver_version) {
  // Sonames, newest first; 11 has its minor in the name.
  const std::vector<std::pair<int, std::string>> known = {
      {13, "libnvrtc.so.13"}, {12, "libnvrtc.so.12"}, {11, "libnvrtc.so.11.2"}};
  std::vector<std::string> names;
  for (const auto& [major, name] : known) {
    if (major <= driver_version / 1000) names.push_back(name);
  }
  for (auto it = known.rbegin(); it != known.rend(); ++it) {
    if (it->first > driver_version / 1000) names.push_back(it->second);
  }
  return names;
}

}  // namespace

std::string VersionText(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::StatusOr<const Api*> LoadApi() {
  // Never destroyed: driver threads may still run at exit.
  static const absl::StatusOr<Api>* const api = new absl::StatusOr<Api>(Open());
  if (!api->ok()) return api->status();
  return &**api;
}

absl::StatusOr<const Nvrtc*> LoadNvrtc(int driver_version) {
  static absl::Mutex mutex;
  static const absl::StatusOr<Nvrtc>* loaded = nullptr;
  absl::MutexLock lock(&mutex);
  if (loaded == nullptr) loaded = new absl::StatusOr<Nvrtc>(OpenNvrtc(NvrtcNames(driver_version)));
  if (!loaded->ok()) return loaded->status();
  return &**loaded;
}

std::string ErrorName(const Api& api, CUresult error) {
  const char* name = nullptr;
  if (api.cuGetErrorName(error, &name) == CUDA_SUCCESS && name != nullptr) return name;
  return absl::StrCat("CUDA error ", error);
}

absl::Status ErrorStatus(const Api& api, CUresult error, absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", ErrorName(api, error), " (", error, ")");
  switch (error) {
    case CUDA_SUCCESS:
      return absl::OkStatus();
    case CUDA_ERROR_OUT_OF_MEMORY:
    case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
      return absl::ResourceExhaustedError(message);
    case CUDA_ERROR_INVALID_VALUE:
    case CUDA_ERROR_INVALID_DEVICE:
    case CUDA_ERROR_INVALID_IMAGE:
    case CUDA_ERROR_INVALID_HANDLE:
    case CUDA_ERROR_INVALID_CONTEXT:
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
      return absl::InvalidArgumentError(message);
    case CUDA_ERROR_NOT_FOUND:
      return absl::NotFoundError(message);
    case CUDA_ERROR_NOT_SUPPORTED:
      return absl::UnimplementedError(message);
    case CUDA_ERROR_NOT_PERMITTED:
      return absl::PermissionDeniedError(message);
    case CUDA_ERROR_NOT_INITIALIZED:
    case CUDA_ERROR_NO_DEVICE:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_SYSTEM_NOT_READY:
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      return absl::UnavailableError(message);
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_MPS_CLIENT_TERMINATED:
    case CUDA_ERROR_EXTERNAL_DEVICE:
    case CUDA_ERROR_UNKNOWN:
      return absl::DataLossError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace het::cuda
