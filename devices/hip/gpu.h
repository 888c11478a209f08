// HipGpu: one HIP device behind streams::Gpu, whole or with a mask of compute units on each of its
// streams. Memory comes from a pool of its own, as cuda's does (devices/cuda/gpu.h).
//
// Threads, failures: as streams::Gpu. Ownership: the Api is the process's.
#ifndef HET_DEVICES_HIP_GPU_H_
#define HET_DEVICES_HIP_GPU_H_

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/hip/inventory.h"
#include "devices/streams/gpu.h"

namespace het::hip {

class HipGpu final : public streams::Gpu {
 public:
  // The compute units to use; no mask: all of them.
  struct Part {
    std::vector<uint32_t> mask;       // bit i of word j: unit 32*j + i
    std::function<void()> give_back;  // called once, when it is closed
  };

  static absl::StatusOr<std::unique_ptr<streams::Gpu>> Open(const Api& api, const Found& found,
                                                            Part part);
  ~HipGpu() override;

  uintptr_t Enter() override;
  void Leave(uintptr_t before) override;
  absl::Status Error(int error, absl::string_view what) const override;
  bool IsNotReady(int error) const override { return error == hipErrorNotReady; }

  uint32_t capabilities() const override;

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
  int CopyAcross(streams::Address to, const streams::Gpu& to_gpu, streams::Address from,
                 const streams::Gpu& from_gpu, uint64_t bytes, void* stream) override;
  int BeginCapture(void* stream) override;
  int EndCapture(void* stream, void** captured) override;
  int Replay(void* captured, void* stream) override;
  int DeleteCaptured(void* captured) override;
  absl::StatusOr<std::unique_ptr<streams::Multiplier>> NewMultiplier(void* stream) override;
  int Fill(streams::Address to, uint8_t value, uint64_t bytes, void* stream) override;
  int Launch(void* kernel, const uint32_t groups[3], const uint32_t group_size[3],
             const void* arguments, size_t bytes, void* stream) override;

  absl::StatusOr<streams::Code> Compile(const ProgramSource& source) override;
  int LoadCode(const streams::Code& code, void** module, std::string* log) override;
  int UnloadCode(void* module) override;
  int FindKernel(void* module, const char* name, void** kernel) override;
  size_t ArgumentBytes(void*) override { return 0; }  // the runtime does not tell

  // The device's primary context (hipCtx_t).
  void* context() const override { return context_; }

 private:
  HipGpu(const Api& api, const Found& found, Part part)
      : api_(api), found_(found), part_(std::move(part)) {}

  absl::Status MakePool();
  static uint64_t NextNumber();

  const uint64_t number_ = NextNumber();  // of this object, in the process
  const Api& api_;
  const Found found_;
  const Part part_;
  hipCtx_t context_ = nullptr;
  int least_priority_ = 0, greatest_priority_ = 0;
  hipMemPool_t pool_ = nullptr;  // null: the runtime has none
  void* memory_stream_ = nullptr;
  mutable absl::Mutex mutex_;
  mutable std::map<uint64_t, bool> reaches_ ABSL_GUARDED_BY(mutex_);  // by number
};

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_GPU_H_
