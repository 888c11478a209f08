// Recording: operations of a queue that were noted instead of run, and then run together, as often
// as wanted, with one call of the driver: an executable graph of CUDA's or HIP's, a command buffer
// in OpenCL's words. (Compiled graphs of NPUs are another thing, and programs: program.h.)
//
// What is recorded are places, grids and parameters. What the places hold is read anew by every
// replay: whatever changes from one to the next belongs in a buffer.
//
// Reference-counted: it keeps its buffers and programs alive, and work under way keeps it. The
// driver's memory for it (about a KiB per operation) is nobody's buffer. Immutable; thread-safe:
// any queue of its device may replay it.
#ifndef HET_DEVICES_RECORDING_H_
#define HET_DEVICES_RECORDING_H_

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "base/ref.h"
#include "devices/buffer.h"
#include "devices/queue.h"

namespace het {

class Device;

// A launch whose arguments are its own. The kernel is its program's, which stays the caller's.
class KeptLaunch {
 public:
  explicit KeptLaunch(const Launch& from)
      : launch_(from),
        buffers_(from.buffers.begin(), from.buffers.end()),
        params_(from.params.begin(), from.params.end()) {
    for (const BufferArg& argument : buffers_) alive_.emplace_back(argument.buffer);
  }
  // Borrows from this object.
  Launch launch() const {
    Launch launch = launch_;
    launch.buffers = buffers_;
    launch.params = params_;
    return launch;
  }

 private:
  Launch launch_;
  absl::InlinedVector<BufferArg, 8> buffers_;
  absl::InlinedVector<std::byte, 64> params_;
  absl::InlinedVector<Ref<Buffer>, 8> alive_;
};

struct KeptCopy {  // within the device
  Ref<Buffer> from;
  uint64_t from_offset;
  Ref<Buffer> to;
  uint64_t to_offset, bytes;
};
struct KeptFill {
  Ref<Buffer> to;
  uint64_t offset, bytes;
  uint8_t value;
};
// An operation that can be recorded, validated.
struct Command {
  std::variant<KeptLaunch, KeptCopy, KeptFill> operation;
};

class Recording : public RefCounted {
 public:
  Device& device() const { return device_; }
  // Operations that one replay runs.
  size_t size() const { return size_; }

 protected:
  Recording(Device& device, size_t size) : device_(device), size_(size) {}

 private:
  Device& device_;
  const size_t size_;
};

}  // namespace het

#endif  // HET_DEVICES_RECORDING_H_
