// MemoryAccount: device memory that the program holds through OpenCL, booked in the lease before
// the driver is asked and given back after the driver has freed it.
//
// Threads: all. An object's bytes ride in its destructor callback, so nothing is kept per object;
// only SVM pointers, which have no object, are in a table. A callback that fires inside the
// layer's own clReleaseMemObject gives back when the driver has returned; one that fires in a
// thread of the driver's, at once. Failures: a refusal is `false`, and nothing is booked.
#ifndef HET_INTERPOSE_OPENCL_MEMORY_H_
#define HET_INTERPOSE_OPENCL_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "interpose/opencl/cl.h"
#include "interpose/seat.h"

namespace het::interpose {

class MemoryAccount {
 public:
  MemoryAccount(const cl_icd_dispatch& next, Seat& seat) : next_(next), seat_(seat) {}

  bool Reserve(uint64_t bytes);
  void GiveBack(uint64_t bytes);

  // Ties `reserved` bytes to the life of a new object, after correcting them to what the driver
  // says the object takes (`exact` objects are taken at their word). False: it takes more than
  // the quota has; the object is released and nothing stays booked.
  bool Adopt(cl_mem object, uint64_t reserved, bool exact);
  // clReleaseMemObject, giving back what it freed.
  cl_int Release(cl_mem object);

  void AdoptPointer(void* pointer, uint64_t bytes);
  // The bytes that `pointer` held, which is forgotten; 0 when it is unknown.
  uint64_t ForgetPointer(const void* pointer);

 private:
  static void CL_CALLBACK Freed(cl_mem object, void* record);

  const cl_icd_dispatch& next_;
  Seat& seat_;
  absl::Mutex mutex_;
  absl::flat_hash_map<const void*, uint64_t> pointers_ ABSL_GUARDED_BY(mutex_);
};

// What an image takes at least: its pixels. 0 for one that is made from a buffer or another image.
uint64_t ImageBytes(const cl_image_format* format, const cl_image_desc* description);

}  // namespace het::interpose

#endif  // HET_INTERPOSE_OPENCL_MEMORY_H_
