// OpenClWatcher: asks the driver to tell when a queue is drained: a marker in the queue, with a
// callback. The callback runs in a thread of the driver's and calls nothing but Turns.
#ifndef HET_INTERPOSE_OPENCL_WATCHER_H_
#define HET_INTERPOSE_OPENCL_WATCHER_H_

#include "interpose/opencl/cl.h"
#include "interpose/turns.h"

namespace het::interpose {

class OpenClWatcher : public Turns::Watcher {
 public:
  // `version`: of the device (120 and later have markers with wait lists).
  OpenClWatcher(const cl_icd_dispatch& next, int version) : next_(next), version_(version) {}

  bool WatchQueue(Turns::Queue queue, Turns::Turn* turn) override;
  bool WatchEvent(Turns::Event event, Turns::Turn* turn) override;
  void DropEvent(Turns::Event event) override;

 private:
  const cl_icd_dispatch& next_;
  const int version_;
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_OPENCL_WATCHER_H_
