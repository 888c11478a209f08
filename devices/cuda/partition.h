// Partition: which multiprocessors of one device the green contexts of this process have. The
// device is split once, into equal groups of the smallest size the driver allows, always in the
// same order; a part is some neighbouring groups of that one split. So two parts never share a
// multiprocessor, and the same part is the same multiprocessors in every process.
//
// Thread-safe.
#ifndef HET_DEVICES_CUDA_PARTITION_H_
#define HET_DEVICES_CUDA_PARTITION_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "devices/cuda/gpu.h"

namespace het::cuda {

class Partition {
 public:
  Partition(const Api& api, const Found& found) : api_(api), found_(found) {}

  // A green context of `units` multiprocessors, rounded down to whole groups (so that shares that
  // add up to the device fit it) but one group at least; `taken` is how many it has.
  // ResourceExhausted names what is free, Unimplemented where the driver has no green contexts.
  absl::StatusOr<CudaGpu::Part> Take(uint32_t units, uint32_t& taken);

 private:
  absl::Status Split() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBack(size_t first, size_t count);

  const Api& api_;
  const Found found_;
  absl::Mutex mutex_;
  std::vector<CUdevResource> groups_ ABSL_GUARDED_BY(mutex_);  // empty: not split yet
  std::vector<bool> used_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_PARTITION_H_
