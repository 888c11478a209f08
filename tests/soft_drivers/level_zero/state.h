// The objects behind the soft Level Zero driver's handles. A card is an Intel GPU or NPU of the
// settings (HET_SOFT_LEVEL_ZERO), its memory is the host's, its kernels run on PoCL.
//
// Settings beside those of common/settings.h: devices, npus (numbered behind the devices), tiles
// (of a GPU), units, memory, name, temperature, power (W), clock (MHz), spirv=0 (takes none),
// graphs=0 (no NPU takes compiled graphs), modules=refused (the driver takes no module, and its log
// says so), peers=0 (no card reaches another), and the fault words lost, oom, ecc, version,
// unknown.
#ifndef HET_TESTS_SOFT_DRIVERS_LEVEL_ZERO_STATE_H_
#define HET_TESTS_SOFT_DRIVERS_LEVEL_ZERO_STATE_H_

#include <level_zero/ze_api.h>
#include <level_zero/ze_ddi.h>
#include <level_zero/zes_api.h>
#include <level_zero/zes_ddi.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/soft_drivers/common/memory.h"
#include "tests/soft_drivers/common/runner.h"
#include "tests/soft_drivers/common/settings.h"
#include "tests/soft_drivers/common/stream.h"

namespace het::soft::ze {

inline constexpr uint64_t kNanosPerTick = 10;
inline constexpr uint32_t kTickBits = 40;

Settings& TheSettings();
Memory& TheMemory();
uint64_t Nanos();  // CLOCK_MONOTONIC
uint64_t Ticks();

struct Device {
  int card = 0;
  int tile = -1;  // -1: the whole card
};

struct Card {
  Device whole;
  std::vector<std::unique_ptr<Device>> tiles;
  bool npu = false;
  std::atomic<bool> lost{false};
  std::atomic<uint64_t> uncorrected{0};
  std::atomic<uint64_t> busy_nanos{0};
};

// The cards that the settings want now. A card once seen keeps its handle.
std::vector<Card*> Cards();
Card& CardAt(int index);

// Whether one card's copies reach the memory of another. No NPU's do.
bool ReachesCard(int card, int other);

// What the call must give: success, or the fault that is due for it.
ze_result_t Due(const char* point, int card = -1);

// What a list signals and waits for; outlives the handle while a list has it.
struct EventState {
  std::mutex mutex;
  std::condition_variable changed;
  bool signalled = false;
  int card = -1;  // of the list that signals

  void Set(bool value);
  void Wait();
};
// What is made in one context is nothing to another.
struct Context {};

struct Pool {
  Context* context = nullptr;
  std::vector<int> cards;  // that may wait for its events; none: all
};
struct Event {
  const Pool pool;
  std::shared_ptr<EventState> state = std::make_shared<EventState>();
};

struct List {
  List(Context* context, const Device& device);
  Context* const context;
  const Device device;
  Stream stream;
};

// In which context the memory was allocated whose piece begins at `begin`; null: in none.
Context* ContextOfMemory(const void* begin);

struct Module {
  Device device;
  std::shared_ptr<const Program> program;
};
struct Kernel {
  Module* module = nullptr;
  const KernelShape* shape = nullptr;
  uint32_t group_size[3] = {1, 1, 1};
  std::vector<std::byte> arguments;
};
struct BuildLog {
  std::string text;
};

// zeDriverGetExtensionFunctionAddress: the table of graphs.cc.
ze_result_t ExtensionAddress(ze_driver_handle_t driver, const char* name, void** address);

// Fill their tables with what this driver can; the rest stays null.
void FillLists(ze_command_list_dditable_t& table);
void FillEvents(ze_event_pool_dditable_t& pools, ze_event_dditable_t& events);
void FillModules(ze_module_dditable_t& modules, ze_module_build_log_dditable_t& logs,
                 ze_kernel_dditable_t& kernels);
void FillDevices(ze_driver_dditable_t& drivers, ze_device_dditable_t& devices,
                 ze_context_dditable_t& contexts, ze_mem_dditable_t& memory);

}  // namespace het::soft::ze

#endif  // HET_TESTS_SOFT_DRIVERS_LEVEL_ZERO_STATE_H_
