// Context: the Level Zero context of a driver, over all its devices. Those that one ZeDriver opens
// share it, for only inside a context may one device's copies touch another's memory and wait for
// its events. Points: what an opened device's lists signal, each with the device's time; any device
// of the context may wait for it.
//
// Threads: all members are thread-safe. Ownership: both live as long as somebody holds them, so a
// point may outlast the device that it was made for.
#ifndef HET_DEVICES_LEVEL_ZERO_CONTEXT_H_
#define HET_DEVICES_LEVEL_ZERO_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "devices/level_zero/api.h"

namespace het::level_zero {

class Context {
 public:
  static absl::StatusOr<std::shared_ptr<const Context>> Create(const Api& api, Handle driver);
  ~Context() { api_.zeContextDestroy(handle_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Api& api() const { return api_; }
  Handle handle() const { return handle_; }

 private:
  Context(const Api& api, Handle handle) : api_(api), handle_(handle) {}

  const Api& api_;
  const Handle handle_;
};

class Points {
 public:
  explicit Points(std::shared_ptr<const Context> context) : context_(std::move(context)) {}
  ~Points();
  Points(const Points&) = delete;
  Points& operator=(const Points&) = delete;

  // An event that is not signalled, and where its time goes (device ticks). The driver's number for
  // an error.
  int Take(Handle* event, uint64_t** stamp);
  void GiveBack(Handle event, uint64_t* stamp);

 private:
  int More() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<const Context> context_;
  absl::Mutex mutex_;
  std::vector<Handle> pools_ ABSL_GUARDED_BY(mutex_);
  std::vector<void*> stamp_blocks_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<Handle, uint64_t*>> free_ ABSL_GUARDED_BY(mutex_);
  std::vector<Handle> events_ ABSL_GUARDED_BY(mutex_);  // all of them
};

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_CONTEXT_H_
