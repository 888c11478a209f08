// MeasureDevice: fills a device's memory_bytes_per_s and flops_per_s, in a few hundred
// milliseconds. The host's processors are measured by native code; every other device by two
// portable kernels (a sum over memory, a chain of multiply-adds) on its own queue. The figures are
// yardsticks for a first plan; an engine calibrates its own kernels.
#ifndef HET_TOOLS_PROBE_MEASURE_DEVICE_H_
#define HET_TOOLS_PROBE_MEASURE_DEVICE_H_

#include "absl/status/status.h"
#include "devices/device_info.h"
#include "devices/driver.h"

namespace het::probe {

// Unimplemented for a device that can run neither form; `info` is then unchanged. Devices that
// bring their figures (simulated) are left as they are.
absl::Status MeasureDevice(Driver& driver, DeviceInfo& info);

}  // namespace het::probe

#endif  // HET_TOOLS_PROBE_MEASURE_DEVICE_H_
