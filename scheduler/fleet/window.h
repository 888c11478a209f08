// Window: the jobs that wait to be placed, and which of them goes next.
//
// Of the kinds of job in the window the one that wastes least goes first (Policy::Waste), among
// equals the oldest. Of one kind the oldest goes. A job that fits nowhere goes at once, refused. A
// job that kPatience windows of others have passed goes next, whatever it wastes.
//
// With a size of one this is plain first come, first served. Deterministic. Not thread-safe;
// borrows the placer.
#ifndef HET_SCHEDULER_FLEET_WINDOW_H_
#define HET_SCHEDULER_FLEET_WINDOW_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "scheduler/fleet/placer.h"

namespace het::fleet {

class Window {
 public:
  struct Decision {
    int job = 0;
    int kind = 0;
    std::optional<Placement> placement;  // nothing: it fits nowhere
  };

  Window(Placer& placer, int size) : placer_(placer), size_(size) {}

  bool full() const { return waiting_ >= size_; }
  bool empty() const { return waiting_ == 0; }
  void Add(int kind, int job);
  // The next job, placed or refused. Not empty.
  Decision Next();

 private:
  struct Waiting {
    int job;
    int64_t added;  // how many had been added before
  };
  Decision Take(int kind, const std::optional<Placer::Candidate>& candidate);

  Placer& placer_;
  int size_;
  int waiting_ = 0;
  int64_t added_ = 0;
  std::map<int, std::deque<Waiting>> jobs_;  // by kind; no empty queues
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_WINDOW_H_
