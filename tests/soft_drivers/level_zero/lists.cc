// Immediate command lists, and events.
#include <algorithm>
#include <cstring>

#include "tests/soft_drivers/level_zero/state.h"

namespace het::soft::ze {
namespace {

List& Of(ze_command_list_handle_t handle) { return *reinterpret_cast<List*>(handle); }
Event& Of(ze_event_handle_t handle) { return *reinterpret_cast<Event*>(handle); }

void Before(List& list, uint32_t count, ze_event_handle_t* waits) {
  for (uint32_t i = 0; i < count; ++i) {
    list.stream.Enqueue([state = Of(waits[i]).state] { state->Wait(); });
  }
}

// Also on a card that is lost: whoever waits then asks for the failure.
void After(List& list, ze_event_handle_t signal) {
  if (signal == nullptr) return;
  constexpr bool kAlways = true;
  const std::shared_ptr<EventState> state = Of(signal).state;
  {
    const std::lock_guard lock(state->mutex);
    state->card = list.device.card;
  }
  list.stream.Enqueue([state] { state->Set(true); }, kAlways);
}

// A copy or fill: a fault of the point "copy" may lose the card.
void Work(List& list, std::function<void()> work) {
  list.stream.Enqueue([&list, card = list.device.card, work = std::move(work)] {
    if (Due("copy", card) == ZE_RESULT_SUCCESS) {
      work();
    } else {
      list.stream.Stop();
    }
  });
}

// Device memory that was freed, another context's, or a card's that is not reached, is a fault, as
// on a card. The host's own is not known.
bool IsStray(const void* address, uint64_t bytes, const List& list) {
  const Piece piece = TheMemory().Find(address, bytes);
  if (piece.bytes == 0 || piece.card == kHostMemory) return false;
  if (ContextOfMemory(piece.begin) != list.context) return true;
  return piece.card != list.device.card && !ReachesCard(list.device.card, piece.card);
}

// An event of another context, or of a pool that the list's card may not wait for.
bool IsForeign(ze_event_handle_t event, const List& list) {
  const Pool& pool = Of(event).pool;
  return pool.context != list.context ||
         (!pool.cards.empty() &&
          std::find(pool.cards.begin(), pool.cards.end(), list.device.card) == pool.cards.end());
}

ze_result_t CreateImmediate(ze_context_handle_t context, ze_device_handle_t device,
                            const ze_command_queue_desc_t*, ze_command_list_handle_t* list) {
  const Device& own = *reinterpret_cast<Device*>(device);
  if (const ze_result_t due = Due("zeCommandListCreateImmediate", own.card)) return due;
  *list = reinterpret_cast<ze_command_list_handle_t>(
      new List(reinterpret_cast<Context*>(context), own));
  return ZE_RESULT_SUCCESS;
}

ze_result_t Destroy(ze_command_list_handle_t list) {
  delete &Of(list);
  return ZE_RESULT_SUCCESS;
}

ze_result_t AppendBarrier(ze_command_list_handle_t list, ze_event_handle_t signal, uint32_t count,
                          ze_event_handle_t* waits) {
  Before(Of(list), count, waits);
  After(Of(list), signal);
  return ZE_RESULT_SUCCESS;
}

ze_result_t AppendTimestamp(ze_command_list_handle_t list, uint64_t* to, ze_event_handle_t signal,
                            uint32_t count, ze_event_handle_t* waits) {
  if (const ze_result_t due = Due("zeCommandListAppendWriteGlobalTimestamp", Of(list).device.card))
    return due;
  Before(Of(list), count, waits);
  Of(list).stream.Enqueue([to] { *to = Ticks(); });
  After(Of(list), signal);
  return ZE_RESULT_SUCCESS;
}

ze_result_t AppendCopy(ze_command_list_handle_t list, void* to, const void* from, size_t bytes,
                       ze_event_handle_t signal, uint32_t count, ze_event_handle_t* waits) {
  const int card = Of(list).device.card;
  if (const ze_result_t due = Due("zeCommandListAppendMemoryCopy", card)) return due;
  if (IsStray(to, bytes, Of(list)) || IsStray(from, bytes, Of(list)))
    return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  Before(Of(list), count, waits);
  Work(Of(list), [=] { memmove(to, from, bytes); });
  After(Of(list), signal);
  return ZE_RESULT_SUCCESS;
}

ze_result_t AppendFill(ze_command_list_handle_t list, void* to, const void* pattern, size_t width,
                       size_t bytes, ze_event_handle_t signal, uint32_t count,
                       ze_event_handle_t* waits) {
  const int card = Of(list).device.card;
  if (const ze_result_t due = Due("zeCommandListAppendMemoryFill", card)) return due;
  if (width != 1) return ZE_RESULT_ERROR_INVALID_SIZE;
  if (IsStray(to, bytes, Of(list))) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  const int value = *static_cast<const uint8_t*>(pattern);
  Before(Of(list), count, waits);
  Work(Of(list), [=] { memset(to, value, bytes); });
  After(Of(list), signal);
  return ZE_RESULT_SUCCESS;
}

ze_result_t AppendWait(ze_command_list_handle_t list, uint32_t count, ze_event_handle_t* events) {
  for (uint32_t i = 0; i < count; ++i) {
    if (IsForeign(events[i], Of(list))) return ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT;
  }
  Before(Of(list), count, events);
  return ZE_RESULT_SUCCESS;
}

ze_result_t AppendLaunch(ze_command_list_handle_t list, ze_kernel_handle_t handle,
                         const ze_group_count_t* groups, ze_event_handle_t signal, uint32_t count,
                         ze_event_handle_t* waits) {
  const auto& kernel = *reinterpret_cast<Kernel*>(handle);
  if (const ze_result_t due = Due("zeCommandListAppendLaunchKernel", Of(list).device.card))
    return due;
  Before(Of(list), count, waits);
  Launch launch;
  launch.program = kernel.module->program;
  launch.kernel = kernel.shape;
  launch.groups[0] = groups->groupCountX;
  launch.groups[1] = groups->groupCountY;
  launch.groups[2] = groups->groupCountZ;
  memcpy(launch.group_size, kernel.group_size, sizeof(launch.group_size));
  launch.arguments = kernel.arguments;
  Of(list).stream.Enqueue(std::move(launch));
  After(Of(list), signal);
  return ZE_RESULT_SUCCESS;
}

// A launch that touches what is not the card's faults the card.
bool Admit(const Launch& launch, int card) {
  if (Due("kernel", card) != ZE_RESULT_SUCCESS) return false;
  for (size_t i = 0; i < launch.kernel->arguments.size(); ++i) {
    if (!launch.kernel->arguments[i].is_pointer) continue;
    const char* address = nullptr;
    memcpy(&address, launch.arguments.data() + launch.kernel->OffsetOf(i), sizeof(address));
    const Piece piece = TheMemory().Find(address);
    if (address == nullptr ||
        (piece.bytes != 0 && (piece.card == card || piece.card == kHostMemory)))
      continue;
    CardAt(card).lost = true;
    return false;
  }
  return true;
}

ze_result_t CreatePool(ze_context_handle_t context, const ze_event_pool_desc_t*, uint32_t count,
                       ze_device_handle_t* devices, ze_event_pool_handle_t* pool) {
  auto* made = new Pool{reinterpret_cast<Context*>(context), {}};
  for (uint32_t i = 0; i < count; ++i) {
    made->cards.push_back(reinterpret_cast<Device*>(devices[i])->card);
  }
  *pool = reinterpret_cast<ze_event_pool_handle_t>(made);
  return ZE_RESULT_SUCCESS;
}

ze_result_t DestroyPool(ze_event_pool_handle_t pool) {
  delete reinterpret_cast<Pool*>(pool);
  return ZE_RESULT_SUCCESS;
}

ze_result_t CreateEvent(ze_event_pool_handle_t pool, const ze_event_desc_t*,
                        ze_event_handle_t* event) {
  *event = reinterpret_cast<ze_event_handle_t>(new Event{*reinterpret_cast<Pool*>(pool)});
  return ZE_RESULT_SUCCESS;
}

ze_result_t DestroyEvent(ze_event_handle_t event) {
  delete &Of(event);
  return ZE_RESULT_SUCCESS;
}

ze_result_t StateOf(EventState& state) {
  if (state.card >= 0 && CardAt(state.card).lost) return ZE_RESULT_ERROR_DEVICE_LOST;
  return state.signalled ? ZE_RESULT_SUCCESS : ZE_RESULT_NOT_READY;
}

ze_result_t HostSynchronize(ze_event_handle_t event, uint64_t timeout) {
  const std::shared_ptr<EventState> state = Of(event).state;
  std::unique_lock lock(state->mutex);
  if (timeout == UINT64_MAX) {
    state->changed.wait(lock, [&state] { return state->signalled; });
  } else {
    state->changed.wait_for(lock, std::chrono::nanoseconds(timeout),
                            [&state] { return state->signalled; });
  }
  return StateOf(*state);
}

ze_result_t QueryStatus(ze_event_handle_t event) {
  const std::shared_ptr<EventState> state = Of(event).state;
  const std::lock_guard lock(state->mutex);
  return StateOf(*state);
}

ze_result_t HostReset(ze_event_handle_t event) {
  Of(event).state->Set(false);
  return ZE_RESULT_SUCCESS;
}

}  // namespace

void EventState::Set(bool value) {
  const std::lock_guard lock(mutex);
  signalled = value;
  if (!value) card = -1;
  changed.notify_all();
}

void EventState::Wait() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return signalled; });
}

