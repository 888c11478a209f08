// Our declarations against the vendor's headers, where those are installed. Compiling is the test.
#include "devices/level_zero/abi.h"

#include <gtest/gtest.h>
#include <level_zero/ze_api.h>
#include <level_zero/zes_api.h>

namespace het::level_zero {
namespace {

#define SAME_SIZE(ours, theirs) static_assert(sizeof(ours) == sizeof(theirs))
#define SAME_PLACE(ours, member, theirs, their_member)                      \
  static_assert(offsetof(ours, member) == offsetof(theirs, their_member) && \
                sizeof(ours::member) == sizeof(theirs::their_member))
#define SAME_VALUE(ours, theirs) \
  static_assert(static_cast<uint32_t>(ours) == static_cast<uint32_t>(theirs))

SAME_VALUE(kNotReady, ZE_RESULT_NOT_READY);
SAME_VALUE(kDeviceLost, ZE_RESULT_ERROR_DEVICE_LOST);
SAME_VALUE(kOutOfHostMemory, ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
SAME_VALUE(kOutOfDeviceMemory, ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY);
SAME_VALUE(kModuleBuildFailure, ZE_RESULT_ERROR_MODULE_BUILD_FAILURE);
SAME_VALUE(kModuleLinkFailure, ZE_RESULT_ERROR_MODULE_LINK_FAILURE);
SAME_VALUE(kDeviceRequiresReset, ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET);
SAME_VALUE(kInsufficientPermissions, ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS);
SAME_VALUE(kNotAvailable, ZE_RESULT_ERROR_NOT_AVAILABLE);
SAME_VALUE(kDependencyUnavailable, ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE);
SAME_VALUE(kUninitialized, ZE_RESULT_ERROR_UNINITIALIZED);
SAME_VALUE(kUnsupportedVersion, ZE_RESULT_ERROR_UNSUPPORTED_VERSION);
SAME_VALUE(kUnsupportedFeature, ZE_RESULT_ERROR_UNSUPPORTED_FEATURE);
SAME_VALUE(kInvalidArgument, ZE_RESULT_ERROR_INVALID_ARGUMENT);
SAME_VALUE(kInvalidNullHandle, ZE_RESULT_ERROR_INVALID_NULL_HANDLE);
SAME_VALUE(kInvalidNullPointer, ZE_RESULT_ERROR_INVALID_NULL_POINTER);
SAME_VALUE(kInvalidSize, ZE_RESULT_ERROR_INVALID_SIZE);
SAME_VALUE(kUnsupportedSize, ZE_RESULT_ERROR_UNSUPPORTED_SIZE);
SAME_VALUE(kInvalidNativeBinary, ZE_RESULT_ERROR_INVALID_NATIVE_BINARY);
SAME_VALUE(kInvalidKernelName, ZE_RESULT_ERROR_INVALID_KERNEL_NAME);
SAME_VALUE(kInvalidGroupSize, ZE_RESULT_ERROR_INVALID_GROUP_SIZE_DIMENSION);
SAME_VALUE(kInvalidKernelArgumentIndex, ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_INDEX);
SAME_VALUE(kInvalidKernelArgumentSize, ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_SIZE);
SAME_VALUE(kUnknown, ZE_RESULT_ERROR_UNKNOWN);

SAME_VALUE(kDriverProperties, ZE_STRUCTURE_TYPE_DRIVER_PROPERTIES);
SAME_VALUE(kDeviceProperties, ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES);
SAME_VALUE(kQueueGroupProperties, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_GROUP_PROPERTIES);
SAME_VALUE(kMemoryProperties, ZE_STRUCTURE_TYPE_DEVICE_MEMORY_PROPERTIES);
SAME_VALUE(kContextDesc, ZE_STRUCTURE_TYPE_CONTEXT_DESC);
SAME_VALUE(kCommandQueueDesc, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC);
SAME_VALUE(kEventPoolDesc, ZE_STRUCTURE_TYPE_EVENT_POOL_DESC);
SAME_VALUE(kEventDesc, ZE_STRUCTURE_TYPE_EVENT_DESC);
SAME_VALUE(kDeviceMemoryDesc, ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC);
SAME_VALUE(kHostMemoryDesc, ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC);
SAME_VALUE(kModuleDesc, ZE_STRUCTURE_TYPE_MODULE_DESC);
SAME_VALUE(kKernelDesc, ZE_STRUCTURE_TYPE_KERNEL_DESC);
SAME_VALUE(kKernelProperties, ZE_STRUCTURE_TYPE_KERNEL_PROPERTIES);
SAME_VALUE(kPciProperties, ZE_STRUCTURE_TYPE_PCI_EXT_PROPERTIES);
SAME_VALUE(kTypeGpu, ZE_DEVICE_TYPE_GPU);
SAME_VALUE(kTypeVpu, ZE_DEVICE_TYPE_VPU);
SAME_VALUE(kDeviceIntegrated, ZE_DEVICE_PROPERTY_FLAG_INTEGRATED);
SAME_VALUE(kQueueComputes, ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COMPUTE);
SAME_VALUE(kQueueCopies, ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COPY);
SAME_VALUE(kPoolHostVisible, ZE_EVENT_POOL_FLAG_HOST_VISIBLE);
SAME_VALUE(kScopeHost, ZE_EVENT_SCOPE_FLAG_HOST);
SAME_VALUE(kModeAsynchronous, ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS);
SAME_VALUE(kFormatSpirv, ZE_MODULE_FORMAT_IL_SPIRV);

SAME_SIZE(DriverProperties, ze_driver_properties_t);
SAME_PLACE(DriverProperties, version, ze_driver_properties_t, driverVersion);
SAME_SIZE(DeviceProperties, ze_device_properties_t);
SAME_PLACE(DeviceProperties, flags, ze_device_properties_t, flags);
SAME_PLACE(DeviceProperties, max_allocation, ze_device_properties_t, maxMemAllocSize);
SAME_PLACE(DeviceProperties, eus_per_subslice, ze_device_properties_t, numEUsPerSubslice);
SAME_PLACE(DeviceProperties, slices, ze_device_properties_t, numSlices);
SAME_PLACE(DeviceProperties, timer_resolution, ze_device_properties_t, timerResolution);
SAME_PLACE(DeviceProperties, timestamp_bits, ze_device_properties_t, timestampValidBits);
SAME_PLACE(DeviceProperties, uuid, ze_device_properties_t, uuid);
SAME_PLACE(DeviceProperties, name, ze_device_properties_t, name);
SAME_SIZE(ModuleProperties, ze_device_module_properties_t);
SAME_PLACE(ModuleProperties, spirv_version, ze_device_module_properties_t, spirvVersionSupported);
SAME_PLACE(ModuleProperties, native_uuid, ze_device_module_properties_t, nativeKernelSupported);
SAME_VALUE(kModuleProperties, ZE_STRUCTURE_TYPE_DEVICE_MODULE_PROPERTIES);
SAME_SIZE(MemoryProperties, ze_device_memory_properties_t);
SAME_PLACE(MemoryProperties, total, ze_device_memory_properties_t, totalSize);
SAME_SIZE(QueueGroupProperties, ze_command_queue_group_properties_t);
SAME_PLACE(QueueGroupProperties, queues, ze_command_queue_group_properties_t, numQueues);
SAME_SIZE(PciProperties, ze_pci_ext_properties_t);
SAME_PLACE(PciProperties, max_bandwidth, ze_pci_ext_properties_t, maxSpeed.maxBandwidth);
SAME_SIZE(ContextDesc, ze_context_desc_t);
SAME_SIZE(CommandQueueDesc, ze_command_queue_desc_t);
SAME_PLACE(CommandQueueDesc, mode, ze_command_queue_desc_t, mode);
SAME_SIZE(EventPoolDesc, ze_event_pool_desc_t);
SAME_PLACE(EventPoolDesc, count, ze_event_pool_desc_t, count);
SAME_SIZE(EventDesc, ze_event_desc_t);
SAME_PLACE(EventDesc, wait, ze_event_desc_t, wait);
SAME_SIZE(DeviceMemoryDesc, ze_device_mem_alloc_desc_t);
SAME_SIZE(HostMemoryDesc, ze_host_mem_alloc_desc_t);
SAME_SIZE(ModuleDesc, ze_module_desc_t);
SAME_PLACE(ModuleDesc, image, ze_module_desc_t, pInputModule);
SAME_PLACE(ModuleDesc, constants, ze_module_desc_t, pConstants);
SAME_SIZE(KernelDesc, ze_kernel_desc_t);
SAME_PLACE(KernelDesc, name, ze_kernel_desc_t, pKernelName);
SAME_SIZE(KernelProperties, ze_kernel_properties_t);
SAME_PLACE(KernelProperties, arguments, ze_kernel_properties_t, numKernelArgs);
SAME_SIZE(GroupCount, ze_group_count_t);

SAME_VALUE(kSysmanEngineProperties, ZES_STRUCTURE_TYPE_ENGINE_PROPERTIES);
SAME_VALUE(kSysmanFrequencyProperties, ZES_STRUCTURE_TYPE_FREQ_PROPERTIES);
SAME_VALUE(kSysmanMemoryProperties, ZES_STRUCTURE_TYPE_MEM_PROPERTIES);
SAME_VALUE(kSysmanRasProperties, ZES_STRUCTURE_TYPE_RAS_PROPERTIES);
SAME_VALUE(kSysmanTemperatureProperties, ZES_STRUCTURE_TYPE_TEMP_PROPERTIES);
SAME_VALUE(kSysmanDeviceState, ZES_STRUCTURE_TYPE_DEVICE_STATE);
SAME_VALUE(kSysmanFrequencyState, ZES_STRUCTURE_TYPE_FREQ_STATE);
SAME_VALUE(kSysmanMemoryState, ZES_STRUCTURE_TYPE_MEM_STATE);
SAME_VALUE(kSysmanRasState, ZES_STRUCTURE_TYPE_RAS_STATE);
SAME_VALUE(kEngineAll, ZES_ENGINE_GROUP_ALL);
SAME_VALUE(kFrequencyGpu, ZES_FREQ_DOMAIN_GPU);
SAME_VALUE(kFrequencyMemory, ZES_FREQ_DOMAIN_MEMORY);
SAME_VALUE(kTemperatureGpu, ZES_TEMP_SENSORS_GPU);
SAME_VALUE(kRasUncorrected, ZES_RAS_ERROR_TYPE_UNCORRECTABLE);
SAME_VALUE(kMemoryOnDevice, ZES_MEM_LOC_DEVICE);
SAME_VALUE(kResetWedged, ZES_RESET_REASON_FLAG_WEDGED);
SAME_VALUE(kThrottleAveragePower, ZES_FREQ_THROTTLE_REASON_FLAG_AVE_PWR_CAP);
SAME_VALUE(kThrottleBurstPower, ZES_FREQ_THROTTLE_REASON_FLAG_BURST_PWR_CAP);
SAME_VALUE(kThrottleCurrent, ZES_FREQ_THROTTLE_REASON_FLAG_CURRENT_LIMIT);
SAME_VALUE(kThrottleThermal, ZES_FREQ_THROTTLE_REASON_FLAG_THERMAL_LIMIT);
SAME_VALUE(kThrottlePsu, ZES_FREQ_THROTTLE_REASON_FLAG_PSU_ALERT);

SAME_SIZE(EnergyCounter, zes_power_energy_counter_t);
SAME_SIZE(PowerSustainedLimit, zes_power_sustained_limit_t);
SAME_PLACE(PowerSustainedLimit, milliwatts, zes_power_sustained_limit_t, power);
SAME_SIZE(EngineProperties, zes_engine_properties_t);
SAME_SIZE(EngineStats, zes_engine_stats_t);
SAME_SIZE(TemperatureProperties, zes_temp_properties_t);
SAME_PLACE(TemperatureProperties, max_celsius, zes_temp_properties_t, maxTemperature);
SAME_SIZE(FrequencyProperties, zes_freq_properties_t);
SAME_PLACE(FrequencyProperties, max_mhz, zes_freq_properties_t, max);
SAME_SIZE(FrequencyState, zes_freq_state_t);
SAME_PLACE(FrequencyState, actual_mhz, zes_freq_state_t, actual);
SAME_PLACE(FrequencyState, throttle, zes_freq_state_t, throttleReasons);
SAME_SIZE(SysmanMemoryProperties, zes_mem_properties_t);
SAME_PLACE(SysmanMemoryProperties, location, zes_mem_properties_t, location);
SAME_SIZE(MemoryState, zes_mem_state_t);
SAME_PLACE(MemoryState, free_bytes, zes_mem_state_t, free);
SAME_SIZE(RasProperties, zes_ras_properties_t);
SAME_SIZE(RasState, zes_ras_state_t);
SAME_SIZE(SysmanDeviceState, zes_device_state_t);
SAME_PLACE(SysmanDeviceState, reset, zes_device_state_t, reset);

TEST(LevelZeroAbi, IsThatOfTheInstalledHeaders) { SUCCEED() << "checked by the compiler"; }

}  // namespace
}  // namespace het::level_zero
