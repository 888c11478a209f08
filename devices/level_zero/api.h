// Api: the Level Zero entry points of this process, found in the loader (libze_loader.so.1) by
// dlopen; the loader finds the drivers (Intel's GPU and NPU drivers, or $ZE_ENABLE_ALT_DRIVERS).
// het never links the loader and never closes it.
//
// Threads: immutable once loaded. Failures: Unavailable when the loader or a required symbol is
// missing, or zeInit finds no driver (zeDriverGet would crash then).
#ifndef HET_DEVICES_LEVEL_ZERO_API_H_
#define HET_DEVICES_LEVEL_ZERO_API_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/level_zero/abi.h"

namespace het::level_zero {

// X(symbol, arguments): every one returns a Result.
#define HET_ZE_REQUIRED(X)                                                                         \
  X(zeInit, (uint32_t flags))                                                                      \
  X(zeDriverGet, (uint32_t * count, Handle * drivers))                                             \
  X(zeDriverGetApiVersion, (Handle driver, uint32_t * version))                                    \
  X(zeDriverGetProperties, (Handle driver, DriverProperties * properties))                         \
  X(zeDeviceGet, (Handle driver, uint32_t * count, Handle * devices))                              \
  X(zeDeviceGetSubDevices, (Handle device, uint32_t * count, Handle * devices))                    \
  X(zeDeviceGetProperties, (Handle device, DeviceProperties * properties))                         \
  X(zeDeviceGetModuleProperties, (Handle device, ModuleProperties * properties))                   \
  X(zeDeviceGetMemoryProperties, (Handle device, uint32_t * count, MemoryProperties * properties)) \
  X(zeDeviceGetCommandQueueGroupProperties,                                                        \
    (Handle device, uint32_t * count, QueueGroupProperties * properties))                          \
  X(zeDeviceGetStatus, (Handle device))                                                            \
  X(zeContextCreate, (Handle driver, const ContextDesc* desc, Handle* context))                    \
  X(zeContextDestroy, (Handle context))                                                            \
  X(zeCommandListCreateImmediate,                                                                  \
    (Handle context, Handle device, const CommandQueueDesc* desc, Handle* list))                   \
  X(zeCommandListDestroy, (Handle list))                                                           \
  X(zeCommandListAppendBarrier, (Handle list, Handle signal, uint32_t count, Handle * waits))      \
  X(zeCommandListAppendWriteGlobalTimestamp,                                                       \
    (Handle list, uint64_t * to, Handle signal, uint32_t count, Handle * waits))                   \
  X(zeCommandListAppendMemoryCopy, (Handle list, void* to, const void* from, size_t bytes,         \
                                    Handle signal, uint32_t count, Handle* waits))                 \
  X(zeCommandListAppendMemoryFill,                                                                 \
    (Handle list, void* to, const void* pattern, size_t pattern_bytes, size_t bytes,               \
     Handle signal, uint32_t count, Handle* waits))                                                \
  X(zeCommandListAppendWaitOnEvents, (Handle list, uint32_t count, Handle * events))               \
  X(zeCommandListAppendLaunchKernel, (Handle list, Handle kernel, const GroupCount* groups,        \
                                      Handle signal, uint32_t count, Handle* waits))               \
  X(zeEventPoolCreate,                                                                             \
    (Handle context, const EventPoolDesc* desc, uint32_t count, Handle* devices, Handle* pool))    \
  X(zeEventPoolDestroy, (Handle pool))                                                             \
  X(zeEventCreate, (Handle pool, const EventDesc* desc, Handle* event))                            \
  X(zeEventDestroy, (Handle event))                                                                \
  X(zeEventHostSynchronize, (Handle event, uint64_t timeout_ns))                                   \
  X(zeEventQueryStatus, (Handle event))                                                            \
  X(zeEventHostReset, (Handle event))                                                              \
  X(zeMemAllocDevice, (Handle context, const DeviceMemoryDesc* desc, size_t bytes,                 \
                       size_t alignment, Handle device, void** address))                           \
  X(zeMemAllocHost,                                                                                \
    (Handle context, const HostMemoryDesc* desc, size_t bytes, size_t alignment, void** address))  \
  X(zeMemFree, (Handle context, void* address))                                                    \
  X(zeModuleCreate,                                                                                \
    (Handle context, Handle device, const ModuleDesc* desc, Handle* module, Handle* log))          \
  X(zeModuleDestroy, (Handle module))                                                              \
  X(zeModuleBuildLogDestroy, (Handle log))                                                         \
  X(zeModuleBuildLogGetString, (Handle log, size_t * bytes, char* text))                           \
  X(zeKernelCreate, (Handle module, const KernelDesc* desc, Handle* kernel))                       \
  X(zeKernelDestroy, (Handle kernel))                                                              \
  X(zeKernelGetProperties, (Handle kernel, KernelProperties * properties))                         \
  X(zeKernelSetGroupSize, (Handle kernel, uint32_t x, uint32_t y, uint32_t z))                     \
  X(zeKernelSetArgumentValue, (Handle kernel, uint32_t index, size_t bytes, const void* value))

// Newer than 1.0, or of sysman, or the loader's own, or done without.
#define HET_ZE_OPTIONAL(X)                                                                       \
  X(zeDeviceCanAccessPeer, (Handle device, Handle peer, uint8_t * can))                          \
  X(zeDriverGetExtensionFunctionAddress, (Handle driver, const char* name, void** address))      \
  X(zelLoaderTranslateHandle, (uint32_t type, void* handle, void** translated))                  \
  X(zeDevicePciGetPropertiesExt, (Handle device, PciProperties * properties))                    \
  X(zesDeviceEnumPowerDomains, (Handle device, uint32_t * count, Handle * powers))               \
  X(zesPowerGetEnergyCounter, (Handle power, EnergyCounter * counter))                           \
  X(zesPowerGetLimits, (Handle power, PowerSustainedLimit * sustained, void* burst, void* peak)) \
  X(zesDeviceEnumTemperatureSensors, (Handle device, uint32_t * count, Handle * sensors))        \
  X(zesTemperatureGetProperties, (Handle sensor, TemperatureProperties * properties))            \
  X(zesTemperatureGetState, (Handle sensor, double* celsius))                                    \
  X(zesDeviceEnumFrequencyDomains, (Handle device, uint32_t * count, Handle * domains))          \
  X(zesFrequencyGetProperties, (Handle domain, FrequencyProperties * properties))                \
  X(zesFrequencyGetState, (Handle domain, FrequencyState * state))                               \
  X(zesDeviceEnumMemoryModules, (Handle device, uint32_t * count, Handle * modules))             \
  X(zesMemoryGetProperties, (Handle module, SysmanMemoryProperties * properties))                \
  X(zesMemoryGetState, (Handle module, MemoryState * state))                                     \
  X(zesDeviceEnumEngineGroups, (Handle device, uint32_t * count, Handle * engines))              \
  X(zesEngineGetProperties, (Handle engine, EngineProperties * properties))                      \
  X(zesEngineGetActivity, (Handle engine, EngineStats * stats))                                  \
  X(zesDeviceEnumRasErrorSets, (Handle device, uint32_t * count, Handle * sets))                 \
  X(zesRasGetProperties, (Handle set, RasProperties * properties))                               \
  X(zesRasGetState, (Handle set, uint8_t clear, RasState * state))                               \
  X(zesDeviceGetState, (Handle device, SysmanDeviceState * state))

struct Api {
#define HET_ZE_MEMBER(name, arguments) Result(*name) arguments = nullptr;
  HET_ZE_REQUIRED(HET_ZE_MEMBER)
  HET_ZE_OPTIONAL(HET_ZE_MEMBER)
#undef HET_ZE_MEMBER
};

// The entry points of compiled graphs; null where the driver has none.
const GraphTable* GraphTableOf(const Api& api, Handle driver);

// The driver's own handle behind the loader's: what an extension's entry points take.
Handle DriversOwn(const Api& api, uint32_t type, Handle handle);

// Opens the loader and calls zeInit on the first call, and gives the same table ever after. Sets
// ZES_ENABLE_SYSMAN unless it is set. Thread-safe.
absl::StatusOr<const Api*> LoadApi();

// "ZE_RESULT_ERROR_DEVICE_LOST", or the number.
std::string ResultName(uint32_t result);
// "<what>: <name>" with the canonical code; OK for success.
absl::Status ResultStatus(uint32_t result, absl::string_view what);

#define HET_ZE_RETURN_IF_ERROR(call, what)                                       \
  do {                                                                           \
    if (const uint32_t het_ze_ = (call); het_ze_ != ::het::level_zero::kSuccess) \
      return ::het::level_zero::ResultStatus(het_ze_, what);                     \
  } while (false)

// The same for functions that give the driver's number.
#define HET_ZE_TRY(call)                                                                      \
  do {                                                                                        \
    if (const uint32_t het_ze_ = (call); het_ze_ != ::het::level_zero::kSuccess) [[unlikely]] \
      return static_cast<int>(het_ze_);                                                       \
  } while (false)

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_API_H_
