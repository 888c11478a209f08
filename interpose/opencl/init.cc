// The two functions that the OpenCL loader calls in a layer (CL/cl_layer.h).
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "absl/status/statusor.h"
#include "interpose/opencl/cl.h"
#include "interpose/opencl/entry_points.h"
#include "interpose/opencl/hooks.h"
#include "interpose/opencl/layer.h"
#include "interpose/settings.h"

namespace het::interpose {
namespace {

constexpr char kName[] = "het: slices of a device";

// The number of the table's entries up to and including the one at `offset`.
constexpr size_t EntryNumber(size_t offset) { return offset / sizeof(void*); }

// The table the program calls: the layer's functions over those of the table below, as far as that
// one goes.
cl_icd_dispatch TableOver(const cl_icd_dispatch& below, size_t entries) {
  cl_icd_dispatch table = below;
#define HET_LAYER_INSTALL(name) \
  if (EntryNumber(offsetof(cl_icd_dispatch, name)) < entries) table.name = hook::name;
  HET_LAYER_HOOKED(HET_LAYER_INSTALL)
#undef HET_LAYER_INSTALL
  return table;
}

template <typename T>
cl_int Give(const T* value, size_t bytes, size_t room, void* to, size_t* needed) {
  if (to != nullptr && room < bytes) return CL_INVALID_VALUE;
  if (to != nullptr) std::memcpy(to, value, bytes);
  if (needed != nullptr) *needed = bytes;
  return CL_SUCCESS;
}

}  // namespace
}  // namespace het::interpose

extern "C" {

__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL
clGetLayerInfo(cl_layer_info what, size_t room, void* value, size_t* needed) {
  using het::interpose::Give;
  const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
  switch (what) {
    case CL_LAYER_API_VERSION:
      return Give(&version, sizeof(version), room, value, needed);
    case CL_LAYER_NAME:
      return Give(het::interpose::kName, sizeof(het::interpose::kName), room, value, needed);
    default:
      return CL_INVALID_VALUE;
  }
}

__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL
clInitLayer(cl_uint entries, const cl_icd_dispatch* below, cl_uint* entries_ret,
            const cl_icd_dispatch** table_ret) {
  using het::interpose::Layer;
  if (below == nullptr || entries_ret == nullptr || table_ret == nullptr) return CL_INVALID_VALUE;
  const cl_uint known = sizeof(cl_icd_dispatch) / sizeof(void*);
  const cl_uint both = std::min(entries, known);
  // What the loader's table lacks stays null.
  static cl_icd_dispatch table;
  std::memcpy(&table, below, both * sizeof(void*));
  const absl::StatusOr<het::interpose::Settings> settings =
      het::interpose::ParseSettings([](const char* name) { return std::getenv(name); });
  if (!settings.ok()) {
    Layer::StartRefused(table, settings.status());
  } else if (settings->in_slice()) {
    Layer::Start(table, *settings);
  }
  if (Layer::Get() != nullptr) table = het::interpose::TableOver(table, both);
  *entries_ret = both;
  *table_ret = &table;
  return CL_SUCCESS;
}

}  // extern "C"
