// Stream: an in-order queue of work of a soft card, with a thread of its own: launches on PoCL, and
// everything else (copies, host functions, waits) as functions that run on the stream's thread.
// Mark: a point in a stream that is reached or not; what the vendors' events are made of.
//
// After a failure nothing queued runs any more, but marks are still reached, so that nobody waits
// for ever: whoever waits then asks for the failure.
//
// Threads: all members are thread-safe. The destructor waits for what is queued.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_STREAM_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_STREAM_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/soft_drivers/common/runner.h"

namespace het::soft {

// What a stream was given while it was captured, and did not run: a launch, or a function.
struct GraphNode {
  Launch launch;
  std::function<void()> work;
};

class Mark {
 public:
  bool reached() const;
  // Blocks.
  void Wait();
  // CLOCK_MONOTONIC of the moment it was reached; 0 before.
  int64_t nanos() const;
  void Reach();

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t nanos_ = 0;
};

class Stream {
 public:
  // Called on the stream's thread before every launch runs; false: it is not run (the callee has
  // noted why).
  using Admission = std::function<bool(const Launch&)>;
  // A launch that PoCL refused.
  using Failure = std::function<void(const std::string& why)>;

  Stream(Admission admission, Failure failure);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // First thing of the destructor.
  void CallAtEnd(std::function<void(Stream*)> at_end) { at_end_ = std::move(at_end); }

  void Enqueue(Launch launch);
  // `always`: also after Stop.
  void Enqueue(std::function<void()> work, bool always = false);
  std::shared_ptr<Mark> Record();
  void WaitFor(std::shared_ptr<Mark> mark);

  bool idle() const;
  void Synchronize();
  // What is queued and what comes is dropped (a card that is lost).
  void Stop() { stopped_.store(true, std::memory_order_release); }

 private:
  struct Item {
    std::function<void()> work;  // or
    Launch launch;
    bool always = false;
  };

  void Push(Item item);
  void Work();

  const Admission admission_;
  const Failure failure_;
  std::function<void(Stream*)> at_end_;
  std::atomic<bool> stopped_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> items_;
  bool asleep_ = false;
  bool busy_ = false;
  bool ends_ = false;
  std::thread thread_;  // started with the first item
};

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_STREAM_H_
