// ZeGpu: one opened Level Zero device behind streams::Gpu. A stream is an immediate command list
// that a barrier after every command keeps in order. An event is a point that a list signals
// together with the device's time.
//
// A command list that waits for a point looks at it only when it gets there; so a point is not
// reset for a new use before the waits of all lists for it are known to be over.
//
// A device that takes no SPIR-V (an NPU) runs compiled graphs: a graph is a module with one kernel.
//
// Threads, ownership: as streams::Gpu.
#ifndef HET_DEVICES_LEVEL_ZERO_GPU_H_
#define HET_DEVICES_LEVEL_ZERO_GPU_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/level_zero/api.h"
#include "devices/level_zero/context.h"
#include "devices/streams/gpu.h"

namespace het::level_zero {

class ZeGpu final : public streams::Gpu {
 public:
  // `give_back` is called when it is closed.
  static absl::StatusOr<std::unique_ptr<ZeGpu>> Open(std::shared_ptr<const Context> context,
                                                     Handle driver, Handle device,
                                                     std::function<void()> give_back);
  ~ZeGpu() override;

  uintptr_t Enter() override { return 0; }
  void Leave(uintptr_t) override {}

  absl::Status Error(int error, absl::string_view what) const override {
    return ResultStatus(static_cast<uint32_t>(error), what);
  }
  bool IsNotReady(int error) const override { return error == kNotReady; }

  int NewStream(QueueKind kind, void** stream) override;
  int DeleteStream(void* stream) override;
  absl::Status CheckStream(void* stream) override;

  int NewEvent(void** event) override;
  int DeleteEvent(void* event) override;
  int Record(void* event, void* stream) override;
  int Query(void* event) override;
  int Await(void* event) override;
  int Elapsed(float* milliseconds, void* begin, void* end) override;
  int WaitFor(void* event, void* stream) override;

  int NewMemory(uint64_t bytes, streams::Address* address) override;
  int DeleteMemory(streams::Address address) override;
  int NewPinned(uint64_t bytes, void** address) override;
  int DeletePinned(void* address) override;

  int Write(streams::Address to, const void* from, uint64_t bytes, void* stream) override;
  int Read(void* to, streams::Address from, uint64_t bytes, void* stream) override;
  int Copy(streams::Address to, streams::Address from, uint64_t bytes, void* stream) override;
  bool Reaches(const streams::Gpu& other) const override;
  int Fill(streams::Address to, uint8_t value, uint64_t bytes, void* stream) override;
  int Launch(void* kernel, const uint32_t groups[3], const uint32_t group_size[3],
             const void* arguments, size_t bytes, void* stream) override;

  absl::StatusOr<streams::Code> Compile(const ProgramSource& source) override;
  int LoadCode(const streams::Code& code, void** module, std::string* log) override;
  int UnloadCode(void* module) override;
  int FindKernel(void* module, const char* name, void** kernel) override;
  size_t ArgumentBytes(void* kernel) override;

  uint32_t capabilities() const override;
  void* context() const override { return context_->handle(); }

 private:
  struct Point;
  struct Event;
  struct Stream;
  struct Kernel;
  struct Module;

  ZeGpu(std::shared_ptr<const Context> context, Handle driver, Handle device,
        std::function<void()> give_back);

  int ReadQueueGroups();
  int LoadGraph(const std::string& blob, Module& module);
  int LaunchGraph(Kernel& kernel, const void* arguments, size_t bytes, Stream& on);
  std::shared_ptr<Stream> StreamOf(void* stream);
  int Move(void* to, const void* from, uint64_t bytes, void* stream);

  const std::shared_ptr<const Context> context_;
  const std::shared_ptr<Points> points_;
  const Api& api_;
  const Handle device_;
  const GraphTable* const graphs_;  // null: the driver takes none
  bool takes_spirv_ = true;
  const std::function<void()> give_back_;
  std::string name_;
  double nanos_per_tick_ = 1;
  uint64_t tick_mask_ = ~uint64_t{0};
  uint32_t compute_ordinal_ = 0;
  uint32_t copy_ordinal_ = 0;

  mutable absl::Mutex mutex_;
  std::map<void*, std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);
  mutable std::map<Handle, bool> reaches_ ABSL_GUARDED_BY(mutex_);  // what the driver said
};

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_GPU_H_
