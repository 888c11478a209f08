#include "interpose/cuda/watcher.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>

#include "interpose/cuda/call.h"

namespace het::interpose {

using cuda::CUcontext;
using cuda::CUDA_SUCCESS;
using cuda::CUevent;
using cuda::CUstream;
using cuda::driver;

namespace {

// How long the thread sleeps between two looks: a turn of 500 us that is seen so much later costs
// the others a few percent, and a look costs about a microsecond.
constexpr int64_t kFirstLookNs = 10'000, kLongestLookNs = 50'000;
constexpr int64_t kDrainNs = 2'000'000'000;

}  // namespace

bool CudaWatcher::AskCapturing(CUstream stream, bool per_thread) {
  const auto ask = per_thread ? driver.cuStreamIsCapturing_ptsz : driver.cuStreamIsCapturing;
  if (ask == nullptr) return false;
  int status = 0;
  // An error is the default stream's while another one is captured: nothing may be put there.
  return ask(stream, &status) != CUDA_SUCCESS || status != 0;
}

CUevent CudaWatcher::TakeEvent(CUcontext context) {
  {
    PlainLock lock(&mutex_);
    std::vector<CUevent>& free = free_[context];
    if (!free.empty()) {
      const CUevent event = free.back();
      free.pop_back();
      return event;
    }
  }
  CUevent event = nullptr;
  return driver.cuEventCreate(&event, cuda::CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS ? event
                                                                                     : nullptr;
}

bool CudaWatcher::Add(const Watched& watched) {
  PlainLock lock(&mutex_);
  if (stop_) return false;
  if (!thread_.joinable()) {
    // The program's signals are for its own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread(&CudaWatcher::Run, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  added_.push_back(watched);
  ++watched_in_[watched.context];
  changed_.notify_all();
  return true;
}

bool CudaWatcher::WatchQueue(Turns::Queue queue, Turns::Turn* turn) {
  const Call call;
  auto& stream = *static_cast<StreamState*>(const_cast<void*>(queue));
  const CUcontext context = stream.context.load(std::memory_order_relaxed);
  if (context == nullptr) return false;
  if (stream.per_thread) {
    // Acquire: the event was recorded before it was stored.
    const CUevent tail = stream.tail.exchange(nullptr, std::memory_order_acquire);
    return tail != nullptr && Add({tail, context, turn});
  }
  const WithContext current(context);
  if (!current.ok()) return false;
  const std::shared_lock<std::shared_mutex> recording(recording_);
  if (IsCapturing(stream.handle, false)) return false;
  const CUevent event = TakeEvent(context);
  if (event == nullptr) return false;
  if (driver.cuEventRecord(event, stream.handle) != CUDA_SUCCESS || !Add({event, context, turn})) {
    driver.cuEventDestroy_v2(event);
    return false;
  }
  return true;
}

void CudaWatcher::RecordTail(StreamState& stream) {
  const CUcontext context = stream.context.load(std::memory_order_relaxed);
  CUevent event = stream.tail.exchange(nullptr, std::memory_order_acquire);
  if (event == nullptr) event = TakeEvent(context);
  if (event == nullptr) return;
  if (driver.cuEventRecord(event, cuda::kPerThreadStream) == CUDA_SUCCESS) {
    stream.tail.store(event, std::memory_order_release);  // see WatchQueue
  } else {
    driver.cuEventDestroy_v2(event);
  }
}

std::vector<CudaWatcher::Watched> CudaWatcher::TakeReached(std::vector<Watched>* watched) {
  std::vector<Watched> reached;
  for (size_t i = 0; i < watched->size();) {
    Watched& one = (*watched)[i];
    cuda::CUresult answer = cuda::CUDA_ERROR_INVALID_CONTEXT;
    {
      const WithContext current(one.context);
      if (current.ok()) answer = driver.cuEventQuery(one.event);
    }
    if (answer == cuda::CUDA_ERROR_NOT_READY) {
      ++i;
      continue;
    }
    reached.push_back(one);
    one = watched->back();
    watched->pop_back();
  }
  return reached;
}

void CudaWatcher::Run() {
  const Call call;
  prctl(PR_SET_TIMERSLACK, 1'000);  // nanoseconds
  pthread_setname_np(pthread_self(), "het-turns");
  // Captures of the program's forbid other threads to ask for events; not in this mode.
  int mode = cuda::CU_STREAM_CAPTURE_MODE_RELAXED;
  if (driver.cuThreadExchangeStreamCaptureMode != nullptr) {
    driver.cuThreadExchangeStreamCaptureMode(&mode);
  }
  std::vector<Watched> watched;
  int64_t look_ns = kFirstLookNs;
  mutex_.Lock();
  while (!stop_) {
    if (!added_.empty()) look_ns = kFirstLookNs;
    watched.insert(watched.end(), added_.begin(), added_.end());
    added_.clear();
    if (watched.empty()) {
      mutex_.Wait(changed_);
      continue;
    }
    mutex_.Unlock();
    const std::vector<Watched> reached = TakeReached(&watched);
    for (const Watched& one : reached) turns_->Completed(one.turn);
    mutex_.Lock();
    for (const Watched& one : reached) {
      free_[one.context].push_back(one.event);
      --watched_in_[one.context];
    }
    if (!reached.empty()) {
      look_ns = kFirstLookNs;
      changed_.notify_all();  // Drain
    } else if (!stop_ && added_.empty()) {
      mutex_.Wait(changed_, look_ns);
      look_ns = std::min(2 * look_ns, kLongestLookNs);
    }
  }
  mutex_.Unlock();
}

void CudaWatcher::Drain(CUcontext context) {
  PlainLock lock(&mutex_);
  // What does not end in time was lost with the device.
  const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(kDrainNs);
  while (!stop_ && watched_in_[context] > 0 && std::chrono::steady_clock::now() < until) {
    mutex_.Wait(changed_, kLongestLookNs);
  }
  free_.erase(context);
}

void CudaWatcher::Stop() {
  std::thread thread;
  {
    PlainLock lock(&mutex_);
    stop_ = true;
    changed_.notify_all();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace het::interpose