List::List(Context* context, const Device& device)
    : context(context),
      device(device),
      stream(
          [this](const Launch& launch) {
            if (Admit(launch, this->device.card)) return true;
            stream.Stop();
            return false;
          },
          [this](const std::string& why) {
            fprintf(stderr, "soft Level Zero: %s\n", why.c_str());
            CardAt(this->device.card).lost = true;
            stream.Stop();
          }) {}

void FillLists(ze_command_list_dditable_t& table) {
  table.pfnCreateImmediate = CreateImmediate;
  table.pfnDestroy = Destroy;
  table.pfnAppendBarrier = AppendBarrier;
  table.pfnAppendWriteGlobalTimestamp = AppendTimestamp;
  table.pfnAppendMemoryCopy = AppendCopy;
  table.pfnAppendMemoryFill = AppendFill;
  table.pfnAppendWaitOnEvents = AppendWait;
  table.pfnAppendLaunchKernel = AppendLaunch;
}

void FillEvents(ze_event_pool_dditable_t& pools, ze_event_dditable_t& events) {
  pools.pfnCreate = CreatePool;
  pools.pfnDestroy = DestroyPool;
  events.pfnCreate = CreateEvent;
  events.pfnDestroy = DestroyEvent;
  events.pfnHostSynchronize = HostSynchronize;
  events.pfnQueryStatus = QueryStatus;
  events.pfnHostReset = HostReset;
}

}  // namespace het::soft::ze
