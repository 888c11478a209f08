// Settings: what the environment says about the slice that this program runs in. `hetctl run` sets
// it, children inherit it. Plain data; ParseSettings is pure but for the lookups it is given.
//
//   HET_LEASE, HET_SOCKET  the lease, and hetd's socket to attach to it through
//   HET_SEAT_SOCKET        a Unix socket where whoever owns the arbiter gives every process that
//                          connects a seat (partition/grant_channel.h)
//   HET_SEAT_FDS           one seat, for this process alone, as inherited descriptors:
//                          "control=5,region=6,slot=3,epoch=1,lease=0,index=0" (index: the
//                          region's)
//   HET_DEVICE             the leased device: its UUID in het, or a part of "<platform>/<name>"
//                          that only one device has
//   HET_COMPUTE_UNITS      compute units the program is told; without it those of the device
//   HET_SUB_DEVICE         "<first>+<count>": the program gets these units alone, as a sub-device
//   HET_ARBITRATE          0: no turns, because the sub-device already keeps tenants apart (OpenCL)
//   HET_CUDA_VISIBLE       the leased device as CUDA_VISIBLE_DEVICES has it ("GPU-...", "MIG-...")
//   HET_CUDA_DRIVER, HET_NVML_DRIVER   full paths of NVIDIA's libraries behind the shadows; read by
//                          those (interpose/forwarder.h), as HET_CUDA_VISIBLE is
//   HET_TURN_US            microseconds of work, as estimated, that share one turn (500)
//
// Failures: InvalidArgument names the variable, its value and the form it should have.
#ifndef HET_INTERPOSE_SETTINGS_H_
#define HET_INTERPOSE_SETTINGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace het::interpose {

struct UnitRange {
  uint32_t first = 0;
  uint32_t count = 0;
};

struct Settings {
  std::string lease;
  std::string socket;
  std::string seat_socket;
  std::string seat_fds;
  std::string device;
  uint32_t compute_units = 0;
  std::optional<UnitRange> sub_device;
  bool arbitrate = true;
  uint32_t turn_us = 500;

  // Whether the program is to run in a slice at all.
  bool in_slice() const { return !lease.empty() || !seat_socket.empty() || !seat_fds.empty(); }
};

using Environment = std::function<const char*(const char* name)>;
absl::StatusOr<Settings> ParseSettings(const Environment& environment);

}  // namespace het::interpose

#endif  // HET_INTERPOSE_SETTINGS_H_
