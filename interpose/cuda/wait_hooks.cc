// Waits, events and the ends of streams: where the program itself finds out that work is complete,
// nobody else need ask. And captures, in which launches are none.
#include <utility>
#include <vector>

#include "interpose/cuda/holding.h"

namespace het::interpose {
namespace {

using cuda::CUDA_SUCCESS;
using cuda::CUevent;
using cuda::CUresult;
using cuda::CUstream;
using cuda::driver;

// A call that comes back with success when all that was put into the stream before is complete.
template <typename Wait>
CUresult Drained(CUstream handle, bool per_thread, Wait wait) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return wait();
  StreamState& stream = shadow->StreamOf(handle, per_thread);
  const Turns::Pass pass = shadow->turns().Join(&stream);
  const CUresult error = wait();
  shadow->turns().LeaveDrained(pass, &stream, error == CUDA_SUCCESS);
  return error;
}

template <typename Wait>
CUresult DrainedContext(cuda::CUcontext context, Wait wait) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return wait();
  if (context == nullptr) context = CurrentContext();
  std::vector<std::pair<StreamState*, Turns::Pass>> joined;
  for (StreamState* stream : shadow->streams().In(context)) {
    joined.push_back({stream, shadow->turns().Join(stream)});
  }
  const CUresult error = wait();
  for (const auto& [stream, pass] : joined) {
    shadow->turns().LeaveDrained(pass, stream, error == CUDA_SUCCESS);
  }
  return error;
}

template <typename Record>
CUresult Recorded(CUevent event, CUstream handle, bool per_thread, Record record) {
  const Held held;
  const CUresult error = record();
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr || error != CUDA_SUCCESS) return error;
  // In a graph it says nothing of the stream.
  const bool captured = shadow->watcher().IsCapturing(handle, per_thread);
  shadow->Recorded(event, captured ? nullptr : &shadow->StreamOf(handle, per_thread));
  return error;
}

template <typename Destroy>
CUresult DestroyedEvent(CUevent event, Destroy destroy) {
  const Held held;
  if (Shadow* shadow = held.open_shadow(); shadow != nullptr) shadow->Recorded(event, nullptr);
  return destroy();
}

template <typename Destroy>
CUresult DestroyedStream(CUstream handle, Destroy destroy) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (StreamState* stream = shadow == nullptr ? nullptr : shadow->streams().Find(handle)) {
    shadow->turns().ForgetQueue(stream);
    shadow->streams().Forget(*stream);
  }
  return destroy();
}

template <typename Begin>
CUresult BeganCapture(CUstream handle, bool per_thread, Begin begin) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return begin();
  // What is in the stream is watched before it is captured; afterwards it may not be touched.
  shadow->turns().ForgetQueue(&shadow->StreamOf(handle, per_thread));
  shadow->watcher().LockForCapture();
  const CUresult error = begin();
  shadow->watcher().UnlockForCapture(error == CUDA_SUCCESS);
  return error;
}

template <typename End>
CUresult EndedCapture(CUstream handle, bool per_thread, End end) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return end();
  const bool captured = shadow->watcher().IsCapturing(handle, per_thread);
  const CUresult error = end();
  // Also one that was invalid has ended; what was none has not.
  if (captured && !shadow->watcher().IsCapturing(handle, per_thread)) {
    shadow->watcher().CaptureEnded();
  }
  return error;
}

}  // namespace
}  // namespace het::interpose

namespace het::cuda {

using namespace interpose;  // NOLINT(google-build-using-namespace): its hooks

CUresult cuStreamSynchronize(CUstream stream) {
  return Drained(stream, false, [=] { return driver.cuStreamSynchronize(stream); });
}
CUresult cuStreamSynchronize_ptsz(CUstream stream) {
  return Drained(stream, true, [=] { return driver.cuStreamSynchronize_ptsz(stream); });
}
CUresult cuStreamQuery(CUstream stream) {
  return Drained(stream, false, [=] { return driver.cuStreamQuery(stream); });
}
CUresult cuStreamQuery_ptsz(CUstream stream) {
  return Drained(stream, true, [=] { return driver.cuStreamQuery_ptsz(stream); });
}

// Back when the copy is complete, and with it what was in the stream before.
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  return Drained(nullptr, false, [=] { return driver.cuMemcpyDtoH_v2(to, from, bytes); });
}
CUresult cuMemcpyDtoH_v2_ptds(void* to, CUdeviceptr from, size_t bytes) {
  return Drained(nullptr, true, [=] { return driver.cuMemcpyDtoH_v2_ptds(to, from, bytes); });
}

