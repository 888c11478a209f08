// Queues and events: what makes work wait, what waits for it, and what tells that it is complete.
#include <atomic>
#include <memory>

#include "interpose/opencl/hooks.h"
#include "interpose/opencl/launching.h"
#include "interpose/opencl/layer.h"

namespace het::interpose::hook {
namespace {

const cl_icd_dispatch& Next() { return Layer::Get()->next(); }
Turns* TheTurns() { return Layer::Get()->turns(); }

cl_command_queue Announce(cl_command_queue queue, bool in_order) {
  if (queue != nullptr && TheTurns() != nullptr) TheTurns()->AddQueue(queue, in_order);
  return queue;
}

void Passed(cl_command_queue queue, cl_int error, cl_uint waits, const cl_event* wait_list,
            bool barrier, const cl_event* event) {
  if (error != CL_SUCCESS || TheTurns() == nullptr) return;
  TheTurns()->Passed(queue, Events(waits, wait_list), barrier, event == nullptr ? nullptr : *event);
}

struct Callback {
  void(CL_CALLBACK* function)(cl_event, cl_int, void*);
  void* user_data;
};

// The program's callback, marked as such: what it launches must not wait in the driver's thread.
void CL_CALLBACK CallBack(cl_event event, cl_int status, void* record) {
  const Callback callback = *static_cast<Callback*>(record);
  delete static_cast<Callback*>(record);
  const Turns::InCallback here;
  callback.function(event, status, callback.user_data);
}

}  // namespace

cl_command_queue CL_API_CALL clCreateCommandQueue(cl_context context, cl_device_id device,
                                                  cl_command_queue_properties properties,
                                                  cl_int* error_ret) {
  return Announce(Next().clCreateCommandQueue(context, device, properties, error_ret),
                  (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) == 0);
}

cl_command_queue CL_API_CALL
clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
                                   const cl_queue_properties* properties, cl_int* error_ret) {
  return Announce(Next().clCreateCommandQueueWithProperties(context, device, properties, error_ret),
                  IsInOrder(properties));
}

// OpenCL 1.0: may turn an in-order queue into another.
cl_int CL_API_CALL clSetCommandQueueProperty(cl_command_queue queue,
                                             cl_command_queue_properties properties, cl_bool enable,
                                             cl_command_queue_properties* old_properties) {
  if ((properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0) Announce(queue, false);
  return Next().clSetCommandQueueProperty(queue, properties, enable, old_properties);
}

cl_int CL_API_CALL clReleaseCommandQueue(cl_command_queue queue) {
  if (queue != nullptr && TheTurns() != nullptr) TheTurns()->ForgetQueue(queue);
  return Next().clReleaseCommandQueue(queue);
}

cl_int CL_API_CALL clFinish(cl_command_queue queue) {
  Turns* turns = TheTurns();
  if (turns == nullptr || queue == nullptr) return Next().clFinish(queue);
  const Turns::Pass pass = turns->Join(queue);
  const cl_int error = Next().clFinish(queue);
  turns->LeaveDrained(pass, queue, error == CL_SUCCESS);
  return error;
}

cl_int CL_API_CALL clWaitForEvents(cl_uint count, const cl_event* list) {
  Turns* turns = TheTurns();
  if (turns == nullptr) return Next().clWaitForEvents(count, list);
  const Turns::Joined joined = turns->JoinEvents(Events(count, list));
  const cl_int error = Next().clWaitForEvents(count, list);
  for (const auto& [queue, pass] : joined) turns->LeaveDrained(pass, queue, error == CL_SUCCESS);
  return error;
}

cl_int CL_API_CALL clGetEventInfo(cl_event event, cl_event_info what, size_t room, void* value,
                                  size_t* needed) {
  const cl_int error = Next().clGetEventInfo(event, what, room, value, needed);
  if (what == CL_EVENT_COMMAND_EXECUTION_STATUS && error == CL_SUCCESS && value != nullptr &&
      *static_cast<cl_int*>(value) == CL_COMPLETE && TheTurns() != nullptr) {
    TheTurns()->SawComplete(event);
  }
  return error;
}

cl_int CL_API_CALL clSetEventCallback(cl_event event, cl_int status,
                                      void(CL_CALLBACK* function)(cl_event, cl_int, void*),
                                      void* user_data) {
  if (function == nullptr || TheTurns() == nullptr) {
    return Next().clSetEventCallback(event, status, function, user_data);
  }
  auto* callback = new Callback{function, user_data};
  const cl_int error = Next().clSetEventCallback(event, status, CallBack, callback);
  if (error != CL_SUCCESS) delete callback;
  return error;
}

cl_event CL_API_CALL clCreateUserEvent(cl_context context, cl_int* error_ret) {
  const cl_event event = Next().clCreateUserEvent(context, error_ret);
  if (event != nullptr && TheTurns() != nullptr) TheTurns()->AddUserEvent(event);
  return event;
}

cl_int CL_API_CALL clSetUserEventStatus(cl_event event, cl_int status) {
  Turns* turns = TheTurns();
  if (turns == nullptr || event == nullptr) return Next().clSetUserEventStatus(event, status);
  // It may be set later, by another thread, after the program has released it.
  const cl_int retained = Next().clRetainEvent(event);
  if (retained != CL_SUCCESS) return retained;
  auto result = std::make_shared<std::atomic<cl_int>>(CL_SUCCESS);
  turns->SetUserEvent(event, [event, status, result](bool allowed) {
    const cl_int error = Next().clSetUserEventStatus(event, allowed ? status : CL_OUT_OF_RESOURCES);
    // relaxed: read by this thread, or by nobody.
    result->store(error, std::memory_order_relaxed);
    Next().clReleaseEvent(event);
  });
  return result->load(std::memory_order_relaxed);
}

cl_int CL_API_CALL clEnqueueMarker(cl_command_queue queue, cl_event* event) {
  const cl_int error = Next().clEnqueueMarker(queue, event);
  Passed(queue, error, 0, nullptr, false, event);
  return error;
}

cl_int CL_API_CALL clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint waits,
                                               const cl_event* wait_list, cl_event* event) {
  const cl_int error = Next().clEnqueueMarkerWithWaitList(queue, waits, wait_list, event);
  Passed(queue, error, waits, wait_list, false, event);
  return error;
}

cl_int CL_API_CALL clEnqueueBarrier(cl_command_queue queue) {
  const cl_int error = Next().clEnqueueBarrier(queue);
  Passed(queue, error, 0, nullptr, true, nullptr);
  return error;
}

cl_int CL_API_CALL clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint waits,
                                                const cl_event* wait_list, cl_event* event) {
  const cl_int error = Next().clEnqueueBarrierWithWaitList(queue, waits, wait_list, event);
  Passed(queue, error, waits, wait_list, true, event);
  return error;
}

cl_int CL_API_CALL clEnqueueWaitForEvents(cl_command_queue queue, cl_uint waits,
                                          const cl_event* wait_list) {
  const cl_int error = Next().clEnqueueWaitForEvents(queue, waits, wait_list);
  Passed(queue, error, waits, wait_list, true, nullptr);
  return error;
}

}  // namespace het::interpose::hook
