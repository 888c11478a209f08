// Channel: how the bytes of one item get from a buffer on one slice (or host memory) to a buffer on
// another (or host memory). The route is chosen once:
//
//   shared      both ends are one device: the next stage reads the same buffer, nothing moves
//   host copy   the host can address both: a copy on the calling thread when it is short, else as
//               write or read
//   write       the host can address the source: the destination's transfer queue takes it
//   read        the host can address the destination: the source's transfer queue puts it there
//   peer        the source's transfer queue reaches the destination's memory: one copy on the
//   devices read-write  two hops through staging memory of the channel
//
// A hop works on one device and is asynchronous; the caller starts the second when the first is
// done (it may belong to another driver). Staging memory is a memfd, so that an end may one day
// live in another process. Threads: one hop is started by one thread at a time; hops are
// independent.
#ifndef HET_RUNTIME_CHANNEL_H_
#define HET_RUNTIME_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/lane.h"
#include "runtime/lease.h"

namespace het::runtime {

// Host memory mapped from a memfd, so that another process could map it too. Its pages come from
// `numa_node`, the device's, while that has any and the system allows to ask. Fails with what the
// system says.
class StagingMemory {
 public:
  static absl::StatusOr<std::unique_ptr<StagingMemory>> Create(uint64_t bytes, uint32_t numa_node);
  ~StagingMemory();
  std::byte* address() const { return address_; }

 private:
  StagingMemory(int fd, std::byte* address, uint64_t bytes)
      : fd_(fd), address_(address), bytes_(bytes) {}
  const int fd_;
  std::byte* const address_;
  const uint64_t bytes_;
};

class Channel {
 public:
  enum class Route { kShared, kHostCopy, kWrite, kRead, kPeer, kReadWrite };

  // One end of a transfer: a device's buffer, or host memory.
  struct Place {
    Buffer* buffer = nullptr;
    void* host = nullptr;
    // Where the host may read or write it; null when it cannot.
    void* address() const;
  };

  // `from` and `to`: a lease, or null for the host; `from_place` and `to_place` are samples of the
  // places that will be used (all of a kind). At most `slots` transfers of at most `capacity` bytes
  // at a time, one per slot.
  static absl::StatusOr<std::unique_ptr<Channel>> Create(LeaseHandle* from, const Place& from_place,
                                                         LeaseHandle* to, const Place& to_place,
                                                         uint32_t slots, uint64_t capacity);

  Route route() const { return route_; }
  int hops() const;
  // Does hop `hop` work on the source's device (else on the destination's)?
  bool OnSource(int hop) const;
  // Starts a hop. A value: done already (or failed). Nothing: `done` will be called.
  std::optional<absl::Status> Start(int hop, uint32_t slot, const Place& from, const Place& to,
                                    uint64_t bytes, Lane::Done done);
  void Close();  // see Lane::Close
  // Lets a virtual clock go on; see Lane::Drive.
  bool Drive(absl::Duration timeout);

 private:
  Channel(Route route, uint64_t capacity) : route_(route), capacity_(capacity) {}
  absl::Status MakeStaging(Device& source, uint32_t numa_node, uint32_t slots);
  std::byte* StagedAt(uint32_t slot) const;

  const Route route_;
  const uint64_t capacity_;
  Ref<LeaseHandle> reached_;     // peer: keeps the destination open
  std::unique_ptr<Lane> read_;   // on the source
  std::unique_ptr<Lane> write_;  // on the destination
  // Read-write only, one of both. After the lanes: they keep the device open.
  std::vector<Ref<Buffer>> pinned_;  // by slot
  std::unique_ptr<StagingMemory> staging_;
};

// Milliseconds for `bytes` from a buffer on one lease to a buffer on the other through a channel:
// the median of several, by the devices' clock. 0 for the same lease. Blocks; takes `bytes` of both
// quotas meanwhile.
absl::StatusOr<double> MeasureLink(LeaseHandle& from, LeaseHandle& to, uint64_t bytes);

}  // namespace het::runtime

#endif  // HET_RUNTIME_CHANNEL_H_
