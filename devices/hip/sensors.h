// Sensors of AMD cards, from the amdgpu driver's files in sysfs: the place from which rocm-smi and
// amd-smi take them, too, and no library is needed. What a card or kernel does not have is absent.
//
// Pure function of the files; thread-safe.
#ifndef HET_DEVICES_HIP_SENSORS_H_
#define HET_DEVICES_HIP_SENSORS_H_

#include <string>

#include "devices/telemetry.h"

namespace het::hip {

// `device`: the card's folder, "/sys/bus/pci/devices/0000:c1:00.0". Its uuid is left empty.
Telemetry ReadSensors(const std::string& device);

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_SENSORS_H_
