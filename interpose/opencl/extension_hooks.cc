// Extension entry points, which programs fetch by name. Those that launch or allocate are wrapped
// like the core ones; the driver's own function is remembered when it is fetched. One that is not
// known here and by its name would launch or allocate is withheld: a program that finds a null
// pointer falls back, one that launches behind the arbiter's back takes what is others'.
#include <atomic>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "interpose/opencl/allocating.h"
#include "interpose/opencl/hooks.h"
#include "interpose/opencl/launching.h"
#include "interpose/opencl/layer.h"

namespace het::interpose::hook {
namespace {

// The driver's function behind a wrapper. There is one platform, so there is one of each.
template <typename Function>
class Below {
 public:
  // release/acquire: the program may pass the pointer it fetched to another thread by any means.
  void Set(void* function) {
    function_.store(reinterpret_cast<Function>(function), std::memory_order_release);
  }
  Function get() const { return function_.load(std::memory_order_acquire); }

 private:
  std::atomic<Function> function_{nullptr};
};

// ---- cl_khr_command_buffer: enqueueing one is a launch ----------------------------------------

Below<clEnqueueCommandBufferKHR_fn> enqueue_command_buffer;
Below<clGetCommandBufferInfoKHR_fn> command_buffer_info;

// The queue a command buffer runs on: the first given, else the first it was made for.
cl_command_queue QueueOf(cl_uint count, const cl_command_queue* queues,
                         cl_command_buffer_khr buffer) {
  if (count > 0 && queues != nullptr) return queues[0];
  if (command_buffer_info.get() == nullptr) return nullptr;
  size_t bytes = 0;
  if (command_buffer_info.get()(buffer, CL_COMMAND_BUFFER_QUEUES_KHR, 0, nullptr, &bytes) !=
          CL_SUCCESS ||
      bytes < sizeof(cl_command_queue)) {
    return nullptr;
  }
  std::vector<cl_command_queue> made_for(bytes / sizeof(cl_command_queue));
  if (command_buffer_info.get()(buffer, CL_COMMAND_BUFFER_QUEUES_KHR, bytes, made_for.data(),
                                nullptr) != CL_SUCCESS) {
    return nullptr;
  }
  return made_for[0];
}

cl_int CL_API_CALL EnqueueCommandBuffer(cl_uint count, cl_command_queue* queues,
                                        cl_command_buffer_khr buffer, cl_uint waits,
                                        const cl_event* wait_list, cl_event* event) {
  const cl_command_queue queue = QueueOf(count, queues, buffer);
  const auto call = [&](cl_event* where) {
    return enqueue_command_buffer.get()(count, queues, buffer, waits, wait_list, where);
  };
  const uint64_t key = CostEstimate::Key(reinterpret_cast<uintptr_t>(buffer), 0);
  return Launched(queue, key, false, waits, wait_list, event, call);
}

// ---- cl_intel_unified_shared_memory ----------------------------------------------------------

Below<clHostMemAllocINTEL_fn> host_alloc;
Below<clDeviceMemAllocINTEL_fn> device_alloc;
Below<clSharedMemAllocINTEL_fn> shared_alloc;
Below<clMemFreeINTEL_fn> mem_free;
Below<clMemBlockingFreeINTEL_fn> blocking_free;
Below<clEnqueueMemcpyINTEL_fn> mem_copy;
Below<clEnqueueMemFillINTEL_fn> mem_fill;
Below<clEnqueueMemsetINTEL_fn> mem_set;
Below<clEnqueueMigrateMemINTEL_fn> mem_migrate;

// Host, device and shared memory alike are booked.
template <typename Allocate>
void* AllocatePointer(size_t size, cl_int* error_ret, Allocate allocate) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr || !layer.memory().Reserve(size)) {
    if (error_ret != nullptr) *error_ret = CL_OUT_OF_RESOURCES;
    return nullptr;
  }
  void* pointer = allocate();
  if (pointer == nullptr) {
    layer.memory().GiveBack(size);
  } else {
    layer.memory().AdoptPointer(pointer, size);
  }
  return pointer;
}

