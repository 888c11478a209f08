// Config: hetd.toml, what the operator wrote down. Everything may be left out.
//
//   [[slice]]            # cut when hetd first sees the device; leased by name
//   name = "gold"
//   device = "6f0c"      # a device's id, its beginning, or a backend that only one device has
//   share = 50           # percent
//   memory = "8GiB"
//   policy = "guaranteed"   # or capped, best_effort
//   priority = "normal"     # or high, batch
//
//   [limits]             # of users who are no administrators, but for the first
//   connections = 4096   # of all users together
//   connections_per_user = 1024
//   leases_per_user = 2048
//   waiting_per_user = 64              # requests in the waiting line
//   requests_per_second_per_user = 2000
//
//   [security]
//   isolation = "driver"  # what must keep slices of two users apart when a request does not say:
//                         # hardware, driver or cooperative
//
//   [health]
//   interval = "3s"       # between two looks at devices that can be lost; "0s": none
//
// Plain data. InvalidArgument names the file, the line, the column and the key; then nothing of the
// file is used.
#ifndef HET_DAEMON_CONFIG_H_
#define HET_DAEMON_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/server.h"
#include "partition/slice.h"

namespace het::daemon {

struct Config {
  std::vector<SliceRequest> slices;  // `device` as it was written
  struct Limits {
    Server::Limits server;
    size_t leases_per_user = 2048;
    size_t waiting_per_user = 64;
  } limits;
  Isolation isolation_at_least = Isolation::kDriver;
  int64_t health_interval_ms = 3000;
};

absl::StatusOr<Config> ReadConfig(const std::string& path);

}  // namespace het::daemon

#endif  // HET_DAEMON_CONFIG_H_
