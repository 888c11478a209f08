// CalibrationCache: measured costs that outlive the process, one small JSON file per (device model,
// driver version, backend, slice, key) in one directory. A file that cannot be read or does not
// match counts as not there; a value that is in the way is replaced.
//
// Threads and processes: safe; files are replaced atomically. Failures: what the file system says,
// from Store only.
#ifndef HET_RUNTIME_CALIBRATION_H_
#define HET_RUNTIME_CALIBRATION_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/json.h"
#include "devices/device_info.h"
#include "partition/slice.h"

namespace het::runtime {

class CalibrationCache {
 public:
  // `directory` empty: $XDG_CACHE_HOME/het/calibration, else ~/.cache/het/calibration.
  explicit CalibrationCache(std::string directory = "");

  // The stored values when there are exactly `count`.
  std::optional<std::vector<double>> Load(const DeviceInfo& device, const Slice& slice,
                                          const std::string& key, size_t count) const;
  absl::Status Store(const DeviceInfo& device, const Slice& slice, const std::string& key,
                     absl::Span<const double> values) const;

 private:
  // What the values depend on. Two slices of equal size on devices of one model have equal costs;
  // the cores' numbers do not matter, how many there are does.
  static Json Identity(const DeviceInfo& device, const Slice& slice, const std::string& key);
  std::string PathOf(const Json& identity) const;

  const std::string directory_;  // empty: nowhere to keep anything
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_CALIBRATION_H_
