// YardstickSource: the portable kernels that het-probe measures devices with (measure_device.h): a
// sum over memory, and a chain of multiply-adds.
#ifndef HET_TOOLS_PROBE_YARDSTICK_H_
#define HET_TOOLS_PROBE_YARDSTICK_H_

#include <string>

namespace het::probe {

std::string YardstickSource();

}  // namespace het::probe

#endif  // HET_TOOLS_PROBE_YARDSTICK_H_
