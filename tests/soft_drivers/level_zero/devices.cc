// Drivers, devices, contexts and memory.
#include <cstring>
#include <map>
#include <mutex>

#include "tests/soft_drivers/level_zero/state.h"

namespace het::soft::ze {
namespace {

constexpr uint32_t kIntel = 0x8086, kGpuId = 0x0bd5, kNpuId = 0x7d1d;
int the_driver = 0;  // its address is the handle

struct Owners {
  std::mutex mutex;
  std::map<const void*, Context*> contexts;
};
Owners& TheOwners() {
  static Owners* const owners =
      new Owners;  // never destroyed: a program's devices may be closed at exit
  return *owners;
}

Device& Of(ze_device_handle_t handle) { return *reinterpret_cast<Device*>(handle); }
uint32_t TilesOf(const Card& card) {
  return card.tiles.empty() ? 1 : static_cast<uint32_t>(card.tiles.size());
}

ze_result_t DriverGet(uint32_t* count, ze_driver_handle_t* drivers) {
  if (const ze_result_t due = Due("zeDriverGet")) return due;
  if (drivers != nullptr && *count > 0) {
    drivers[0] = reinterpret_cast<ze_driver_handle_t>(&the_driver);
  }
  *count = 1;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ApiVersion(ze_driver_handle_t, ze_api_version_t* version) {
  *version = ZE_API_VERSION_1_4;
  return ZE_RESULT_SUCCESS;
}

ze_result_t DriverProperties(ze_driver_handle_t, ze_driver_properties_t* properties) {
  properties->driverVersion = static_cast<uint32_t>(TheSettings().Number("driver", 1));
  return ZE_RESULT_SUCCESS;
}

ze_result_t DeviceGet(ze_driver_handle_t, uint32_t* count, ze_device_handle_t* devices) {
  if (const ze_result_t due = Due("zeDeviceGet")) return due;
  const std::vector<Card*> cards = Cards();
  if (devices != nullptr) {
    for (size_t i = 0; i < cards.size() && i < *count; ++i) {
      devices[i] = reinterpret_cast<ze_device_handle_t>(&cards[i]->whole);
    }
  }
  *count = static_cast<uint32_t>(cards.size());
  return ZE_RESULT_SUCCESS;
}

ze_result_t SubDevices(ze_device_handle_t device, uint32_t* count, ze_device_handle_t* devices) {
  const Card& card = CardAt(Of(device).card);
  const size_t tiles = Of(device).tile >= 0 ? 0 : card.tiles.size();
  for (size_t i = 0; devices != nullptr && i < tiles && i < *count; ++i) {
    devices[i] = reinterpret_cast<ze_device_handle_t>(card.tiles[i].get());
  }
  *count = static_cast<uint32_t>(tiles);
  return ZE_RESULT_SUCCESS;
}

ze_result_t DeviceProperties(ze_device_handle_t device, ze_device_properties_t* properties) {
  const Device& own = Of(device);
  const Card& card = CardAt(own.card);
  if (const ze_result_t due = Due("zeDeviceGetProperties", own.card);
      due != ZE_RESULT_SUCCESS && due != ZE_RESULT_ERROR_DEVICE_LOST) {
    return due;
  }
  Settings& settings = TheSettings();
  properties->type = card.npu ? ZE_DEVICE_TYPE_VPU : ZE_DEVICE_TYPE_GPU;
  properties->vendorId = kIntel;
  properties->deviceId = card.npu ? kNpuId : kGpuId;
  properties->flags = own.tile >= 0 ? ZE_DEVICE_PROPERTY_FLAG_SUBDEVICE : 0;
  properties->subdeviceId = own.tile >= 0 ? static_cast<uint32_t>(own.tile) : 0;
  properties->coreClockRate = static_cast<uint32_t>(settings.Number("clock", 1000, own.card));
  properties->maxMemAllocSize = TheMemory().size(own.card);
  const uint64_t units = settings.Number("units", 64, own.card);
  properties->numEUsPerSubslice = 1;
  properties->numSubslicesPerSlice = 1;
  properties->numSlices = static_cast<uint32_t>(own.tile >= 0 ? units / TilesOf(card) : units);
  properties->timerResolution = kNanosPerTick;
  properties->timestampValidBits = kTickBits;
  properties->kernelTimestampValidBits = kTickBits;
  const std::string otherwise = card.npu ? "soft Intel NPU (PoCL)" : "soft Intel GPU (PoCL)";
  const std::string name = settings.Text("name", otherwise, own.card);
  snprintf(properties->name, sizeof(properties->name), "%s", name.c_str());
  // One per card, in whatever order cards are listed.
  memset(properties->uuid.id, 0, sizeof(properties->uuid.id));
  memcpy(properties->uuid.id, "softze", 6);
  properties->uuid.id[8] = card.npu ? 2 : 1;
  properties->uuid.id[14] = static_cast<uint8_t>(own.tile + 1);
  properties->uuid.id[15] = static_cast<uint8_t>(settings.Number("serial", own.card + 1, own.card));
  return ZE_RESULT_SUCCESS;
}

ze_result_t PciProperties(ze_device_handle_t device, ze_pci_ext_properties_t* properties) {
  properties->address = {0xfffe, static_cast<uint32_t>(Of(device).card), 0, 0};
  properties->maxSpeed = {4, 16, 32'000'000'000};
  return ZE_RESULT_SUCCESS;
}

ze_result_t MemoryProperties(ze_device_handle_t device, uint32_t* count,
                             ze_device_memory_properties_t* properties) {
  const Card& card = CardAt(Of(device).card);
  if (properties != nullptr && *count > 0) {
    const uint64_t bytes = TheMemory().size(Of(device).card);
    properties[0].totalSize = Of(device).tile >= 0 ? bytes / TilesOf(card) : bytes;
  }
  *count = 1;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ModuleProperties(ze_device_handle_t device, ze_device_module_properties_t* properties) {
  const int card = Of(device).card;
  const bool takes = !CardAt(card).npu && TheSettings().Number("spirv", 1, card) != 0;
  properties->spirvVersionSupported = takes ? ZE_MAKE_VERSION(1, 2) : 0;
  return ZE_RESULT_SUCCESS;
}

ze_result_t QueueGroups(ze_device_handle_t, uint32_t* count,
                        ze_command_queue_group_properties_t* properties) {
  constexpr uint32_t kGroups = 2;
  if (properties != nullptr && *count >= kGroups) {
    properties[0].flags =
        ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COMPUTE | ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COPY;
    properties[0].maxMemoryFillPatternSize = properties[1].maxMemoryFillPatternSize = 1;
    properties[0].numQueues = properties[1].numQueues = 1;
    properties[1].flags = ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COPY;
  }
  *count = kGroups;
  return ZE_RESULT_SUCCESS;
}

ze_result_t DeviceStatus(ze_device_handle_t device) {
  return Due("zeDeviceGetStatus", Of(device).card);
}

ze_result_t CreateContext(ze_driver_handle_t, const ze_context_desc_t*,
                          ze_context_handle_t* context) {
  if (const ze_result_t due = Due("zeContextCreate")) return due;
  *context = reinterpret_cast<ze_context_handle_t>(new Context);
  return ZE_RESULT_SUCCESS;
}

ze_result_t DestroyContext(ze_context_handle_t context) {
  delete reinterpret_cast<Context*>(context);
  return ZE_RESULT_SUCCESS;
}

ze_result_t CanAccessPeer(ze_device_handle_t device, ze_device_handle_t peer, ze_bool_t* can) {
  const int card = Of(device).card, other = Of(peer).card;
  *can = card == other || ReachesCard(card, other);
  return ZE_RESULT_SUCCESS;
}

// Notes the context of memory that was allocated.
void* In(ze_context_handle_t context, void* address) {
  Owners& owners = TheOwners();
  const std::lock_guard lock(owners.mutex);
  if (address != nullptr) owners.contexts[address] = reinterpret_cast<Context*>(context);
  return address;
}

ze_result_t AllocDevice(ze_context_handle_t context, const ze_device_mem_alloc_desc_t*,
                        size_t bytes, size_t, ze_device_handle_t device, void** address) {
  const int card = Of(device).card;
  if (const ze_result_t due = Due("zeMemAllocDevice", card)) return due;
  *address = In(context, TheMemory().Allocate(card, bytes));
  return *address == nullptr ? ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY : ZE_RESULT_SUCCESS;
}

ze_result_t AllocHost(ze_context_handle_t context, const ze_host_mem_alloc_desc_t*, size_t bytes,
                      size_t, void** address) {
  if (const ze_result_t due = Due("zeMemAllocHost")) return due;
  *address = In(context, TheMemory().Allocate(kHostMemory, bytes));
  return *address == nullptr ? ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY : ZE_RESULT_SUCCESS;
}

ze_result_t Free(ze_context_handle_t context, void* address) {
  {
    Owners& owners = TheOwners();
    const std::lock_guard lock(owners.mutex);
    const auto found = owners.contexts.find(address);
    if (found == owners.contexts.end() || found->second != reinterpret_cast<Context*>(context)) {
      return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    }
    owners.contexts.erase(found);
  }
  return TheMemory().Free(address) ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_INVALID_ARGUMENT;
}

}  // namespace

bool ReachesCard(int card, int other) {
  return !CardAt(card).npu && !CardAt(other).npu && TheSettings().Number("peers", 1) != 0;
}

Context* ContextOfMemory(const void* begin) {
  Owners& owners = TheOwners();
  const std::lock_guard lock(owners.mutex);
  const auto found = owners.contexts.find(begin);
  return found == owners.contexts.end() ? nullptr : found->second;
}

void FillDevices(ze_driver_dditable_t& drivers, ze_device_dditable_t& devices,
                 ze_context_dditable_t& contexts, ze_mem_dditable_t& memory) {
  drivers.pfnGet = DriverGet;
  drivers.pfnGetApiVersion = ApiVersion;
  drivers.pfnGetProperties = DriverProperties;
  drivers.pfnGetExtensionFunctionAddress = ExtensionAddress;
  devices.pfnGet = DeviceGet;
  devices.pfnGetSubDevices = SubDevices;
  devices.pfnGetProperties = DeviceProperties;
  devices.pfnPciGetPropertiesExt = PciProperties;
  devices.pfnGetMemoryProperties = MemoryProperties;
  devices.pfnGetModuleProperties = ModuleProperties;
  devices.pfnGetCommandQueueGroupProperties = QueueGroups;
  devices.pfnGetStatus = DeviceStatus;
  devices.pfnCanAccessPeer = CanAccessPeer;
  contexts.pfnCreate = CreateContext;
  contexts.pfnDestroy = DestroyContext;
  memory.pfnAllocDevice = AllocDevice;
  memory.pfnAllocHost = AllocHost;
  memory.pfnFree = Free;
}

}  // namespace het::soft::ze
