// The driver behind the shadow: opened when the shadow is loaded; and the entry points that are
// only forwarded, or refused in a slice.
#include <dlfcn.h>

#include <string>

#include "interpose/cuda/driver.h"
#include "interpose/cuda/hooks.h"
#include "interpose/cuda/passed.h"
#include "interpose/cuda/shadow.h"
#include "interpose/forwarder.h"

// By which one shadow knows another.
extern "C" __attribute__((visibility("default"))) const int het_is_shadow = 1;

HET_SHADOW_PASSED(HET_FORWARDER)
#define HET_REFUSED_FORWARDER(name, version, reason) HET_FORWARDER(name)
HET_SHADOW_REFUSED(HET_REFUSED_FORWARDER)
#undef HET_REFUSED_FORWARDER

namespace het::cuda {

Driver driver;

namespace {

std::string& Missing() {
  static std::string* const missing = new std::string;
  return *missing;
}

// In the place of what is not there, whatever its arguments.
CUresult NoDriver() { return CUDA_ERROR_NO_DEVICE; }
CUresult NotSupported() { return CUDA_ERROR_NOT_SUPPORTED; }

template <typename Function>
void Fill(Function*& slot, void* found, CUresult (*otherwise)()) {
  slot = reinterpret_cast<Function*>(found != nullptr ? found : reinterpret_cast<void*>(otherwise));
}

__attribute__((constructor)) void Load() {
  interpose::Shadow::Load();
  const absl::StatusOr<void*> library = interpose::OpenShadowed(kDriverVariable);
  if (!library.ok()) Missing() = std::string(library.status().message());
  const auto find = [&](const char* name) {
    return library.ok() ? dlsym(*library, name) : nullptr;
  };
  const auto absent = library.ok() ? NotSupported : NoDriver;
#define HET_FILL(name, version, arguments) Fill(driver.name, find(#name), absent);
  HET_SHADOW_HOOKED(HET_FILL)
#undef HET_FILL
  // These may be null where the driver is older; the shadow asks.
#define HET_FILL(name, arguments) Fill(driver.name, find(#name), library.ok() ? nullptr : NoDriver);
  HET_SHADOW_USED(HET_FILL)
#undef HET_FILL
#define HET_FILL(name)           \
  het_slot_##name = find(#name); \
  if (het_slot_##name == nullptr) het_slot_##name = reinterpret_cast<void*>(absent);
  HET_SHADOW_PASSED(HET_FILL)
#undef HET_FILL
  const bool in_slice = interpose::Shadow::Get() != nullptr;
#define HET_FILL(name, version, reason)               \
  het_slot_##name = in_slice ? nullptr : find(#name); \
  if (het_slot_##name == nullptr) het_slot_##name = reinterpret_cast<void*>(absent);
  HET_SHADOW_REFUSED(HET_FILL)
#undef HET_FILL
}

}  // namespace

const std::string& MissingDriver() { return Missing(); }

}  // namespace het::cuda
