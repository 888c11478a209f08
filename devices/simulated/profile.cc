#include "devices/simulated/profile.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/status.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het::simulated {
namespace {

int64_t Nanos(double seconds) {
  constexpr double kMost = 1e18;  // what fits, and more than 30 years
  return static_cast<int64_t>(std::llround(std::clamp(seconds * 1e9, 0.0, kMost)));
}

// One table of the file, whose fields are read one by one and then all known.
class Reader {
 public:
  Reader(const std::string& file, const toml::table& table, std::string what)
      : file_(file), table_(table), what_(std::move(what)) {}

  absl::Status Error(const toml::node* node, absl::string_view message) const {
    const toml::source_region& where = node ? node->source() : table_.source();
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", where.begin.line, ": ", what_, ": ", message));
  }
  const toml::node* Find(const char* key) {
    known_.insert(key);
    return table_.get(key);
  }

  absl::Status Text(const char* key, std::string& value, bool required = false) {
    const toml::node* node = Find(key);
    if (node == nullptr) return Missing(key, required);
    const auto text = node->value_exact<std::string>();
    if (!text || text->empty()) return Error(node, absl::StrCat(key, " must be a text"));
    value = *text;
    return absl::OkStatus();
  }
  // A number in [least, most].
  absl::Status Number(const char* key, double& value, bool required, double least,
                      double most = 1e15) {
    const toml::node* node = Find(key);
    if (node == nullptr) return Missing(key, required);
    const auto number = node->value<double>();
    if (!node->is_number() || !number || !(*number >= least && *number <= most)) {
      return Error(node, absl::StrCat(key, " must be a number from ", least, " to ", most));
    }
    value = *number;
    return absl::OkStatus();
  }
  template <typename Int>
  absl::Status Whole(const char* key, Int& value, bool required, uint64_t least, uint64_t most) {
    const toml::node* node = Find(key);
    if (node == nullptr) return Missing(key, required);
    const auto number = node->value_exact<int64_t>();
    if (!number || *number < 0 || static_cast<uint64_t>(*number) < least ||
        static_cast<uint64_t>(*number) > most) {
      return Error(node, absl::StrCat(key, " must be a whole number from ", least, " to ", most));
    }
    value = static_cast<uint64_t>(*number);
    return absl::OkStatus();
  }
  absl::Status Bytes(const char* key, uint64_t& value, bool required) {
    const toml::node* node = Find(key);
    if (node == nullptr) return Missing(key, required);
    const auto text = node->value_exact<std::string>();
    const absl::StatusOr<uint64_t> bytes =
        text ? ParseBytes(*text) : absl::InvalidArgumentError("not a text like \"40GiB\"");
    if (!bytes.ok()) return Error(node, absl::StrCat(key, ": ", bytes.status().message()));
    value = *bytes;
    return absl::OkStatus();
  }
  absl::Status Numbers(const char* key, std::vector<double>& values) {
    const toml::node* node = Find(key);
    const toml::array* array = node ? node->as_array() : nullptr;
    if (array == nullptr) return Error(node, absl::StrCat(key, " must be a list of numbers"));
    for (const toml::node& element : *array) {
      const auto number = element.value<double>();
      if (!element.is_number() || !number) {
        return Error(&element, absl::StrCat(key, " must be a list of numbers"));
      }
      values.push_back(*number);
    }
    return absl::OkStatus();
  }
  // After everything was read: nothing else is there.
  absl::Status Done() const {
    for (const auto& [key, node] : table_) {
      if (known_.count(std::string(key.str())) > 0) continue;
      return Error(&node, absl::StrCat("unknown key \"", std::string(key.str()),
                                       "\"; known are: ", absl::StrJoin(known_, ", ")));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Missing(const char* key, bool required) const {
    return required ? Error(nullptr, absl::StrCat(key, " is missing")) : absl::OkStatus();
  }

  const std::string& file_;
  const toml::table& table_;
  const std::string what_;
  std::set<std::string> known_;
};

absl::StatusOr<std::string> FindCsv(const std::string& file, const std::string& csv) {
  namespace fs = std::filesystem;
  std::vector<fs::path> places = {fs::path(file).parent_path() / csv};
  if (const char* data = std::getenv("HET_DATA_DIR")) places.push_back(fs::path(data) / csv);
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::is_regular_file(place, error)) return place.lexically_normal().string();
  }
  return absl::NotFoundError(
      absl::StrCat("there is no ",
                   absl::StrJoin(places, " nor ",
                                 [](std::string* out, const fs::path& place) {
                                   absl::StrAppend(out, place.lexically_normal().string());
                                 }),
                   places.size() == 1 ? "; HET_DATA_DIR can name a folder to look in too" : ""));
}

absl::StatusOr<OpTable> ReadOp(const std::string& file, const toml::table& table,
                               const std::string& what) {
  Reader reader(file, table, what);
  std::string csv;
  HET_RETURN_IF_ERROR(reader.Text("csv", csv));
  absl::StatusOr<OpTable> result = absl::InternalError("");
  if (!csv.empty()) {
    const absl::StatusOr<std::string> path = FindCsv(file, csv);
    if (!path.ok()) return reader.Error(table.get("csv"), path.status().message());
    result = OpTable::ReadCsv(*path);
  } else {
    std::vector<double> batch, millis;
    HET_RETURN_IF_ERROR(reader.Numbers("batch", batch));
    HET_RETURN_IF_ERROR(reader.Numbers("ms", millis));
    result = OpTable::Make(std::move(batch), std::move(millis));
  }
  HET_RETURN_IF_ERROR(reader.Done());
  if (!result.ok()) return reader.Error(nullptr, result.status().message());
  return result;
}

absl::StatusOr<Faults> ReadFaults(const std::string& file, const toml::table& table,
                                  const std::string& what) {
  constexpr uint64_t kMany = uint64_t{1} << 62;
  Reader reader(file, table, what);
  Faults faults;
  HET_RETURN_IF_ERROR(reader.Whole("lose_after_ops", faults.lose_after_ops, false, 0, kMany));
  HET_RETURN_IF_ERROR(reader.Whole("hang_after_ops", faults.hang_after_ops, false, 0, kMany));
  double lose_at_ms = -1;
  HET_RETURN_IF_ERROR(reader.Number("lose_at_ms", lose_at_ms, false, 0));
  if (lose_at_ms >= 0) faults.lose_at_nanos = Nanos(lose_at_ms * 1e-3);
  if (table.contains("out_of_memory_after")) {
    HET_RETURN_IF_ERROR(
        reader.Bytes("out_of_memory_after", faults.out_of_memory_after_bytes.emplace(), true));
  } else {
    reader.Find("out_of_memory_after");
  }
  HET_RETURN_IF_ERROR(reader.Number("link_slowdown", faults.link_slowdown, false, 1));
  HET_RETURN_IF_ERROR(reader.Done());
  return faults;
}

absl::Status ReadKind(Reader& reader, DeviceKind& kind) {
  std::string text;
  HET_RETURN_IF_ERROR(reader.Text("kind", text));
  if (text.empty()) return absl::OkStatus();
  for (DeviceKind known :
       {DeviceKind::kCpu, DeviceKind::kGpu, DeviceKind::kNpu, DeviceKind::kAccelerator}) {
    if (text != DeviceKindName(known)) continue;
    kind = known;
    return absl::OkStatus();
  }
  return reader.Error(reader.Find("kind"),
                      absl::StrCat("kind \"", text, "\" is none of cpu, gpu, npu, accelerator"));
}

// The sub-tables [device.op.NAME] and [device.fault].
absl::Status ReadParts(const std::string& file, Reader& reader, const std::string& what,
                       DeviceModel& model) {
  if (const toml::node* node = reader.Find("op"); node != nullptr) {
    const toml::table* ops = node->as_table();
    if (ops == nullptr) return reader.Error(node, "op must be tables [device.op.NAME]");
    for (const auto& [key, op] : *ops) {
      const std::string name(key.str());
      const toml::table* table = op.as_table();
      if (table == nullptr) return reader.Error(&op, absl::StrCat("op.", name, " must be a table"));
      absl::StatusOr<OpTable> read = ReadOp(file, *table, absl::StrCat(what, ", op ", name));
      if (!read.ok()) return read.status();
      model.ops.emplace(name, *std::move(read));
    }
  }
  if (const toml::node* node = reader.Find("fault"); node != nullptr) {
    const toml::table* table = node->as_table();
    if (table == nullptr) return reader.Error(node, "fault must be a table [device.fault]");
    HET_ASSIGN_OR_RETURN(model.faults, ReadFaults(file, *table, absl::StrCat(what, ", fault")));
  }
  return absl::OkStatus();
}

// The devices of one [[device]] are added to `profile`.
absl::Status ReadDevice(const toml::table& table, Profile& profile) {
  std::string name, vendor, model_name, uuid;
  if (const auto text = table["name"].value_exact<std::string>()) name = *text;
  const std::string what = absl::StrCat("device \"", name, "\"");
  Reader reader(profile.path, table, what);
  DeviceModel model;
  DeviceInfo& info = model.info;
  HET_RETURN_IF_ERROR(reader.Text("name", name, true));
  HET_RETURN_IF_ERROR(reader.Text("vendor", vendor, true));
  model_name = name;
  HET_RETURN_IF_ERROR(reader.Text("model", model_name));
  HET_RETURN_IF_ERROR(reader.Text("uuid", uuid));
  info.kind = DeviceKind::kGpu;
  HET_RETURN_IF_ERROR(ReadKind(reader, info.kind));
  uint32_t count = 1;
  HET_RETURN_IF_ERROR(reader.Whole("count", count, false, 1, 4096));
  HET_RETURN_IF_ERROR(reader.Whole("compute_units", info.compute_units, true, 1, 1u << 20));
  HET_RETURN_IF_ERROR(reader.Whole("numa_node", info.numa_node, false, 0, 4096));
  HET_RETURN_IF_ERROR(reader.Bytes("memory", info.memory_bytes, true));
  if (info.memory_bytes == 0) return reader.Error(reader.Find("memory"), "memory must not be 0");
  double gb_per_s = 0, tflops = 0, launch_us = 5, latency_us = 10, link_gb_per_s = 12;
  HET_RETURN_IF_ERROR(reader.Number("memory_gb_per_s", gb_per_s, true, 1e-3));
  HET_RETURN_IF_ERROR(reader.Number("f32_tflops", tflops, true, 1e-6));
  HET_RETURN_IF_ERROR(reader.Number("launch_us", launch_us, false, 0));
  HET_RETURN_IF_ERROR(reader.Number("link_latency_us", latency_us, false, 0));
  HET_RETURN_IF_ERROR(reader.Number("link_gb_per_s", link_gb_per_s, false, 1e-3));
  HET_RETURN_IF_ERROR(ReadParts(profile.path, reader, what, model));
  HET_RETURN_IF_ERROR(reader.Done());
  if (!uuid.empty() && (!IsUuid(uuid) || count != 1)) {
    return reader.Error(reader.Find("uuid"),
                        count != 1 ? "uuid and count do not go together: each device has its own"
                                   : "uuid is not like 01234567-89ab-cdef-0123-456789abcdef");
  }

  info.vendor = absl::StrCat(vendor, " (simulated)");
  info.name = absl::StrCat(model_name, " (simulated)");
  info.backend = "simulated";
  info.simulated = true;
  info.can_sub_divide = true;
  info.memory_bytes_per_s = gb_per_s * 1e9;
  info.flops_per_s = tflops * 1e12;
  info.attributes["profile"] = profile.path;
  info.attributes["mode"] = profile.mode == Mode::kTiming ? "timing" : "functional";
  model.launch_nanos = Nanos(launch_us * 1e-6);
  model.link_latency_nanos = Nanos(latency_us * 1e-6);
  model.link_bytes_per_s = link_gb_per_s * 1e9;
  for (uint32_t i = 0; i < count; ++i) {
    const std::string instance = count == 1 ? name : absl::StrCat(name, "-", i);
    info.uuid =
        uuid.empty() ? UuidFromName(absl::StrCat("simulated/", profile.name, "/", instance)) : uuid;
    info.attributes["instance"] = instance;
    for (const DeviceModel& other : profile.devices) {
      if (other.info.uuid == info.uuid) {
        return reader.Error(nullptr, absl::StrCat("a device \"", instance, "\" with the identity ",
                                                  info.uuid, " is there already"));
      }
    }
    profile.devices.push_back(model);
  }
  return absl::OkStatus();
}

absl::Status ReadTop(const toml::table& table, Profile& profile) {
  Reader reader(profile.path, table, "profile");
  HET_RETURN_IF_ERROR(reader.Text("name", profile.name));
  std::string mode = "functional";
  HET_RETURN_IF_ERROR(reader.Text("mode", mode));
  if (mode != "functional" && mode != "timing") {
    return reader.Error(reader.Find("mode"),
                        absl::StrCat("mode \"", mode, "\" is neither functional nor timing"));
  }
  profile.mode = mode == "timing" ? Mode::kTiming : Mode::kFunctional;
  const toml::node* devices = reader.Find("device");
  HET_RETURN_IF_ERROR(reader.Done());
  if (devices == nullptr || !devices->is_array_of_tables()) {
    return reader.Error(devices, "there is no [[device]]");
  }
  for (const toml::node& device : *devices->as_array()) {
    HET_RETURN_IF_ERROR(ReadDevice(*device.as_table(), profile));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t DeviceModel::LaunchNanos(const std::string& kernel, uint32_t units,
                                 const WorkEstimate& work, double speed) const {
  if (const auto it = ops.find(kernel); it != ops.end()) {
    return Nanos(it->second.Millis(std::max(0.0, work.batch)) * 1e-3 * units / speed);
  }
  const double seconds = std::max(std::max(0.0, work.flops) / info.flops_per_s,
                                  std::max(0.0, work.bytes) / info.memory_bytes_per_s);
  return launch_nanos + Nanos(seconds / speed);
}

int64_t DeviceModel::LinkNanos(uint64_t bytes, double slowdown) const {
  return Nanos((static_cast<double>(link_latency_nanos) * 1e-9 +
                static_cast<double>(bytes) / link_bytes_per_s) *
               slowdown);
}

int64_t DeviceModel::MemoryNanos(double bytes, double speed) const {
  return launch_nanos + Nanos(bytes / info.memory_bytes_per_s / speed);
}

absl::StatusOr<Profile> LoadProfile(const std::string& path) {
  HET_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 16 * kMiB));
  std::error_code error;
  Profile profile;
  profile.path = std::filesystem::absolute(path, error).lexically_normal().string();
  if (error) profile.path = path;
  profile.name = std::filesystem::path(path).stem().string();
  try {
    const toml::table table = toml::parse(text, profile.path);
    HET_RETURN_IF_ERROR(ReadTop(table, profile));
  } catch (const toml::parse_error& failure) {
    return absl::InvalidArgumentError(absl::StrCat(profile.path, ":", failure.source().begin.line,
                                                   ": ", std::string(failure.description())));
  }
  return profile;
}

}  // namespace het::simulated
