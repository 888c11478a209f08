#include "scheduler/instance_json.h"

#include <cmath>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "base/status.h"

namespace het::scheduler {
namespace {

using json = Json;

absl::Status Bad(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, " ", what));
}

// Reads members of one object and remembers where it is, so that every fault names its path.
class Reader {
 public:
  Reader(const json& object, std::string path, std::vector<std::string>* ignored)
      : object_(object), path_(std::move(path)), ignored_(ignored) {}

  absl::Status CheckObject(std::initializer_list<absl::string_view> known) const {
    if (!object_.is_object())
      return Bad(path_.empty() ? "the instance" : path_, "is not an object");
    if (ignored_ == nullptr) return absl::OkStatus();
    for (const auto& item : object_.items()) {
      bool found = false;
      for (absl::string_view key : known) found = found || absl::string_view(item.key()) == key;
      if (!found) ignored_->push_back(Path(item.key()));
    }
    return absl::OkStatus();
  }

  std::string Path(absl::string_view key) const {
    return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
  }

  // nullptr where the key is absent or null.
  const json* Find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  absl::Status Bytes(const char* key, bool required, int64_t& out) const {
    const json* value = Find(key);
    if (value == nullptr) return required ? Bad(Path(key), "is missing") : absl::OkStatus();
    if (!value->is_number()) return Bad(Path(key), "is not a number");
    const double number = value->get<double>();
    if (!(number >= 0 && number <= static_cast<double>(kMaxBytes)) ||
        number != std::floor(number)) {
      return Bad(Path(key),
                 absl::StrCat("is ", value->dump(), "; a size is a whole number from 0 to ",
                              kMaxBytes, " bytes"));
    }
    out = static_cast<int64_t>(number);  // exact: kMaxBytes is below 2^53
    return absl::OkStatus();
  }

  absl::Status Ms(const char* key, double& out) const {
    const json* value = Find(key);
    if (value == nullptr) return Bad(Path(key), "is missing");
    if (!value->is_number()) return Bad(Path(key), "is not a number");
    out = value->get<double>();
    return absl::OkStatus();
  }

  absl::Status Text(const char* key, bool required, std::string& out) const {
    const json* value = Find(key);
    if (value == nullptr) return required ? Bad(Path(key), "is missing") : absl::OkStatus();
    if (!value->is_string()) return Bad(Path(key), "is not a string");
    out = value->get<std::string>();
    return absl::OkStatus();
  }

  absl::StatusOr<const json*> Array(const char* key) const {
    const json* value = Find(key);
    if (value == nullptr) return Bad(Path(key), "is missing");
    if (!value->is_array()) return Bad(Path(key), "is not an array");
    return value;
  }

 private:
  const json& object_;
  const std::string path_;
  std::vector<std::string>* const ignored_;
};

absl::Status ReadMsPerLayer(const Reader& reader, size_t layers, std::vector<double>& out) {
  const json* value = reader.Find("ms_per_layer");
  const std::string path = reader.Path("ms_per_layer");
  if (value == nullptr) return Bad(path, "is missing");
  if (value->is_number()) {
    out.assign(layers, value->get<double>());
    return absl::OkStatus();
  }
  if (!value->is_array()) return Bad(path, "is neither a number nor an array of numbers");
  if (value->size() != layers) {
    return Bad(path, absl::StrCat("has ", value->size(), " entries, ", layers, " layers"));
  }
  out.reserve(layers);
  for (const json& entry : *value) {
    if (!entry.is_number()) return Bad(absl::StrCat(path, "[", out.size(), "]"), "is not a number");
    out.push_back(entry.get<double>());
  }
  return absl::OkStatus();
}

absl::Status ReadSlice(const Reader& reader, size_t layers, SliceSpec& slice) {
  HET_RETURN_IF_ERROR(
      reader.CheckObject({"name", "type", "memory_bytes", "reserved_bytes", "ms_per_layer"}));
  HET_RETURN_IF_ERROR(reader.Text("name", true, slice.name));
  HET_RETURN_IF_ERROR(reader.Text("type", false, slice.type));
  HET_RETURN_IF_ERROR(reader.Bytes("memory_bytes", true, slice.memory_bytes));
  HET_RETURN_IF_ERROR(reader.Bytes("reserved_bytes", false, slice.reserved_bytes));
  return ReadMsPerLayer(reader, layers, slice.ms_per_layer);
}

