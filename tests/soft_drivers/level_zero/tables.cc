// What the Level Zero loader asks a driver for: its tables of entry points.
#include <level_zero/zet_api.h>
#include <level_zero/zet_ddi.h>

#include "tests/soft_drivers/level_zero/state.h"

#define HET_SOFT_EXPORT extern "C" __attribute__((visibility("default")))

using namespace het::soft::ze;  // NOLINT(google-build-using-namespace): its functions are listed

namespace {

ze_result_t Init(ze_init_flags_t) {
  if (const ze_result_t due = Due("zeInit")) return due;
  return ZE_RESULT_SUCCESS;
}

}  // namespace

HET_SOFT_EXPORT ze_result_t zeGetGlobalProcAddrTable(ze_api_version_t,
                                                     ze_global_dditable_t* table) {
  table->pfnInit = Init;
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetDriverProcAddrTable(ze_api_version_t,
                                                     ze_driver_dditable_t* table) {
  ze_device_dditable_t devices = {};
  ze_context_dditable_t contexts = {};
  ze_mem_dditable_t memory = {};
  FillDevices(*table, devices, contexts, memory);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetDeviceProcAddrTable(ze_api_version_t,
                                                     ze_device_dditable_t* table) {
  ze_driver_dditable_t drivers = {};
  ze_context_dditable_t contexts = {};
  ze_mem_dditable_t memory = {};
  FillDevices(drivers, *table, contexts, memory);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetContextProcAddrTable(ze_api_version_t,
                                                      ze_context_dditable_t* table) {
  ze_driver_dditable_t drivers = {};
  ze_device_dditable_t devices = {};
  ze_mem_dditable_t memory = {};
  FillDevices(drivers, devices, *table, memory);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetMemProcAddrTable(ze_api_version_t, ze_mem_dditable_t* table) {
  ze_driver_dditable_t drivers = {};
  ze_device_dditable_t devices = {};
  ze_context_dditable_t contexts = {};
  FillDevices(drivers, devices, contexts, *table);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetCommandListProcAddrTable(ze_api_version_t,
                                                          ze_command_list_dditable_t* table) {
  FillLists(*table);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetEventPoolProcAddrTable(ze_api_version_t,
                                                        ze_event_pool_dditable_t* table) {
  ze_event_dditable_t events = {};
  FillEvents(*table, events);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetEventProcAddrTable(ze_api_version_t, ze_event_dditable_t* table) {
  ze_event_pool_dditable_t pools = {};
  FillEvents(pools, *table);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetModuleProcAddrTable(ze_api_version_t,
                                                     ze_module_dditable_t* table) {
  ze_module_build_log_dditable_t logs = {};
  ze_kernel_dditable_t kernels = {};
  FillModules(*table, logs, kernels);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t
zeGetModuleBuildLogProcAddrTable(ze_api_version_t, ze_module_build_log_dditable_t* table) {
  ze_module_dditable_t modules = {};
  ze_kernel_dditable_t kernels = {};
  FillModules(modules, *table, kernels);
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zeGetKernelProcAddrTable(ze_api_version_t,
                                                     ze_kernel_dditable_t* table) {
  ze_module_dditable_t modules = {};
  ze_module_build_log_dditable_t logs = {};
  FillModules(modules, logs, *table);
  return ZE_RESULT_SUCCESS;
}

// The loader refuses a driver that lacks one of these tables; het uses none of them.
#define HET_SOFT_EMPTY(name, type) \
  HET_SOFT_EXPORT ze_result_t name(ze_api_version_t, type*) { return ZE_RESULT_SUCCESS; }
HET_SOFT_EMPTY(zeGetCommandQueueProcAddrTable, ze_command_queue_dditable_t)
HET_SOFT_EMPTY(zeGetFenceProcAddrTable, ze_fence_dditable_t)
HET_SOFT_EMPTY(zeGetImageProcAddrTable, ze_image_dditable_t)
HET_SOFT_EMPTY(zeGetSamplerProcAddrTable, ze_sampler_dditable_t)
HET_SOFT_EMPTY(zeGetPhysicalMemProcAddrTable, ze_physical_mem_dditable_t)
HET_SOFT_EMPTY(zeGetVirtualMemProcAddrTable, ze_virtual_mem_dditable_t)
HET_SOFT_EMPTY(zeGetDeviceExpProcAddrTable, ze_device_exp_dditable_t)
HET_SOFT_EMPTY(zeGetEventExpProcAddrTable, ze_event_exp_dditable_t)
HET_SOFT_EMPTY(zeGetFabricEdgeExpProcAddrTable, ze_fabric_edge_exp_dditable_t)
HET_SOFT_EMPTY(zeGetFabricVertexExpProcAddrTable, ze_fabric_vertex_exp_dditable_t)
HET_SOFT_EMPTY(zeGetImageExpProcAddrTable, ze_image_exp_dditable_t)
HET_SOFT_EMPTY(zeGetKernelExpProcAddrTable, ze_kernel_exp_dditable_t)

// Tools.
HET_SOFT_EMPTY(zetGetCommandListProcAddrTable, zet_command_list_dditable_t)
HET_SOFT_EMPTY(zetGetContextProcAddrTable, zet_context_dditable_t)
HET_SOFT_EMPTY(zetGetDebugProcAddrTable, zet_debug_dditable_t)
HET_SOFT_EMPTY(zetGetDeviceProcAddrTable, zet_device_dditable_t)
HET_SOFT_EMPTY(zetGetKernelProcAddrTable, zet_kernel_dditable_t)
HET_SOFT_EMPTY(zetGetMetricGroupExpProcAddrTable, zet_metric_group_exp_dditable_t)
HET_SOFT_EMPTY(zetGetMetricGroupProcAddrTable, zet_metric_group_dditable_t)
HET_SOFT_EMPTY(zetGetMetricProcAddrTable, zet_metric_dditable_t)
HET_SOFT_EMPTY(zetGetMetricQueryPoolProcAddrTable, zet_metric_query_pool_dditable_t)
HET_SOFT_EMPTY(zetGetMetricQueryProcAddrTable, zet_metric_query_dditable_t)
HET_SOFT_EMPTY(zetGetMetricStreamerProcAddrTable, zet_metric_streamer_dditable_t)
HET_SOFT_EMPTY(zetGetModuleProcAddrTable, zet_module_dditable_t)
HET_SOFT_EMPTY(zetGetTracerExpProcAddrTable, zet_tracer_exp_dditable_t)

// Sensors that a soft card has not.
HET_SOFT_EMPTY(zesGetDriverProcAddrTable, zes_driver_dditable_t)
HET_SOFT_EMPTY(zesGetDiagnosticsProcAddrTable, zes_diagnostics_dditable_t)
HET_SOFT_EMPTY(zesGetEngineProcAddrTable, zes_engine_dditable_t)
HET_SOFT_EMPTY(zesGetFabricPortProcAddrTable, zes_fabric_port_dditable_t)
HET_SOFT_EMPTY(zesGetFanProcAddrTable, zes_fan_dditable_t)
HET_SOFT_EMPTY(zesGetFirmwareProcAddrTable, zes_firmware_dditable_t)
HET_SOFT_EMPTY(zesGetLedProcAddrTable, zes_led_dditable_t)
HET_SOFT_EMPTY(zesGetPerformanceFactorProcAddrTable, zes_performance_factor_dditable_t)
HET_SOFT_EMPTY(zesGetPsuProcAddrTable, zes_psu_dditable_t)
HET_SOFT_EMPTY(zesGetSchedulerProcAddrTable, zes_scheduler_dditable_t)
HET_SOFT_EMPTY(zesGetStandbyProcAddrTable, zes_standby_dditable_t)
