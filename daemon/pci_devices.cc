#include "daemon/pci_devices.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/uuid.h"

namespace het::daemon {
namespace {

struct Vendor {
  uint32_t id;
  const char* name;
  const char* remedy;
};

constexpr std::array<Vendor, 6> kVendors = {{
    {0x10de, "NVIDIA",
     "install NVIDIA's driver and its run-time compiler (NVRTC); hetctl doctor says more"},
    {0x1002, "AMD", "install ROCm's HIP runtime, or an OpenCL driver; hetctl doctor says more"},
    {0x8086, "Intel",
     "install libze1 and Intel's Level Zero driver (GPU: intel-level-zero-gpu, NPU: "
     "intel-level-zero-npu); hetctl doctor says more"},
    {0x1da3, "Habana", "het has no backend for it yet"},
    {0x1d0f, "Amazon", "het has no backend for it yet"},
    {0x1e52, "Tenstorrent", "het has no backend for it yet"},
}};

constexpr uint32_t kDisplayClass = 0x03;
constexpr uint32_t kAcceleratorClass = 0x12;

std::optional<uint32_t> ReadHex(const std::string& path) {
  const auto text = ReadFile(path, 4096);
  uint32_t value = 0;
  if (!text.ok() || !absl::SimpleHexAtoi(absl::StripAsciiWhitespace(*text), &value)) {
    return std::nullopt;
  }
  return value;
}

std::string KernelDriver(const std::string& device_folder) {
  char target[4096];
  const ssize_t size = readlink((device_folder + "/driver").c_str(), target, sizeof(target));
  if (size <= 0) return "";
  const absl::string_view path(target, static_cast<size_t>(size));
  return std::string(path.substr(path.rfind('/') + 1));
}

std::optional<DeviceInfo> Describe(const std::string& folder, const std::string& address,
                                   bool any_class = false) {
  const std::string path = absl::StrCat(folder, "/", address);
  const auto pci_class = ReadHex(path + "/class");
  const auto vendor_id = ReadHex(path + "/vendor");
  const auto device_id = ReadHex(path + "/device");
  if (!pci_class || !vendor_id || !device_id) return std::nullopt;
  const uint32_t base_class = *pci_class >> 16;
  if (!any_class && base_class != kDisplayClass && base_class != kAcceleratorClass) {
    return std::nullopt;
  }
  const auto vendor = std::find_if(kVendors.begin(), kVendors.end(),
                                   [&](const Vendor& v) { return v.id == *vendor_id; });
  if (vendor == kVendors.end() && base_class == kDisplayClass) return std::nullopt;

  const std::string ids = absl::StrFormat("%04x:%04x", *vendor_id, *device_id);
  const std::string driver = KernelDriver(path);
  DeviceInfo info;
  info.uuid = UuidFromName(absl::StrCat("pci/", address, "/", ids));
  info.vendor = vendor == kVendors.end() ? absl::StrFormat("%04x", *vendor_id) : vendor->name;
  info.name =
      absl::StrCat(base_class == kDisplayClass ? "display controller " : "accelerator ", ids);
  info.backend = "pci";
  info.kind = base_class == kDisplayClass ? DeviceKind::kGpu : DeviceKind::kNpu;
  info.state = DeviceState::kUnsupported;
  info.reason = absl::StrCat("on the PCI bus at ", address, ", kernel driver ",
                             driver.empty() ? "none" : driver, "; no backend of het sees it");
  info.remedy = vendor == kVendors.end() ? "het has no backend for it yet" : vendor->remedy;
  info.attributes = {{"pciAddress", address}, {"pciId", ids}};
  if (!driver.empty()) info.attributes["kernelDriver"] = driver;
  return info;
}

// An accelerator that is no PCI device: known by its place in the device tree.
DeviceInfo DescribePlatform(const std::string& name, const std::string& place,
                            const std::string& driver) {
  DeviceInfo info;
  info.uuid = UuidFromName(absl::StrCat("accel/", place));
  info.vendor = "unknown";
  info.name = absl::StrCat("accelerator ", place.substr(place.rfind('/') + 1));
  info.backend = "accel";
  info.kind = DeviceKind::kNpu;
  info.state = DeviceState::kUnsupported;
  info.reason = absl::StrCat("/dev/accel/", name, ", kernel driver ",
                             driver.empty() ? "none" : driver, "; no backend of het sees it");
  info.remedy = "het has no backend for it yet";
  info.attributes = {{"accelNode", name}};
  if (!driver.empty()) info.attributes["kernelDriver"] = driver;
  return info;
}

DeviceInfo DescribeAccel(const std::string& folder, const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name, "/device");
  std::error_code error;
  const std::string place = std::filesystem::canonical(path, error).string();
  const std::string address = place.substr(place.rfind('/') + 1);
  // A PCI device has ids; the class of a device with an accelerator's node does not matter.
  if (auto info = Describe(place.substr(0, place.rfind('/')), address, /*any_class=*/true)) {
    info->attributes["accelNode"] = name;
    return *std::move(info);
  }
  return DescribePlatform(name, error ? name : place, KernelDriver(path));
}

}  // namespace

std::vector<DeviceInfo> ScanAccelDevices(const std::string& folder) {
  std::vector<DeviceInfo> devices;
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return devices;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') devices.push_back(DescribeAccel(folder, entry->d_name));
  }
  closedir(directory);
  std::sort(devices.begin(), devices.end(), [](const DeviceInfo& a, const DeviceInfo& b) {
    return a.attributes.at("accelNode") < b.attributes.at("accelNode");
  });
  return devices;
}

std::vector<DeviceInfo> ScanPciDevices(const std::string& folder) {
  std::vector<DeviceInfo> devices;
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return devices;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    if (auto device = Describe(folder, entry->d_name)) devices.push_back(*std::move(device));
  }
  closedir(directory);
  std::sort(devices.begin(), devices.end(), [](const DeviceInfo& a, const DeviceInfo& b) {
    return a.attributes.at("pciAddress") < b.attributes.at("pciAddress");
  });
  return devices;
}

}  // namespace het::daemon
