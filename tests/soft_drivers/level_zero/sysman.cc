// Sensors. Memory in use and errors are the soft card's own; temperature, power and clock are what
// the settings say. One sensor of each kind per card, whose handle is the card's.
#include <cstring>

#include "tests/soft_drivers/level_zero/state.h"

#define HET_SOFT_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::soft::ze {
namespace {

template <typename Handle>
const Device& Of(Handle handle) {
  return *reinterpret_cast<const Device*>(handle);
}

template <typename Handle>
ze_result_t EnumOne(zes_device_handle_t device, uint32_t* count, Handle* handles) {
  if (handles != nullptr && *count > 0) handles[0] = reinterpret_cast<Handle>(device);
  *count = 1;
  return ZE_RESULT_SUCCESS;
}

double Setting(const char* key, uint64_t otherwise, int card) {
  return static_cast<double>(TheSettings().Number(key, otherwise, card));
}

ze_result_t DeviceState(zes_device_handle_t device, zes_device_state_t* state) {
  state->reset = CardAt(Of(device).card).lost ? ZES_RESET_REASON_FLAG_WEDGED : 0;
  return ZE_RESULT_SUCCESS;
}

ze_result_t EnergyCounter(zes_pwr_handle_t power, zes_power_energy_counter_t* counter) {
  counter->timestamp = Nanos() / 1000;
  // Watts over microseconds are microjoules.
  counter->energy =
      static_cast<uint64_t>(Setting("power", 75, Of(power).card)) * counter->timestamp;
  return ZE_RESULT_SUCCESS;
}

ze_result_t PowerLimits(zes_pwr_handle_t power, zes_power_sustained_limit_t* sustained,
                        zes_power_burst_limit_t*, zes_power_peak_limit_t*) {
  if (sustained != nullptr) {
    sustained->enabled = 1;
    sustained->power = static_cast<int32_t>(Setting("powerlimit", 150, Of(power).card) * 1000);
  }
  return ZE_RESULT_SUCCESS;
}

ze_result_t TemperatureProperties(zes_temp_handle_t, zes_temp_properties_t* properties) {
  properties->type = ZES_TEMP_SENSORS_GPU;
  return ZE_RESULT_SUCCESS;
}

ze_result_t TemperatureState(zes_temp_handle_t sensor, double* celsius) {
  *celsius = Setting("temperature", 45, Of(sensor).card);
  return ZE_RESULT_SUCCESS;
}

ze_result_t FrequencyProperties(zes_freq_handle_t, zes_freq_properties_t* properties) {
  properties->type = ZES_FREQ_DOMAIN_GPU;
  return ZE_RESULT_SUCCESS;
}

ze_result_t FrequencyState(zes_freq_handle_t domain, zes_freq_state_t* state) {
  const int card = Of(domain).card;
  state->actual = Setting("clock", 1000, card);
  state->throttleReasons =
      Setting("temperature", 45, card) >= 100 ? ZES_FREQ_THROTTLE_REASON_FLAG_THERMAL_LIMIT : 0;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ModuleProperties(zes_mem_handle_t, zes_mem_properties_t* properties) {
  properties->location = ZES_MEM_LOC_DEVICE;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ModuleState(zes_mem_handle_t memory, zes_mem_state_t* state) {
  const int card = Of(memory).card;
  state->size = TheMemory().size(card);
  state->free = state->size - TheMemory().used(card);
  return ZE_RESULT_SUCCESS;
}

ze_result_t RasProperties(zes_ras_handle_t, zes_ras_properties_t* properties) {
  properties->type = ZES_RAS_ERROR_TYPE_UNCORRECTABLE;
  return ZE_RESULT_SUCCESS;
}

ze_result_t RasState(zes_ras_handle_t set, ze_bool_t, zes_ras_state_t* state) {
  memset(state->category, 0, sizeof(state->category));
  state->category[0] = CardAt(Of(set).card).uncorrected;
  return ZE_RESULT_SUCCESS;
}

}  // namespace
}  // namespace het::soft::ze

using namespace het::soft::ze;  // NOLINT(google-build-using-namespace): the functions above

HET_SOFT_EXPORT ze_result_t zesGetDeviceProcAddrTable(ze_api_version_t,
                                                      zes_device_dditable_t* table) {
  table->pfnGetState = DeviceState;
  table->pfnEnumPowerDomains = EnumOne<zes_pwr_handle_t>;
  table->pfnEnumTemperatureSensors = EnumOne<zes_temp_handle_t>;
  table->pfnEnumFrequencyDomains = EnumOne<zes_freq_handle_t>;
  table->pfnEnumMemoryModules = EnumOne<zes_mem_handle_t>;
  table->pfnEnumRasErrorSets = EnumOne<zes_ras_handle_t>;
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zesGetPowerProcAddrTable(ze_api_version_t,
                                                     zes_power_dditable_t* table) {
  table->pfnGetEnergyCounter = EnergyCounter;
  table->pfnGetLimits = PowerLimits;
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zesGetTemperatureProcAddrTable(ze_api_version_t,
                                                           zes_temperature_dditable_t* table) {
  table->pfnGetProperties = TemperatureProperties;
  table->pfnGetState = TemperatureState;
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zesGetFrequencyProcAddrTable(ze_api_version_t,
                                                         zes_frequency_dditable_t* table) {
  table->pfnGetProperties = FrequencyProperties;
  table->pfnGetState = FrequencyState;
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zesGetMemoryProcAddrTable(ze_api_version_t,
                                                      zes_memory_dditable_t* table) {
  table->pfnGetProperties = ModuleProperties;
  table->pfnGetState = ModuleState;
  return ZE_RESULT_SUCCESS;
}

HET_SOFT_EXPORT ze_result_t zesGetRasProcAddrTable(ze_api_version_t, zes_ras_dditable_t* table) {
  table->pfnGetProperties = RasProperties;
  table->pfnGetState = RasState;
  return ZE_RESULT_SUCCESS;
}
