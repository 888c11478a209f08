#include "scheduler/instance.h"

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::scheduler {
namespace {

absl::Status CheckMs(double ms, const std::string& path) {
  if (std::isfinite(ms) && ms >= 0 && ms <= kMaxMs) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is ", ms, "; a time is a number from 0 to ", kMaxMs, " ms"));
}

absl::Status CheckBytes(int64_t bytes, const std::string& path) {
  if (bytes >= 0 && bytes <= kMaxBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path, " is ", bytes, "; a size is a whole number from 0 to ", kMaxBytes, " bytes"));
}

absl::Status CheckSlice(const SliceSpec& slice, int layers, const std::string& path) {
  if (slice.name.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ".name is empty"));
  HET_RETURN_IF_ERROR(CheckBytes(slice.memory_bytes, path + ".memory_bytes"));
  HET_RETURN_IF_ERROR(CheckBytes(slice.reserved_bytes, path + ".reserved_bytes"));
  const int entries = static_cast<int>(slice.ms_per_layer.size());
  if (entries != layers) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".ms_per_layer has ", entries, " entries, ", layers, " layers"));
  }
  for (int i = 0; i < layers; ++i) {
    HET_RETURN_IF_ERROR(
        CheckMs(slice.ms_per_layer[i], absl::StrCat(path, ".ms_per_layer[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckLinks(const Instance& instance) {
  if (instance.links.empty()) return absl::OkStatus();
  const size_t slices = instance.slices.size();
  if (instance.links.size() != slices) {
    return absl::InvalidArgumentError(
        absl::StrCat("links has ", instance.links.size(), " rows, ", slices, " slices"));
  }
  for (size_t u = 0; u < slices; ++u) {
    const std::vector<Link>& row = instance.links[u];
    if (row.size() != slices) {
      return absl::InvalidArgumentError(
          absl::StrCat("links[", u, "] has ", row.size(), " entries, ", slices, " slices"));
    }
    for (size_t v = 0; v < slices; ++v) {
      if (u == v) continue;
      const std::string path = absl::StrCat("links[", u, "][", v, "]");
      HET_RETURN_IF_ERROR(CheckMs(row[v].latency_ms, path + ".latency_ms"));
      HET_RETURN_IF_ERROR(CheckMs(row[v].ms_per_transfer, path + ".ms_per_transfer"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view ObjectiveName(Objective objective) {
  return objective == Objective::kThroughput ? "throughput" : "latency";
}

double Instance::LinkMs(int from, int to) const {
  return links.empty() || from == to ? 0.0 : links[from][to].Ms();
}

double Instance::StageMs(int slice, int begin, int end) const {
  double ms = 0;
  for (int i = begin; i < end; ++i) ms += slices[slice].ms_per_layer[i];
  return ms;
}

int64_t Instance::LayerBytes(int layer) const {
  return layers[layer].weight_bytes + layers[layer].kv_bytes;
}

int64_t Instance::StageBytes(int slice, int begin, int end) const {
  int64_t bytes = slices[slice].reserved_bytes;
  for (int i = begin; i < end; ++i) bytes += LayerBytes(i);
  return bytes;
}

absl::Status Validate(const Instance& instance) {
  const int layers = instance.LayerCount();
  if (layers < 1 || layers > kMaxLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat("layers has ", layers, " entries; 1 to ", kMaxLayers, " can be planned"));
  }
  if (instance.slices.empty() || instance.slices.size() > kMaxSlices) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slices has ", instance.slices.size(), " entries; 1 to ", kMaxSlices, " can be planned"));
  }
  for (int i = 0; i < layers; ++i) {
    const std::string path = absl::StrCat("layers[", i, "]");
    HET_RETURN_IF_ERROR(CheckBytes(instance.layers[i].weight_bytes, path + ".weight_bytes"));
    HET_RETURN_IF_ERROR(CheckBytes(instance.layers[i].kv_bytes, path + ".kv_bytes"));
  }
  std::set<std::string> names;
  for (int i = 0; i < instance.SliceCount(); ++i) {
    const std::string path = absl::StrCat("slices[", i, "]");
    HET_RETURN_IF_ERROR(CheckSlice(instance.slices[i], layers, path));
    if (!names.insert(instance.slices[i].name).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ".name \"", instance.slices[i].name,
                                                     "\" is taken by an earlier slice"));
    }
  }
  return CheckLinks(instance);
}

}  // namespace het::scheduler
