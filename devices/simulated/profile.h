// Profile: a file of made-up devices, in TOML. One table per device, or per set of equal devices:
//
//   name = "pair"                  # default: the file's name; part of the devices' identities
//   mode = "timing"                # or "functional" (default)
//
//   [[device]]
//   name = "a100"                  # required; with count, "a100-0", "a100-1", ...
//   count = 2                      # default 1
//   vendor = "NVIDIA"              # required; shown as "NVIDIA (simulated)"
//   model = "A100-PCIE-40GB"       # default: name; shown as "A100-PCIE-40GB (simulated)"
//   uuid = "..."                   # default: derived from the profile's and the device's name
//   kind = "gpu"                   # cpu, gpu, npu, accelerator (default gpu)
//   memory = "40GiB"               # required
//   compute_units = 108            # required
//   numa_node = 0
//   memory_gb_per_s = 1555         # required, 10^9 bytes
//   f32_tflops = 19.5              # required
//   launch_us = 5                  # default 5
//   link_latency_us = 10           # to the host, default 10
//   link_gb_per_s = 24             # each way, default 12
//
//   [device.op.prefill]            # launches of the kernel of that name take this, and nothing
//   else batch = [0, 250, 500]          # WorkEstimate::batch ms = [0.0, 2.0, 4.0]           # of
//   one unit; groups[0] of the launch says how many units csv = "a100/prompt.csv"        # instead
//   of batch and ms: rows "batch,ms"; looked for beside
//                                  # this file, then in $HET_DATA_DIR
//   [device.fault]                 # see faults.h
//   lose_after_ops = 100           # hang_after_ops, lose_at_ms, out_of_memory_after = "1GiB",
//                                  # link_slowdown = 4.0
//
// A key that is not known is an error, and every error says file:line. Plain data.
#ifndef HET_DEVICES_SIMULATED_PROFILE_H_
#define HET_DEVICES_SIMULATED_PROFILE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device_info.h"
#include "devices/queue.h"
#include "devices/simulated/faults.h"
#include "devices/simulated/op_table.h"

namespace het::simulated {

enum class Mode { kFunctional, kTiming };

struct DeviceModel {
  DeviceInfo info;
  int64_t launch_nanos = 0;
  int64_t link_latency_nanos = 0;
  double link_bytes_per_s = 0;
  std::map<std::string, OpTable> ops;  // by kernel name
  Faults faults;

  // What one launch takes on a part `speed` (0..1] of the device. With an op table for the kernel:
  // ms(batch) * units; else launch overhead + the longer of flops and bytes at the device's rates.
  // Estimates below 0 count as 0.
  int64_t LaunchNanos(const std::string& kernel, uint32_t units, const WorkEstimate& work,
                      double speed) const;
  // Over the link, either way.
  int64_t LinkNanos(uint64_t bytes, double slowdown) const;
  // `bytes` read or written in the device's own memory.
  int64_t MemoryNanos(double bytes, double speed) const;
};

struct Profile {
  std::string name;
  std::string path;  // absolute
  Mode mode = Mode::kFunctional;
  std::vector<DeviceModel> devices;
};

// NotFound (and the like) when the file cannot be read, InvalidArgument when it is wrong.
absl::StatusOr<Profile> LoadProfile(const std::string& path);

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_PROFILE_H_