CUresult cuCtxSynchronize() {
  return DrainedContext(nullptr, [] { return driver.cuCtxSynchronize(); });
}
CUresult cuCtxSynchronize_v2(CUcontext context) {
  return DrainedContext(context, [=] { return driver.cuCtxSynchronize_v2(context); });
}

CUresult cuEventSynchronize(CUevent event) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return driver.cuEventSynchronize(event);
  const Turns::Event waited = event;
  const Turns::Joined joined = shadow->turns().JoinEvents({&waited, 1});
  const CUresult error = driver.cuEventSynchronize(event);
  for (const auto& [queue, pass] : joined) {
    shadow->turns().LeaveDrained(pass, queue, error == CUDA_SUCCESS);
  }
  return error;
}

CUresult cuEventQuery(CUevent event) {
  const Held held;
  const CUresult error = driver.cuEventQuery(event);
  Shadow* shadow = held.open_shadow();
  if (shadow != nullptr && error == CUDA_SUCCESS) shadow->turns().SawComplete(event);
  return error;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return Recorded(event, stream, false, [=] { return driver.cuEventRecord(event, stream); });
}
CUresult cuEventRecord_ptsz(CUevent event, CUstream stream) {
  return Recorded(event, stream, true, [=] { return driver.cuEventRecord_ptsz(event, stream); });
}
CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  return Recorded(event, stream, false,
                  [=] { return driver.cuEventRecordWithFlags(event, stream, flags); });
}
CUresult cuEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned int flags) {
  return Recorded(event, stream, true,
                  [=] { return driver.cuEventRecordWithFlags_ptsz(event, stream, flags); });
}

CUresult cuEventDestroy(CUevent event) {
  return DestroyedEvent(event, [=] { return driver.cuEventDestroy(event); });
}
CUresult cuEventDestroy_v2(CUevent event) {
  return DestroyedEvent(event, [=] { return driver.cuEventDestroy_v2(event); });
}

CUresult cuStreamDestroy(CUstream stream) {
  return DestroyedStream(stream, [=] { return driver.cuStreamDestroy(stream); });
}
CUresult cuStreamDestroy_v2(CUstream stream) {
  return DestroyedStream(stream, [=] { return driver.cuStreamDestroy_v2(stream); });
}

CUresult cuStreamBeginCapture(CUstream stream) {
  return BeganCapture(stream, false, [=] { return driver.cuStreamBeginCapture(stream); });
}
CUresult cuStreamBeginCapture_ptsz(CUstream stream) {
  return BeganCapture(stream, true, [=] { return driver.cuStreamBeginCapture_ptsz(stream); });
}
CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  return BeganCapture(stream, false, [=] { return driver.cuStreamBeginCapture_v2(stream, mode); });
}
CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, int mode) {
  return BeganCapture(stream, true,
                      [=] { return driver.cuStreamBeginCapture_v2_ptsz(stream, mode); });
}
CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* after,
                                     const void* edges, size_t count, int mode) {
  return BeganCapture(stream, false, [=] {
    return driver.cuStreamBeginCaptureToGraph(stream, graph, after, edges, count, mode);
  });
}
CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, const CUgraphNode* after,
                                          const void* edges, size_t count, int mode) {
  return BeganCapture(stream, true, [=] {
    return driver.cuStreamBeginCaptureToGraph_ptsz(stream, graph, after, edges, count, mode);
  });
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  return EndedCapture(stream, false, [=] { return driver.cuStreamEndCapture(stream, graph); });
}
CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph* graph) {
  return EndedCapture(stream, true, [=] { return driver.cuStreamEndCapture_ptsz(stream, graph); });
}

}  // namespace het::cuda
