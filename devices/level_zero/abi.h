// The part of Level Zero's binary interface that het uses, in our own words, so that nothing of an
// SDK is needed to build. Names, values and layouts are those of ze_api.h and zes_api.h 1.4
// (abi_test.cc compares them where the headers are installed). Handles are all void*.
#ifndef HET_DEVICES_LEVEL_ZERO_ABI_H_
#define HET_DEVICES_LEVEL_ZERO_ABI_H_

#include <cstddef>
#include <cstdint>

namespace het::level_zero {

using Handle = void*;

// ze_result_t, which is an unsigned enum; here as the int that streams::Gpu passes on.
enum Result : uint32_t {
  kSuccess = 0,
  kNotReady = 1,
  kDeviceLost = 0x70000001,
  kOutOfHostMemory = 0x70000002,
  kOutOfDeviceMemory = 0x70000003,
  kModuleBuildFailure = 0x70000004,
  kModuleLinkFailure = 0x70000005,
  kDeviceRequiresReset = 0x70000006,
  kInsufficientPermissions = 0x70010000,
  kNotAvailable = 0x70010001,
  kDependencyUnavailable = 0x70020000,
  kUninitialized = 0x78000001,
  kUnsupportedVersion = 0x78000002,
  kUnsupportedFeature = 0x78000003,
  kInvalidArgument = 0x78000004,
  kInvalidNullHandle = 0x78000005,
  kInvalidNullPointer = 0x78000007,
  kInvalidSize = 0x78000008,
  kUnsupportedSize = 0x78000009,
  kInvalidNativeBinary = 0x7800000f,
  kInvalidKernelName = 0x78000011,
  kInvalidGroupSize = 0x78000013,
  kInvalidKernelArgumentIndex = 0x78000015,
  kInvalidKernelArgumentSize = 0x78000016,
  kUnknown = 0x7ffffffe,
};

enum StructureType : uint32_t {
  kDriverProperties = 0x1,
  kDeviceProperties = 0x3,
  kModuleProperties = 0x5,
  kQueueGroupProperties = 0x6,
  kMemoryProperties = 0x7,
  kContextDesc = 0xd,
  kCommandQueueDesc = 0xe,
  kEventPoolDesc = 0x10,
  kEventDesc = 0x11,
  kDeviceMemoryDesc = 0x15,
  kHostMemoryDesc = 0x16,
  kModuleDesc = 0x1b,
  kKernelDesc = 0x1d,
  kKernelProperties = 0x1e,
  kPciProperties = 0x10008,
};

enum DeviceType : uint32_t {
  kTypeGpu = 1,
  kTypeCpu = 2,
  kTypeFpga = 3,
  kTypeMca = 4,
  kTypeVpu = 5
};

enum : uint32_t {
  kDeviceIntegrated = 1 << 0,  // flags of DeviceProperties
  kQueueComputes = 1 << 0,     // flags of QueueGroupProperties
  kQueueCopies = 1 << 1,
  kPoolHostVisible = 1 << 0,  // flags of EventPoolDesc
  kScopeHost = 1 << 2,        // of EventDesc
  kModeAsynchronous = 2,      // of CommandQueueDesc
  kFormatSpirv = 0,           // of ModuleDesc
};

struct DriverProperties {
  uint32_t stype = kDriverProperties;
  void* next = nullptr;
  uint8_t uuid[16] = {};
  uint32_t version = 0;
};

struct DeviceProperties {
  uint32_t stype = kDeviceProperties;
  void* next = nullptr;
  uint32_t type = 0;
  uint32_t vendor_id = 0;
  uint32_t device_id = 0;
  uint32_t flags = 0;
  uint32_t subdevice_id = 0;
  uint32_t core_clock_mhz = 0;
  uint64_t max_allocation = 0;
  uint32_t max_hardware_contexts = 0;
  uint32_t max_queue_priority = 0;
  uint32_t threads_per_eu = 0;
  uint32_t eu_simd_width = 0;
  uint32_t eus_per_subslice = 0;
  uint32_t subslices_per_slice = 0;
  uint32_t slices = 0;
  uint64_t timer_resolution = 0;  // nanoseconds per tick
  uint32_t timestamp_bits = 0;
  uint32_t kernel_timestamp_bits = 0;
  uint8_t uuid[16] = {};
  char name[256] = {};
};

struct ModuleProperties {
  uint32_t stype = kModuleProperties;
  void* next = nullptr;
  uint32_t spirv_version = 0;  // 0: takes no SPIR-V
  uint32_t flags = 0, fp16_flags = 0, fp32_flags = 0, fp64_flags = 0;
  uint32_t max_argument_bytes = 0, printf_bytes = 0;
  uint8_t native_uuid[16] = {};
};

struct MemoryProperties {
  uint32_t stype = kMemoryProperties;
  void* next = nullptr;
  uint32_t flags = 0;
  uint32_t max_clock = 0;
  uint32_t bus_width = 0;
  uint64_t total = 0;
  char name[256] = {};
};

struct QueueGroupProperties {
  uint32_t stype = kQueueGroupProperties;
  void* next = nullptr;
  uint32_t flags = 0;
  size_t max_fill_pattern = 0;
  uint32_t queues = 0;
};

struct PciProperties {
  uint32_t stype = kPciProperties;
  void* next = nullptr;
  uint32_t domain = 0, bus = 0, device = 0, function = 0;
  int32_t generation = 0, width = 0;
  int64_t max_bandwidth = 0;  // bytes per second; -1: not known
};

struct ContextDesc {
  uint32_t stype = kContextDesc;
  const void* next = nullptr;
  uint32_t flags = 0;
};

struct CommandQueueDesc {
  uint32_t stype = kCommandQueueDesc;
  const void* next = nullptr;
  uint32_t ordinal = 0, index = 0, flags = 0;
  uint32_t mode = kModeAsynchronous;
  uint32_t priority = 0;
};

struct EventPoolDesc {
  uint32_t stype = kEventPoolDesc;
  const void* next = nullptr;
  uint32_t flags = 0, count = 0;
};

struct EventDesc {
  uint32_t stype = kEventDesc;
  const void* next = nullptr;
  uint32_t index = 0, signal = 0, wait = 0;
};

struct DeviceMemoryDesc {
  uint32_t stype = kDeviceMemoryDesc;
  const void* next = nullptr;
  uint32_t flags = 0, ordinal = 0;
};

struct HostMemoryDesc {
  uint32_t stype = kHostMemoryDesc;
  const void* next = nullptr;
  uint32_t flags = 0;
};

struct ModuleDesc {
  uint32_t stype = kModuleDesc;
  const void* next = nullptr;
  uint32_t format = kFormatSpirv;
  size_t bytes = 0;
  const uint8_t* image = nullptr;
  const char* flags = nullptr;
  const void* constants = nullptr;
};

struct KernelDesc {
  uint32_t stype = kKernelDesc;
  const void* next = nullptr;
  uint32_t flags = 0;
  const char* name = nullptr;
};

struct KernelProperties {
  uint32_t stype = kKernelProperties;
  void* next = nullptr;
  uint32_t arguments = 0;
  uint32_t required_group[3] = {};
  uint32_t required_subgroups = 0, required_subgroup_size = 0;
  uint32_t max_subgroup_size = 0, max_subgroups = 0;
  uint32_t local_bytes = 0, private_bytes = 0, spill_bytes = 0;
  uint8_t uuid[32] = {};
};

// ---- ZE_extension_graph 1.0, of Intel's NPU driver (ze_graph_ext.h, which no package here has)
// ----

inline constexpr char kGraphExtension[] = "ZE_extension_graph";

enum GraphStructureType : uint32_t { kGraphDesc = 0x2, kGraphProperties = 0x3 };
enum : uint32_t { kGraphFormatNative = 0x1 };  // of GraphDesc: a compiled blob

struct GraphDesc {
  uint32_t stype = kGraphDesc;
  void* next = nullptr;
  uint32_t format = kGraphFormatNative;
  size_t bytes = 0;
  const uint8_t* input = nullptr;
  const char* flags = nullptr;
};

struct GraphProperties {
  uint32_t stype = kGraphProperties;
  void* next = nullptr;
  uint32_t arguments = 0;
};

// What zeDriverGetExtensionFunctionAddress gives for the extension: a table of its entry points,
// which take the driver's own handles.
struct GraphTable {
  Result (*create)(Handle context, Handle device, const GraphDesc* desc, Handle* graph);
  Result (*destroy)(Handle graph);
  Result (*get_properties)(Handle graph, GraphProperties* properties);
  Result (*get_argument_properties)(Handle graph, uint32_t index, void* properties);
  Result (*set_argument_value)(Handle graph, uint32_t index, const void* value);
  Result (*append_initialize)(Handle list, Handle graph, Handle signal, uint32_t count,
                              Handle* waits);
  Result (*append_execute)(Handle list, Handle graph, Handle profiling, Handle signal,
                           uint32_t count, Handle* waits);
  Result (*get_native_binary)(Handle graph, size_t* bytes, uint8_t* blob);
  Result (*get_device_properties)(Handle device, void* properties);
};

// zel_handle_type_t, for zelLoaderTranslateHandle.
enum LoaderHandle : uint32_t { kLoaderDevice = 1, kLoaderContext = 2, kLoaderCommandList = 4 };

struct GroupCount {
  uint32_t x, y, z;
};

// ---- sysman ----

enum SysmanStructureType : uint32_t {
  kSysmanEngineProperties = 0x5,
  kSysmanFrequencyProperties = 0x9,
  kSysmanMemoryProperties = 0xb,
  kSysmanRasProperties = 0xf,
  kSysmanTemperatureProperties = 0x14,
  kSysmanDeviceState = 0x15,
  kSysmanFrequencyState = 0x1b,
  kSysmanMemoryState = 0x1e,
  kSysmanRasState = 0x22,
};

enum : uint32_t {
  kEngineAll = 0,
  kFrequencyGpu = 0,
  kFrequencyMemory = 1,
  kTemperatureGpu = 1,
  kRasUncorrected = 1,
  kMemoryOnDevice = 1,
  kResetWedged = 1 << 0,
  kThrottleAveragePower = 1 << 0,
  kThrottleBurstPower = 1 << 1,
  kThrottleCurrent = 1 << 2,
  kThrottleThermal = 1 << 3,
  kThrottlePsu = 1 << 4,
};

struct EnergyCounter {
  uint64_t microjoules = 0, microseconds = 0;
};

struct PowerSustainedLimit {
  uint8_t enabled = 0;
  int32_t milliwatts = 0, interval_ms = 0;
};

struct EngineProperties {
  uint32_t stype = kSysmanEngineProperties;
  void* next = nullptr;
  uint32_t type = 0;
  uint8_t on_subdevice = 0;
  uint32_t subdevice_id = 0;
};

struct EngineStats {
  uint64_t active_us = 0, timestamp_us = 0;
};

struct TemperatureProperties {
  uint32_t stype = kSysmanTemperatureProperties;
  void* next = nullptr;
  uint32_t type = 0;
  uint8_t on_subdevice = 0;
  uint32_t subdevice_id = 0;
  double max_celsius = 0;
  uint8_t supports_critical = 0, supports_threshold1 = 0, supports_threshold2 = 0;
};

struct FrequencyProperties {
  uint32_t stype = kSysmanFrequencyProperties;
  void* next = nullptr;
  uint32_t type = 0;
  uint8_t on_subdevice = 0;
  uint32_t subdevice_id = 0;
  uint8_t can_control = 0, throttle_events = 0;
  double min_mhz = 0, max_mhz = 0;
};

struct FrequencyState {
  uint32_t stype = kSysmanFrequencyState;
  const void* next = nullptr;
  double volts = 0, request_mhz = 0, tdp_mhz = 0, efficient_mhz = 0, actual_mhz = 0;
  uint32_t throttle = 0;
};

struct SysmanMemoryProperties {
  uint32_t stype = kSysmanMemoryProperties;
  void* next = nullptr;
  uint32_t type = 0;
  uint8_t on_subdevice = 0;
  uint32_t subdevice_id = 0;
  uint32_t location = 0;
  uint64_t physical_bytes = 0;
  int32_t bus_width = 0, channels = 0;
};

struct MemoryState {
  uint32_t stype = kSysmanMemoryState;
  const void* next = nullptr;
  uint32_t health = 0;
  uint64_t free_bytes = 0, bytes = 0;
};

struct RasProperties {
  uint32_t stype = kSysmanRasProperties;
  void* next = nullptr;
  uint32_t type = 0;
  uint8_t on_subdevice = 0;
  uint32_t subdevice_id = 0;
};

struct RasState {
  uint32_t stype = kSysmanRasState;
  const void* next = nullptr;
  uint64_t category[7] = {};
};

struct SysmanDeviceState {
  uint32_t stype = kSysmanDeviceState;
  const void* next = nullptr;
  uint32_t reset = 0, repaired = 0;
};

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_ABI_H_
