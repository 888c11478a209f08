// PciDevices: display controllers and accelerators on the PCI bus, read from sysfs without any
// driver, so that a device whose driver is missing is listed with what it needs.
#ifndef HET_DAEMON_PCI_DEVICES_H_
#define HET_DAEMON_PCI_DEVICES_H_

#include <string>
#include <vector>

#include "devices/device_info.h"

namespace het::daemon {

// State unsupported, with ids, the kernel driver that has it (if any) and a remedy. Emulated and
// service-processor displays are left out: nobody computes on them. An unreadable folder is empty.
std::vector<DeviceInfo> ScanPciDevices(const std::string& folder = "/sys/bus/pci/devices");

// The kernel's compute accelerators that are on no PCI bus (NPUs of a system on chip), or of a PCI
// class that ScanPciDevices does not know; else as above.
std::vector<DeviceInfo> ScanAccelDevices(const std::string& folder = "/sys/class/accel");

}  // namespace het::daemon

#endif  // HET_DAEMON_PCI_DEVICES_H_