template <typename Free>
cl_int FreePointer(void* pointer, Free free) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return CL_INVALID_VALUE;
  // Forgotten first: once it is free, another thread may be given the same address.
  const uint64_t bytes = layer.memory().ForgetPointer(pointer);
  const cl_int error = free();
  if (error == CL_SUCCESS) {
    layer.memory().GiveBack(bytes);
  } else if (bytes > 0) {
    layer.memory().AdoptPointer(pointer, bytes);
  }
  return error;
}

void* CL_API_CALL HostAlloc(cl_context context, const cl_mem_properties_intel* properties,
                            size_t size, cl_uint alignment, cl_int* error) {
  return AllocatePointer(
      size, error, [&] { return host_alloc.get()(context, properties, size, alignment, error); });
}

void* CL_API_CALL DeviceAlloc(cl_context context, cl_device_id device,
                              const cl_mem_properties_intel* properties, size_t size,
                              cl_uint alignment, cl_int* error) {
  return AllocatePointer(size, error, [&] {
    return device_alloc.get()(context, device, properties, size, alignment, error);
  });
}

void* CL_API_CALL SharedAlloc(cl_context context, cl_device_id device,
                              const cl_mem_properties_intel* properties, size_t size,
                              cl_uint alignment, cl_int* error) {
  return AllocatePointer(size, error, [&] {
    return shared_alloc.get()(context, device, properties, size, alignment, error);
  });
}

cl_int CL_API_CALL MemFree(cl_context context, void* pointer) {
  return FreePointer(pointer, [&] { return mem_free.get()(context, pointer); });
}

cl_int CL_API_CALL MemBlockingFree(cl_context context, void* pointer) {
  return FreePointer(pointer, [&] { return blocking_free.get()(context, pointer); });
}

cl_int CL_API_CALL MemCopy(cl_command_queue queue, cl_bool blocking, void* to, const void* from,
                           size_t size, cl_uint waits, const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, size), blocking, waits, wait_list, event,
                  [&](cl_event* where) {
                    return mem_copy.get()(queue, blocking, to, from, size, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL MemFill(cl_command_queue queue, void* to, const void* pattern,
                           size_t pattern_size, size_t size, cl_uint waits,
                           const cl_event* wait_list, cl_event* event) {
  return Launched(
      queue, WorkKey(Transfer::kFill, size), false, waits, wait_list, event, [&](cl_event* where) {
        return mem_fill.get()(queue, to, pattern, pattern_size, size, waits, wait_list, where);
      });
}

cl_int CL_API_CALL MemSet(cl_command_queue queue, void* to, cl_int value, size_t size,
                          cl_uint waits, const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kFill, size), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return mem_set.get()(queue, to, value, size, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL MemMigrate(cl_command_queue queue, const void* pointer, size_t size,
                              cl_mem_migration_flags flags, cl_uint waits,
                              const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kMigrate, size), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return mem_migrate.get()(queue, pointer, size, flags, waits, wait_list, where);
                  });
}

// ---- others ----------------------------------------------------------------------------------

Below<clCreateBufferWithPropertiesINTEL_fn> create_buffer;
Below<clCreateCommandQueueWithPropertiesKHR_fn> create_queue;

cl_mem CL_API_CALL CreateBuffer(cl_context context, const cl_mem_properties_intel* properties,
                                cl_mem_flags flags, size_t size, void* host_ptr,
                                cl_int* error_ret) {
  return Allocate(size, false, error_ret, [&](cl_int* error) {
    return create_buffer.get()(context, properties, flags, size, host_ptr, error);
  });
}

cl_command_queue CL_API_CALL CreateQueue(cl_context context, cl_device_id device,
                                         const cl_queue_properties_khr* properties,
                                         cl_int* error_ret) {
  const cl_command_queue queue = create_queue.get()(context, device, properties, error_ret);
  Turns* turns = Layer::Get()->turns();
  if (queue != nullptr && turns != nullptr) turns->AddQueue(queue, IsInOrder(properties));
  return queue;
}

struct Wrapper {
  const char* name;
  void* hook;
  void (*remember)(void* function);
};

#define HET_LAYER_WRAP(name, hook, below)                                            \
  {                                                                                  \
    name, reinterpret_cast<void*>(hook), [](void* function) { below.Set(function); } \
  }

