// ProcessWatch: tells when a process ends, by its pidfd in the event loop.
//
// Ownership: the daemon owns it; the loop must outlive it, and be run once more after Close.
// Threads: the loop's. The callback runs on the loop; it may watch and forget.
#ifndef HET_DAEMON_PROCESS_WATCH_H_
#define HET_DAEMON_PROCESS_WATCH_H_

#include <uv.h>

#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "daemon/process.h"

namespace het::daemon {

class ProcessWatch {
 public:
  using OnEnd = std::function<void(const ProcessId&)>;
  ProcessWatch(uv_loop_t* loop, OnEnd on_end) : loop_(loop), on_end_(std::move(on_end)) {}

  // NotFound when the process has ended already. Watching it again is legal.
  absl::Status Watch(const ProcessId& process);
  // Stops watching every process for which `keep` is false.
  void ForgetUnless(const std::function<bool(const ProcessId&)>& keep);
  void Close() {
    ForgetUnless([](const ProcessId&) { return false; });
  }

 private:
  struct Entry;
  static void OnReadable(uv_poll_t* handle, int status, int events);
  void Drop(Entry* entry);

  uv_loop_t* const loop_;
  const OnEnd on_end_;
  std::map<ProcessId, Entry*> entries_;  // freed by libuv's close callback
};

}  // namespace het::daemon

#endif  // HET_DAEMON_PROCESS_WATCH_H_
