#include "interpose/opencl/watcher.h"

#include "interpose/opencl/layer.h"

namespace het::interpose {
namespace {

constexpr int kMarkersWithWaitLists = 120;

cl_command_queue QueueOf(Turns::Queue queue) {
  return static_cast<cl_command_queue>(const_cast<void*>(queue));
}
cl_event EventOf(Turns::Event event) { return static_cast<cl_event>(const_cast<void*>(event)); }

// Also for a command that failed: it is complete all the same.
void CL_CALLBACK Complete(cl_event, cl_int, void* turn) {
  Layer::Get()->turns()->Completed(static_cast<Turns::Turn*>(turn));
}

}  // namespace

bool OpenClWatcher::WatchQueue(Turns::Queue queue, Turns::Turn* turn) {
  cl_event marker = nullptr;
  const cl_int error = version_ >= kMarkersWithWaitLists
                           ? next_.clEnqueueMarkerWithWaitList(QueueOf(queue), 0, nullptr, &marker)
                           : next_.clEnqueueMarker(QueueOf(queue), &marker);
  if (error != CL_SUCCESS || marker == nullptr) return false;
  const bool watched = WatchEvent(marker, turn);
  next_.clReleaseEvent(marker);
  // Without it the driver may keep the whole queue to itself until the program asks.
  next_.clFlush(QueueOf(queue));
  return watched;
}

bool OpenClWatcher::WatchEvent(Turns::Event event, Turns::Turn* turn) {
  return next_.clSetEventCallback(EventOf(event), CL_COMPLETE, Complete, turn) == CL_SUCCESS;
}

void OpenClWatcher::DropEvent(Turns::Event event) { next_.clReleaseEvent(EventOf(event)); }

}  // namespace het::interpose