const Wrapper kWrappers[] = {
    HET_LAYER_WRAP("clEnqueueCommandBufferKHR", EnqueueCommandBuffer, enqueue_command_buffer),
    HET_LAYER_WRAP("clHostMemAllocINTEL", HostAlloc, host_alloc),
    HET_LAYER_WRAP("clDeviceMemAllocINTEL", DeviceAlloc, device_alloc),
    HET_LAYER_WRAP("clSharedMemAllocINTEL", SharedAlloc, shared_alloc),
    HET_LAYER_WRAP("clMemFreeINTEL", MemFree, mem_free),
    HET_LAYER_WRAP("clMemBlockingFreeINTEL", MemBlockingFree, blocking_free),
    HET_LAYER_WRAP("clEnqueueMemcpyINTEL", MemCopy, mem_copy),
    HET_LAYER_WRAP("clEnqueueMemFillINTEL", MemFill, mem_fill),
    HET_LAYER_WRAP("clEnqueueMemsetINTEL", MemSet, mem_set),
    HET_LAYER_WRAP("clEnqueueMigrateMemINTEL", MemMigrate, mem_migrate),
    HET_LAYER_WRAP("clCreateBufferWithPropertiesINTEL", CreateBuffer, create_buffer),
    HET_LAYER_WRAP("clCreateCommandQueueWithPropertiesKHR", CreateQueue, create_queue),
};
#undef HET_LAYER_WRAP

// Launch or allocate by their names, but neither does: advice, and hand-overs between APIs.
constexpr absl::string_view kHarmless[] = {
    "clEnqueueMemAdviseINTEL",
    "clEnqueueAcquireExternalMemObjectsKHR",
    "clEnqueueReleaseExternalMemObjectsKHR",
    "clEnqueueSignalSemaphoresKHR",
    "clEnqueueWaitSemaphoresKHR",
    "clGetMemAllocInfoINTEL",
};

// Functions of the core that a program fetches by name: the layer's, where it has one.
void* CoreHook(absl::string_view name) {
#define HET_LAYER_NAMED(hooked) \
  if (name == #hooked) return reinterpret_cast<void*>(hook::hooked);
  HET_LAYER_HOOKED(HET_LAYER_NAMED)
#undef HET_LAYER_NAMED
  // As clGetPlatformIDs, and it would list the devices that are hidden.
  if (name == "clIcdGetPlatformIDsKHR") return reinterpret_cast<void*>(hook::clGetPlatformIDs);
  return nullptr;
}

bool SoundsLikeWork(absl::string_view name) {
  for (absl::string_view harmless : kHarmless) {
    if (name == harmless) return false;
  }
  return absl::StartsWith(name, "clEnqueue") || absl::StrContains(name, "Alloc") ||
         absl::StartsWith(name, "clCreateBuffer") || absl::StartsWith(name, "clCreateImage") ||
         absl::StartsWith(name, "clCreateFrom") || absl::StartsWith(name, "clImport");
}

}  // namespace

void* ExtensionHook(const char* name, void* drivers_own) {
  if (drivers_own == nullptr || name == nullptr) return drivers_own;
  if (std::strcmp(name, "clGetCommandBufferInfoKHR") == 0) command_buffer_info.Set(drivers_own);
  for (const Wrapper& wrapper : kWrappers) {
    if (std::strcmp(name, wrapper.name) != 0) continue;
    wrapper.remember(drivers_own);
    return wrapper.hook;
  }
  if (void* core = CoreHook(name)) return core;
  if (!SoundsLikeWork(name)) return drivers_own;
  Log().warn("{} is withheld: the layer does not know what it does to the device", name);
  return nullptr;
}

void* CL_API_CALL clGetExtensionFunctionAddress(const char* name) {
  return ExtensionHook(name, Layer::Get()->next().clGetExtensionFunctionAddress(name));
}

void* CL_API_CALL clGetExtensionFunctionAddressForPlatform(cl_platform_id platform,
                                                           const char* name) {
  const cl_icd_dispatch& next = Layer::Get()->next();
  if (name != nullptr && std::strcmp(name, "clEnqueueCommandBufferKHR") == 0) {
    // Needed to find the queue of a command buffer that is enqueued without one.
    command_buffer_info.Set(
        next.clGetExtensionFunctionAddressForPlatform(platform, "clGetCommandBufferInfoKHR"));
  }
  return ExtensionHook(name, next.clGetExtensionFunctionAddressForPlatform(platform, name));
}

}  // namespace het::interpose::hook
