// The NVML shadow: NVIDIA's management library with one answer changed: how much memory the slice's
// device has. What it shows of other devices, and of everything else, is NVML's own. It takes a
// seat of its own when memory is asked for the first time, so that a monitor in the slice (that
// uses no CUDA) sees the lease's memory too.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/base/call_once.h"
#include "absl/strings/str_cat.h"
#include "interpose/attach.h"
#include "interpose/forwarder.h"
#include "interpose/nvml/passed.h"
#include "interpose/say.h"
#include "interpose/settings.h"

// By which one shadow knows another.
extern "C" __attribute__((visibility("default"))) const int het_is_shadow = 1;

HET_SHADOW_NVML_PASSED(HET_FORWARDER)

namespace het::interpose {
namespace {

constexpr char kVariable[] = "HET_NVML_DRIVER";
constexpr int kSuccess = 0, kLibraryNotFound = 12;  // NVML_ERROR_LIBRARY_NOT_FOUND

using Bytes = unsigned long long;  // NOLINT(google-runtime-int): theirs
struct Memory {
  Bytes total, free, used;
};
struct MemoryV2 {
  unsigned int version;
  Bytes total, reserved, free, used;
};

int NoLibrary() { return kLibraryNotFound; }

struct Behind {
  int (*get_memory)(void* device, Memory* memory) = nullptr;
  int (*get_memory_v2)(void* device, MemoryV2* memory) = nullptr;
  int (*get_uuid)(void* device, char* text, unsigned int length) = nullptr;
};
Behind behind;

template <typename Function>
void Fill(Function*& slot, void* found) {
  slot =
      reinterpret_cast<Function*>(found != nullptr ? found : reinterpret_cast<void*>(&NoLibrary));
}

__attribute__((constructor)) void Load() {
  const absl::StatusOr<void*> library = OpenShadowed(kVariable);
  const auto find = [&](const char* name) {
    return library.ok() ? dlsym(*library, name) : nullptr;
  };
  Fill(behind.get_memory, find("nvmlDeviceGetMemoryInfo"));
  Fill(behind.get_memory_v2, find("nvmlDeviceGetMemoryInfo_v2"));
  Fill(behind.get_uuid, find("nvmlDeviceGetUUID"));
#define HET_FILL(name)           \
  het_slot_##name = find(#name); \
  if (het_slot_##name == nullptr) het_slot_##name = reinterpret_cast<void*>(&NoLibrary);
  HET_SHADOW_NVML_PASSED(HET_FILL)
#undef HET_FILL
}

// The process's view of its slice; null without one.
struct View {
  std::string visible;  // "GPU-..." or "MIG-...", as NVML writes it
  std::unique_ptr<Seat> seat;
};

const View* TheView() {
  static View* view = nullptr;
  static absl::once_flag once;
  absl::call_once(once, [] {
    const auto settings = ParseSettings([](const char* name) { return std::getenv(name); });
    const char* visible = std::getenv("HET_CUDA_VISIBLE");
    if (!settings.ok() || !settings->in_slice() || visible == nullptr) return;
    auto seat = Attach(*settings);
    if (!seat.ok()) {
      Say(absl::StrCat("NVML shows the whole device: ", seat.status().message()));
      return;
    }
    view = new View{visible, *std::move(seat)};
  });
  return view;
}

// `total`, `free` and `used` cut to the slice, when `device` is the slice's.
void Cut(void* device, Bytes* total, Bytes* free, Bytes* used) {
  const View* view = TheView();
  char uuid[96] = "";
  if (view == nullptr || behind.get_uuid(device, uuid, sizeof(uuid)) != kSuccess ||
      view->visible != uuid) {
    return;
  }
  *total = std::min<Bytes>(*total, view->seat->memory_limit());
  *used = std::min<Bytes>(*total, view->seat->memory_used());
  *free = std::min<Bytes>(*free, *total - *used);
}

}  // namespace
}  // namespace het::interpose

extern "C" {

__attribute__((visibility("default"))) int nvmlDeviceGetMemoryInfo(void* device,
                                                                   het::interpose::Memory* memory) {
  const int error = het::interpose::behind.get_memory(device, memory);
  if (error == het::interpose::kSuccess) {
    het::interpose::Cut(device, &memory->total, &memory->free, &memory->used);
  }
  return error;
}

__attribute__((visibility("default"))) int nvmlDeviceGetMemoryInfo_v2(
    void* device, het::interpose::MemoryV2* memory) {
  const int error = het::interpose::behind.get_memory_v2(device, memory);
  if (error == het::interpose::kSuccess) {
    het::interpose::Cut(device, &memory->total, &memory->free, &memory->used);
  }
  return error;
}

}  // extern "C"
