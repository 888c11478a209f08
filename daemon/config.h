// Config: hetd.toml, what the operator wrote down.
//
//   [[slice]]            # cut when hetd first sees the device; leased by name
//   name = "gold"
//   device = "6f0c"      # a device's id, its beginning, or a backend that only one device has
//   share = 50           # percent
//   memory = "8GiB"
//   policy = "guaranteed"   # or capped, best_effort
//   priority = "normal"     # or high, batch
//
// Plain data. InvalidArgument names the file, the line and the key.
#ifndef HET_DAEMON_CONFIG_H_
#define HET_DAEMON_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partition/slice.h"

namespace het::daemon {

struct Config {
  std::vector<SliceRequest> slices;  // `device` as it was written
};

absl::StatusOr<Config> ReadConfig(const std::string& path);

}  // namespace het::daemon

#endif  // HET_DAEMON_CONFIG_H_
