// Launching: what the launch and wait hooks have in common. A hook that puts work on the device
// calls Launched with the driver's function; one that waits or passes waits on uses Layer::turns
// itself.
#ifndef HET_INTERPOSE_OPENCL_LAUNCHING_H_
#define HET_INTERPOSE_OPENCL_LAUNCHING_H_

#include <cstdint>

#include "absl/types/span.h"
#include "interpose/opencl/cl.h"
#include "interpose/opencl/layer.h"
#include "interpose/turns.h"
#include "partition/cost_estimate.h"

namespace het::interpose {

// Kinds of work that is no kernel; told apart by their size as a power of two.
enum class Transfer : uint64_t { kRead = 1, kWrite, kCopy, kFill, kMap, kUnmap, kMigrate };

// The same for launches that cost about the same: a kernel by its name and program and the number
// of its work items; a transfer by its bytes.
uint64_t WorkKey(cl_kernel kernel, cl_uint dimensions, const size_t* global_size);
uint64_t WorkKey(Transfer kind, uint64_t bytes);
// Remembers a kernel's name for WorkKey.
void NameKernel(cl_kernel kernel, cl_program program, const char* name);
void CopyKernelName(cl_kernel from, cl_kernel to);

inline absl::Span<const Turns::Event> Events(cl_uint count, const cl_event* list) {
  if (list == nullptr) return {};
  return {reinterpret_cast<const Turns::Event*>(list), count};
}

// Bytes of a region of `pixel` bytes each (1 for buffers); 0 for a null region.
inline uint64_t RegionBytes(const size_t* region, uint64_t pixel) {
  return region == nullptr ? 0 : uint64_t{region[0]} * region[1] * region[2] * pixel;
}

// Whether a queue with these properties runs its commands in order; null: it does.
inline bool IsInOrder(const cl_queue_properties* properties) {
  for (; properties != nullptr && *properties != 0; properties += 2) {
    if (properties[0] == CL_QUEUE_PROPERTIES) {
      return (properties[1] & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0;
    }
  }
  return true;
}

// One launch: its turn, then the driver through `call(event)`. `blocking`: the call returns when
// the work is complete.
template <typename Call>
cl_int Launched(cl_command_queue queue, uint64_t key, bool blocking, cl_uint waits,
                const cl_event* wait_list, cl_event* event, Call call) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return CL_INVALID_COMMAND_QUEUE;
  Turns* turns = layer.turns();
  if (turns == nullptr || queue == nullptr) return call(event);
  const absl::StatusOr<Turns::Pass> pass = turns->Enter(queue, key, Events(waits, wait_list));
  if (!pass.ok()) {
    layer.SaySeatLost(pass.status());
    return CL_OUT_OF_RESOURCES;
  }
  cl_event own = nullptr;
  cl_event* const where = event == nullptr && pass->keep_event() ? &own : event;
  const cl_int error = call(where);
  const bool ok = error == CL_SUCCESS;
  const cl_event made = ok && where != nullptr ? *where : nullptr;
  // Kept for Turns until it drops it: the program may release its own.
  if (pass->keep_event() && made != nullptr && own == nullptr) layer.next().clRetainEvent(made);
  turns->Leave(*pass, queue, ok, made, blocking);
  return error;
}

}  // namespace het::interpose

#endif  // HET_INTERPOSE_OPENCL_LAUNCHING_H_
