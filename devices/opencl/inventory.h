// Inventory: what OpenCL devices this process sees, as het describes devices. All platforms (ICDs)
// at once.
//
// Identity: the driver's own UUID where it has cl_khr_device_uuid, else UuidFromName of
// "opencl/<platform>/<device name>/<ordinal>", the ordinal counting equal names of one platform.
// Two ICDs for one device are one device here: the same handle (one library named twice), the same
// UUID of the driver, the same place on the bus (cl_khr_pci_bus_info), or processors that the same
// version of the same platform shows twice. The processor under two drivers (PoCL, llvmpipe) stays
// two devices that share hardware. Memory: PoCL's figure follows what the machine had free at
// start; het shows MemTotal instead, cut by POCL_MEMORY_LIMIT (GiB), because its PoCL buffers are
// host memory. Rounded down to 64 MiB.
#ifndef HET_DEVICES_OPENCL_INVENTORY_H_
#define HET_DEVICES_OPENCL_INVENTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device_info.h"
#include "devices/opencl/api.h"

namespace het::opencl {

// One device as the driver tells it: DeviceInfo, and what a DeviceInfo has no field for.
struct Found {
  DeviceInfo info;
  cl_platform_id platform = nullptr;
  cl_device_id id = nullptr;
  bool driver_uuid = false;  // info.uuid is the driver's, not made from names
  std::string pci;           // "0000:c1:00.0"; empty: the driver does not tell
  bool is_cpu = false;
  bool unified_memory = false;
  bool has_compiler = true;
  std::vector<std::string> built_in;  // kernels in the driver
  bool profiles = false;              // event timestamps mean something
  bool partitions_by_counts = false;
  bool has_queue_properties = false;  // OpenCL 2.0: clCreateCommandQueueWithProperties
  uint64_t max_buffer_bytes = 0;
  uint64_t max_group_size = 1;
};

// The devices of every platform. `cores`: the processors that the driver's threads run on. An empty
// result is fine; Internal only when the loader itself fails.
absl::StatusOr<std::vector<Found>> FindDevices(const Api& api, const std::vector<uint32_t>& cores);

// Keeps one of several that are the same device: a usable one before a degraded one, then the
// first.
std::vector<Found> WithoutDuplicates(std::vector<Found> found);

// "NVIDIA", "AMD", "Intel", "Mesa", ...: the vendor as het writes it, from what the driver says.
std::string VendorName(absl::string_view vendor);

// 300 for "OpenCL 3.0 anything"; 0 when it is not of that form.
int VersionNumber(absl::string_view version);

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_INVENTORY_H_
