// Gpu: what a driver with streams and events does for one opened device, in the vendor's own
// numbers. This is what a vendor (cuda, hip) implements; queues, buffers, programs and timelines
// over it are shared (the rest of this folder).
//
// The int that a call gives back is the vendor's: 0 is success, and Error makes a Status of it.
//
// Threads: all members are thread-safe. Between Enter and Leave the device is the calling thread's
// current one, as these drivers want it; every other call expects that. Ownership: the caller
// deletes what New... made, while the Gpu lives.
#ifndef HET_DEVICES_STREAMS_GPU_H_
#define HET_DEVICES_STREAMS_GPU_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "devices/device.h"
#include "devices/program.h"
#include "devices/queue.h"

namespace het::streams {

using Address = uint64_t;  // of device memory

// What the vendor's compiler made of a program.
struct Code {
  std::string image;
  std::vector<std::string> kernels;  // names of its entry points
  KernelForm form = KernelForm::kPortable;
};

// MatrixProduct in addresses.
struct Product {
  MatrixType type;
  uint32_t rows, n_in, n_out, y_stride;
  bool accumulate;
  Address w, x, y;
};

class Multiplier {
 public:
  virtual ~Multiplier() = default;
  // Queues the product; a number of the Gpu's.
  virtual int Multiply(const Product& product) = 0;
};

class Gpu {
 public:
  Gpu() = default;
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  virtual ~Gpu() = default;

  // Makes the device the thread's current one; Leave makes the one before current again.
  virtual uintptr_t Enter() = 0;
  virtual void Leave(uintptr_t before) = 0;

  // "<what>: <the number's name>" with the canonical code: DataLoss for a device that is lost,
  // ResourceExhausted for memory that is not there.
  virtual absl::Status Error(int error, absl::string_view what) const = 0;
  virtual bool IsNotReady(int error) const = 0;

  // Of the contract's (devices/device.h): which programs it runs, and kPeerCopies, kPoolMemory,
  // kMultipliesMatrices, kReplaysWork.
  virtual uint32_t capabilities() const { return kRunsPortable; }

  virtual int NewStream(QueueKind kind, void** stream) = 0;
  virtual int DeleteStream(void* stream) = 0;
  // InvalidArgument where the caller's stream belongs to another device or context.
  virtual absl::Status CheckStream(void* stream) = 0;

  // Events have timestamps; a thread that waits for one sleeps.
  virtual int NewEvent(void** event) = 0;
  virtual int DeleteEvent(void* event) = 0;
  virtual int Record(void* event, void* stream) = 0;
  virtual int Query(void* event) = 0;
  virtual int Await(void* event) = 0;
  virtual int Elapsed(float* milliseconds, void* begin, void* end) = 0;
  virtual int WaitFor(void* event, void* stream) = 0;

  virtual int NewMemory(uint64_t bytes, Address* address) = 0;
  virtual int DeleteMemory(Address address) = 0;
  // Pinned host memory; its address serves on the device too.
  virtual int NewPinned(uint64_t bytes, void** address) = 0;
  virtual int DeletePinned(void* address) = 0;

  // All of these return when the work is queued.
  virtual int Write(Address to, const void* from, uint64_t bytes, void* stream) = 0;
  virtual int Read(void* to, Address from, uint64_t bytes, void* stream) = 0;
  virtual int Copy(Address to, Address from, uint64_t bytes, void* stream) = 0;
  // Whether CopyAcross works between this device's memory and that of `other`.
  virtual bool Reaches(const Gpu& other) const {
    (void)other;
    return false;
  }
  // Between the memory of two devices, one of which is this one.
  virtual int CopyAcross(Address to, const Gpu& to_gpu, Address from, const Gpu& from_gpu,
                         uint64_t bytes, void* stream) {
    (void)to_gpu, (void)from_gpu;
    return Copy(to, from, bytes, stream);
  }
  virtual int Fill(Address to, uint8_t value, uint64_t bytes, void* stream) = 0;
  // `arguments`: packed, each at its natural alignment.
  virtual int Launch(void* kernel, const uint32_t groups[3], const uint32_t group_size[3],
                     const void* arguments, size_t bytes, void* stream) = 0;

  // With kReplaysWork. Between the first two, what is queued on the stream is noted by the driver
  // and not run; calls of other threads do not disturb it. EndCapture makes the executable form of
  // it (an error where anything was refused; nothing is captured any more in either case).
  virtual int BeginCapture(void* stream);
  virtual int EndCapture(void* stream, void** captured);
  // Queues all of it. One thread at a time for one of them.
  virtual int Replay(void* captured, void* stream);
  virtual int DeleteCaptured(void* captured);

  // The vendor's matrix library for one stream; with kMultipliesMatrices. A multiplier is used by
  // one thread at a time.
  virtual absl::StatusOr<std::unique_ptr<Multiplier>> NewMultiplier(void* stream);

  // InvalidArgument with the compiler's log.
  virtual absl::StatusOr<Code> Compile(const ProgramSource& source) = 0;
  // `log`: what the driver says of an image that it does not take.
  virtual int LoadCode(const Code& code, void** module, std::string* log) = 0;
  virtual int UnloadCode(void* module) = 0;
  virtual int FindKernel(void* module, const char* name, void** kernel) = 0;
  // Bytes of all its arguments in the packed form; 0 where the driver does not tell.
  virtual size_t ArgumentBytes(void* kernel) = 0;

  // What native_handle() of the device is (CUcontext).
  virtual void* context() const = 0;
};

// Not called without the capability.
inline int Gpu::BeginCapture(void*) { return -1; }
inline int Gpu::EndCapture(void*, void**) { return -1; }
inline int Gpu::Replay(void*, void*) { return -1; }
inline int Gpu::DeleteCaptured(void*) { return -1; }

inline absl::StatusOr<std::unique_ptr<Multiplier>> Gpu::NewMultiplier(void*) {
  return absl::UnimplementedError("the driver has no matrix library");
}

// The device is current as long as this lives.
class Current {
 public:
  explicit Current(Gpu& gpu) : gpu_(gpu), before_(gpu.Enter()) {}
  ~Current() { gpu_.Leave(before_); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  Gpu& gpu_;
  const uintptr_t before_;
};

#define HET_GPU_RETURN_IF_ERROR(gpu, call, what)                     \
  do {                                                               \
    if (const int het_error_ = (call); het_error_ != 0) [[unlikely]] \
      return (gpu).Error(het_error_, what);                          \
  } while (false)

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_GPU_H_
