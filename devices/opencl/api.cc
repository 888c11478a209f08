#include "devices/opencl/api.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace het::opencl {
namespace {

constexpr char kLibrary[] = "libOpenCL.so.1";

absl::StatusOr<Api> Open() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::UnavailableError(
        absl::StrCat("cannot open ", kLibrary, " (", why == nullptr ? "unknown reason" : why,
                     "); install an OpenCL loader (Debian: ocl-icd-libopencl1)"));
  }
  Api api;
#define HET_OPENCL_FIND(symbol) \
  api.symbol = reinterpret_cast<decltype(api.symbol)>(dlsym(library, #symbol));
  HET_OPENCL_REQUIRED(HET_OPENCL_FIND)
  HET_OPENCL_OPTIONAL(HET_OPENCL_FIND)
#undef HET_OPENCL_FIND
#define HET_OPENCL_CHECK(symbol)                                                                \
  if (api.symbol == nullptr) {                                                                  \
    return absl::UnavailableError(absl::StrCat(                                                 \
        kLibrary, " has no " #symbol ": it is older than OpenCL 1.2; install a newer loader")); \
  }
  HET_OPENCL_REQUIRED(HET_OPENCL_CHECK)
#undef HET_OPENCL_CHECK
  return api;
}

}  // namespace

absl::StatusOr<const Api*> LoadApi() {
  // Never destroyed: driver threads may still run at exit.
  static const absl::StatusOr<Api>* const api = new absl::StatusOr<Api>(Open());
  if (!api->ok()) return api->status();
  return &**api;
}

}  // namespace het::opencl