absl::Status ReadLinks(const json& rows, size_t slices, std::vector<std::string>* ignored,
                       std::vector<std::vector<Link>>& out) {
  if (!rows.is_array()) return Bad("links", "is not an array");
  if (rows.empty()) return absl::OkStatus();
  if (rows.size() != slices) {
    return Bad("links", absl::StrCat("has ", rows.size(), " rows, ", slices, " slices"));
  }
  out.assign(slices, std::vector<Link>(slices));
  for (size_t u = 0; u < slices; ++u) {
    const std::string row_path = absl::StrCat("links[", u, "]");
    if (!rows[u].is_array()) return Bad(row_path, "is not an array");
    if (rows[u].size() != slices) {
      return Bad(row_path, absl::StrCat("has ", rows[u].size(), " entries, ", slices, " slices"));
    }
    for (size_t v = 0; v < slices; ++v) {
      if (u == v) continue;
      const Reader reader(rows[u][v], absl::StrCat(row_path, "[", v, "]"), ignored);
      HET_RETURN_IF_ERROR(reader.CheckObject({"latency_ms", "ms_per_transfer"}));
      HET_RETURN_IF_ERROR(reader.Ms("latency_ms", out[u][v].latency_ms));
      HET_RETURN_IF_ERROR(reader.Ms("ms_per_transfer", out[u][v].ms_per_transfer));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadObjective(const Reader& reader, Objective& objective) {
  std::string name(ObjectiveName(Objective::kThroughput));
  HET_RETURN_IF_ERROR(reader.Text("objective", false, name));
  for (Objective known : {Objective::kThroughput, Objective::kLatency}) {
    if (name != ObjectiveName(known)) continue;
    objective = known;
    return absl::OkStatus();
  }
  return Bad("objective", absl::StrCat("is \"", name, "\"; it is throughput or latency"));
}

// Bounds the work on a hostile file before anything is copied out of it.
absl::Status CheckCount(const json& array, absl::string_view name, int limit) {
  if (!array.empty() && array.size() <= static_cast<size_t>(limit)) return absl::OkStatus();
  return Bad(name, absl::StrCat("has ", array.size(), " entries; 1 to ", limit, " can be planned"));
}

}  // namespace

absl::StatusOr<Instance> ParseInstance(absl::string_view text, std::vector<std::string>* ignored) {
  HET_ASSIGN_OR_RETURN(const json root, ParseJson(text));
  Instance instance;
  const Reader reader(root, "", ignored);
  HET_RETURN_IF_ERROR(reader.CheckObject({"layers", "slices", "links", "objective"}));
  HET_ASSIGN_OR_RETURN(const json* layers, reader.Array("layers"));
  HET_ASSIGN_OR_RETURN(const json* slices, reader.Array("slices"));
  HET_RETURN_IF_ERROR(CheckCount(*layers, "layers", kMaxLayers));
  HET_RETURN_IF_ERROR(CheckCount(*slices, "slices", kMaxSlices));
  for (const json& entry : *layers) {
    const Reader layer(entry, absl::StrCat("layers[", instance.layers.size(), "]"), ignored);
    instance.layers.emplace_back();
    HET_RETURN_IF_ERROR(layer.CheckObject({"weight_bytes", "kv_bytes"}));
    HET_RETURN_IF_ERROR(layer.Bytes("weight_bytes", true, instance.layers.back().weight_bytes));
    HET_RETURN_IF_ERROR(layer.Bytes("kv_bytes", false, instance.layers.back().kv_bytes));
  }
  for (const json& entry : *slices) {
    const Reader slice(entry, absl::StrCat("slices[", instance.slices.size(), "]"), ignored);
    instance.slices.emplace_back();
    HET_RETURN_IF_ERROR(ReadSlice(slice, instance.layers.size(), instance.slices.back()));
  }
  if (const json* links = reader.Find("links"); links != nullptr) {
    HET_RETURN_IF_ERROR(ReadLinks(*links, instance.slices.size(), ignored, instance.links));
  }
  HET_RETURN_IF_ERROR(ReadObjective(reader, instance.objective));
  HET_RETURN_IF_ERROR(Validate(instance));
  return instance;
}

std::string InstanceToJson(const Instance& instance) {
  json root;
  root["objective"] = std::string(ObjectiveName(instance.objective));
  json& layers = root["layers"] = json::array();
  for (const Layer& layer : instance.layers) {
    json entry = {{"weight_bytes", layer.weight_bytes}};
    if (layer.kv_bytes != 0) entry["kv_bytes"] = layer.kv_bytes;
    layers.push_back(std::move(entry));
  }
  json& slices = root["slices"] = json::array();
  for (const SliceSpec& slice : instance.slices) {
    json entry = {{"name", slice.name},
                  {"type", slice.type},
                  {"memory_bytes", slice.memory_bytes},
                  {"ms_per_layer", slice.ms_per_layer}};
    if (slice.reserved_bytes != 0) entry["reserved_bytes"] = slice.reserved_bytes;
    slices.push_back(std::move(entry));
  }
  if (!instance.links.empty()) {
    json& rows = root["links"] = json::array();
    for (size_t u = 0; u < instance.links.size(); ++u) {
      json row = json::array();
      for (size_t v = 0; v < instance.links[u].size(); ++v) {
        const Link& link = instance.links[u][v];
        row.push_back(u == v ? json(nullptr)
                             : json{{"latency_ms", link.latency_ms},
                                    {"ms_per_transfer", link.ms_per_transfer}});
      }
      rows.push_back(std::move(row));
    }
  }
  return PrintJson(root);
}

}  // namespace het::scheduler
