// DeviceInfo: what is known of one device without opening it. Plain data; hetd gets it from a probe
// as JSON.
#ifndef HET_DEVICES_DEVICE_INFO_H_
#define HET_DEVICES_DEVICE_INFO_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace het {

enum class DeviceKind { kCpu, kGpu, kNpu, kAccelerator };
// kOk: usable. kDegraded: seen, not usable now (`reason`). kUnsupported: seen on a bus, no driver
// het can use (`remedy`). kRemoved: was there, and its driver, which is well, does not report it
// any more.
enum class DeviceState { kOk, kDegraded, kUnsupported, kRemoved };

struct DeviceInfo {
  std::string uuid;     // stable across reboots and reorderings
  std::string vendor;   // "AMD", "NVIDIA", "Intel", "Mesa", ...
  std::string name;     // the model, as the vendor writes it
  std::string backend;  // the Driver that opens it: "cpu", "opencl", "simulated"
  std::string driver_version;
  DeviceKind kind = DeviceKind::kAccelerator;
  DeviceState state = DeviceState::kOk;
  std::string reason;  // why the state is not kOk
  std::string remedy;  // what the operator can do about it
  bool simulated = false;
  uint64_t memory_bytes = 0;  // what slices may be cut from
  uint32_t compute_units =
      0;  // the native unit a share is rounded to where it is held by the driver
  uint32_t numa_node = 0;
  // Host logical processors (OS indices) whose silicon this device is. Empty for anything but
  // CPU-type devices.
  std::vector<uint32_t> cores;
  // UUIDs of devices that are the same silicon under another name (an OpenCL device of type CPU and
  // the cpu device). Their shares are granted from one pool.
  std::vector<std::string> shares_hardware_with;
  bool can_sub_divide = false;    // driver-level partition (OpenCL sub-devices, cpuset)
  double memory_bytes_per_s = 0;  // measured read bandwidth of the whole device; 0 = not measured
  double flops_per_s = 0;  // measured f32 multiply-add peak of the whole device; 0 = not measured
  // What the backend needs to find it again in another process ("profile" for simulated), and
  // extras worth showing.
  std::map<std::string, std::string> attributes;
};

absl::string_view DeviceKindName(DeviceKind kind);
absl::string_view DeviceStateName(DeviceState state);

// The wire form, camelCase:
// {"id","vendor","name","backend","driverVersion","kind","state","reason","remedy","simulated",
// "memoryBytes","computeUnits","numaNode","cores","sharesHardwareWith","canSubDivide","memoryBytesPerSecond",
// "flopsPerSecond","attributes"}. Empty optional fields are left out.
Json ToJson(const DeviceInfo& info);
absl::StatusOr<DeviceInfo> DeviceInfoFromJson(const Json& json);

}  // namespace het

#endif  // HET_DEVICES_DEVICE_INFO_H_
