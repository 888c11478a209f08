// Seat: what an interposed program holds of its lease: turns on the device and room in the memory
// quota. The arbiter's seat (partition/) in a real program; a scripted one in tests.
//
// Threads: every method from any thread at once. A turn is given for the slice, not for a queue,
// and every ticket is ended exactly once. Failures: Begin fails when the lease is gone; Reserve
// refuses with ResourceExhausted and what is free, and reserves nothing then.
#ifndef HET_INTERPOSE_SEAT_H_
#define HET_INTERPOSE_SEAT_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partition/arbiter_seat.h"

namespace het::interpose {

class Seat {
 public:
  virtual ~Seat() = default;

  // A turn for work of about `estimate_ns`, or nothing where others come first. Never blocks.
  virtual std::optional<Ticket> TryBegin(uint64_t estimate_ns) = 0;
  // The same, waiting for it.
  virtual absl::StatusOr<Ticket> Begin(uint64_t estimate_ns) = 0;
  // The work is complete and kept the device busy for `busy_ns`.
  virtual void End(const Ticket& ticket, uint64_t busy_ns) = 0;

  // Whether nobody else wanted the device at the last decision: long turns harm nobody then.
  virtual bool alone() const = 0;

  virtual absl::Status Reserve(uint64_t bytes) = 0;
  virtual void GiveBack(uint64_t bytes) = 0;
  virtual uint64_t memory_limit() const = 0;
  virtual uint64_t memory_used() const = 0;
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_SEAT_H_
