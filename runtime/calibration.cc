#include "runtime/calibration.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het::runtime {
namespace {

constexpr int kVersion = 1;  // of the files' layout
constexpr uint64_t kMaxFileBytes = 16 * kMiB;

std::string DefaultDirectory() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && cache[0] == '/') {
    return absl::StrCat(cache, "/het/calibration");
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') {
    return absl::StrCat(home, "/.cache/het/calibration");
  }
  return "";
}

}  // namespace

CalibrationCache::CalibrationCache(std::string directory)
    : directory_(directory.empty() ? DefaultDirectory() : std::move(directory)) {}

Json CalibrationCache::Identity(const DeviceInfo& device, const Slice& slice,
                                const std::string& key) {
  Json identity = {{"version", kVersion},
                   {"vendor", device.vendor},
                   {"name", device.name},
                   {"backend", device.backend},
                   {"driverVersion", device.driver_version},
                   {"sharePercent", slice.share.percent()},
                   {"cores", slice.cores.size()},
                   {"computeUnits", slice.compute_units},
                   {"key", key}};
  // A simulated device is what its profile says.
  if (device.simulated) identity["attributes"] = device.attributes;
  return identity;
}

std::string CalibrationCache::PathOf(const Json& identity) const {
  return absl::StrCat(directory_, "/", UuidFromName(PrintJson(identity)), ".json");
}

std::optional<std::vector<double>> CalibrationCache::Load(const DeviceInfo& device,
                                                          const Slice& slice,
                                                          const std::string& key,
                                                          size_t count) const {
  if (directory_.empty()) return std::nullopt;
  const Json identity = Identity(device, slice, key);
  const absl::StatusOr<std::string> text = ReadFile(PathOf(identity), kMaxFileBytes);
  if (!text.ok()) return std::nullopt;
  const absl::StatusOr<Json> json = ParseJson(*text);
  if (!json.ok() || !json->is_object()) return std::nullopt;
  const auto stored = json->find("identity");
  const auto values = json->find("values");
  if (stored == json->end() || *stored != identity) return std::nullopt;
  if (values == json->end() || !values->is_array() || values->size() != count) return std::nullopt;
  std::vector<double> result;
  for (const Json& value : *values) {
    if (!value.is_number()) return std::nullopt;
    result.push_back(value.get<double>());
  }
  return result;
}

absl::Status CalibrationCache::Store(const DeviceInfo& device, const Slice& slice,
                                     const std::string& key,
                                     absl::Span<const double> values) const {
  if (directory_.empty()) {
    return absl::FailedPreconditionError(
        "nowhere to keep calibrations: neither XDG_CACHE_HOME nor HOME is set");
  }
  for (const double value : values) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError("a calibration holds finite numbers only");
    }
  }
  const Json identity = Identity(device, slice, key);
  const Json json = {{"identity", identity},
                     {"values", std::vector<double>(values.begin(), values.end())}};
  HET_RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  return WriteFileAtomically(PathOf(identity), absl::StrCat(PrintJson(json), "\n"));
}

}  // namespace het::runtime
