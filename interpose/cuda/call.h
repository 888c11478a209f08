// Call: one call of the program's on its way through a hook. What the driver calls of itself
// meanwhile may come through the same entry points (its symbols are looked up like the program's):
// those inner calls are not held a second time.
#ifndef HET_INTERPOSE_CUDA_CALL_H_
#define HET_INTERPOSE_CUDA_CALL_H_

#include "interpose/cuda/driver.h"

namespace het::interpose {

class Call {
 public:
  Call() : outer_(depth_++ == 0) {}
  ~Call() { --depth_; }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  bool is_outer() const { return outer_; }

 private:
  static inline thread_local int depth_ = 0;
  const bool outer_;
};

// Makes a context the thread's current one for a while.
class WithContext {
 public:
  explicit WithContext(cuda::CUcontext context) {
    cuda::CUcontext current = nullptr;
    ok_ = cuda::driver.cuCtxGetCurrent(&current) == cuda::CUDA_SUCCESS;
    if (ok_ && current == context) return;
    pushed_ = cuda::driver.cuCtxPushCurrent_v2(context) == cuda::CUDA_SUCCESS;
    ok_ = pushed_;
  }
  ~WithContext() {
    cuda::CUcontext popped = nullptr;
    if (pushed_) cuda::driver.cuCtxPopCurrent_v2(&popped);
  }
  WithContext(const WithContext&) = delete;
  WithContext& operator=(const WithContext&) = delete;

  bool ok() const { return ok_; }

 private:
  bool ok_ = false, pushed_ = false;
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_CUDA_CALL_H_
