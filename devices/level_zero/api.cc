#include "devices/level_zero/api.h"

#include <dlfcn.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace het::level_zero {
namespace {

constexpr char kLibrary[] = "libze_loader.so.1";
constexpr char kDrivers[] =
    "Intel GPUs: intel-level-zero-gpu (compute runtime); Intel NPUs: intel-level-zero-npu";

absl::StatusOr<Api> Open() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::UnavailableError(absl::StrCat(
        "cannot open ", kLibrary, " (", why == nullptr ? "unknown reason" : why,
        "); install the Level Zero loader (Debian: libze1) and a driver (", kDrivers, ")"));
  }
  Api api;
#define HET_ZE_FIND(name, arguments) \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, #name));
  HET_ZE_REQUIRED(HET_ZE_FIND)
  HET_ZE_OPTIONAL(HET_ZE_FIND)
#undef HET_ZE_FIND
#define HET_ZE_CHECK(name, arguments)                                                            \
  if (api.name == nullptr) {                                                                     \
    return absl::UnavailableError(absl::StrCat(                                                  \
        kLibrary, " has no " #name ": it is no loader of Level Zero 1.0; install a newer one")); \
  }
  HET_ZE_REQUIRED(HET_ZE_CHECK)
#undef HET_ZE_CHECK
  // Sensors, through the same handles. Must be set before zeInit.
  constexpr int kKeepWhatIsSet = 0;
  setenv("ZES_ENABLE_SYSMAN", "1", kKeepWhatIsSet);
  if (const uint32_t result = api.zeInit(0); result != kSuccess) {
    return absl::UnavailableError(
        absl::StrCat(kLibrary, " is here, but zeInit gives ", ResultName(result),
                     result == kUninitialized
                         ? absl::StrCat(": it found no driver; install one (", kDrivers, ")")
                         : ": the driver cannot be used; the kernel's log may say why"));
  }
  return api;
}

struct Named {
  uint32_t result;
  const char* name;
};
constexpr Named kNames[] = {
    {kNotReady, "ZE_RESULT_NOT_READY"},
    {kDeviceLost, "ZE_RESULT_ERROR_DEVICE_LOST"},
    {kOutOfHostMemory, "ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY"},
    {kOutOfDeviceMemory, "ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"},
    {kModuleBuildFailure, "ZE_RESULT_ERROR_MODULE_BUILD_FAILURE"},
    {kModuleLinkFailure, "ZE_RESULT_ERROR_MODULE_LINK_FAILURE"},
    {kDeviceRequiresReset, "ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET"},
    {kInsufficientPermissions, "ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS"},
    {kNotAvailable, "ZE_RESULT_ERROR_NOT_AVAILABLE"},
    {kDependencyUnavailable, "ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE"},
    {kUninitialized, "ZE_RESULT_ERROR_UNINITIALIZED"},
    {kUnsupportedVersion, "ZE_RESULT_ERROR_UNSUPPORTED_VERSION"},
    {kUnsupportedFeature, "ZE_RESULT_ERROR_UNSUPPORTED_FEATURE"},
    {kInvalidArgument, "ZE_RESULT_ERROR_INVALID_ARGUMENT"},
    {kInvalidNullHandle, "ZE_RESULT_ERROR_INVALID_NULL_HANDLE"},
    {kInvalidNullPointer, "ZE_RESULT_ERROR_INVALID_NULL_POINTER"},
    {kInvalidSize, "ZE_RESULT_ERROR_INVALID_SIZE"},
    {kUnsupportedSize, "ZE_RESULT_ERROR_UNSUPPORTED_SIZE"},
    {kInvalidNativeBinary, "ZE_RESULT_ERROR_INVALID_NATIVE_BINARY"},
    {kInvalidKernelName, "ZE_RESULT_ERROR_INVALID_KERNEL_NAME"},
    {kInvalidGroupSize, "ZE_RESULT_ERROR_INVALID_GROUP_SIZE_DIMENSION"},
    {kInvalidKernelArgumentIndex, "ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_INDEX"},
    {kInvalidKernelArgumentSize, "ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_SIZE"},
    {kUnknown, "ZE_RESULT_ERROR_UNKNOWN"},
};

}  // namespace

absl::StatusOr<const Api*> LoadApi() {
  // Never destroyed: driver threads may still run at exit.
  static const absl::StatusOr<Api>* const api = new absl::StatusOr<Api>(Open());
  if (!api->ok()) return api->status();
  return &**api;
}

const GraphTable* GraphTableOf(const Api& api, Handle driver) {
  void* table = nullptr;
  if (api.zeDriverGetExtensionFunctionAddress == nullptr ||
      api.zeDriverGetExtensionFunctionAddress(driver, kGraphExtension, &table) != kSuccess) {
    return nullptr;
  }
  return static_cast<const GraphTable*>(table);
}

Handle DriversOwn(const Api& api, uint32_t type, Handle handle) {
  void* own = handle;
  // A loader that is too old for this never puts handles of its own before a driver's.
  if (api.zelLoaderTranslateHandle == nullptr ||
      api.zelLoaderTranslateHandle(type, handle, &own) != kSuccess) {
    return handle;
  }
  return own;
}

std::string ResultName(uint32_t result) {
  for (const Named& named : kNames) {
    if (named.result == result) return named.name;
  }
  return absl::StrFormat("ze_result_t 0x%x", result);
}

absl::Status ResultStatus(uint32_t result, absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", ResultName(result));
  switch (result) {
    case kSuccess:
      return absl::OkStatus();
    case kDeviceLost:
    case kDeviceRequiresReset:
      return absl::DataLossError(message);
    case kOutOfHostMemory:
    case kOutOfDeviceMemory:
    case kUnsupportedSize:
      return absl::ResourceExhaustedError(message);
    case kUnsupportedVersion:
    case kUnsupportedFeature:
      return absl::UnimplementedError(message);
    case kInsufficientPermissions:
      return absl::PermissionDeniedError(message);
    case kUninitialized:
    case kNotAvailable:
    case kDependencyUnavailable:
      return absl::UnavailableError(message);
    case kModuleBuildFailure:
    case kModuleLinkFailure:
    case kInvalidArgument:
    case kInvalidSize:
    case kInvalidNativeBinary:
    case kInvalidKernelName:
    case kInvalidGroupSize:
    case kInvalidKernelArgumentIndex:
    case kInvalidKernelArgumentSize:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace het::level_zero
