#include "runtime/channel.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/files.h"
#include "base/status.h"

namespace het::runtime {
namespace {

// Copies up to this size are done where they fall due: handing them to another thread takes longer.
constexpr uint64_t kShortCopyBytes = uint64_t{256} << 10;

bool HostSees(const LeaseHandle* lease, const Device* device, const Channel::Place& place) {
  if (lease == nullptr) return true;
  // Without data, or with a clock of its own, only the device's queues tell the truth.
  return place.address() != nullptr && !device->Can(kNoData) && !device->Can(kVirtualTime);
}

// Pages that are not there yet will come from that node if it has any. A refusal (a container, an
// old kernel) costs speed only.
void PreferNode(void* address, uint64_t bytes, uint32_t numa_node) {
  constexpr uint32_t kBits = 8 * sizeof(unsigned long);
  unsigned long nodes[16] = {};
  if (numa_node >= kBits * std::size(nodes)) return;
  nodes[numa_node / kBits] = 1UL << (numa_node % kBits);
  syscall(SYS_mbind, address, bytes, MPOL_PREFERRED, nodes, kBits * std::size(nodes), 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StagingMemory>> StagingMemory::Create(uint64_t bytes,
                                                                     uint32_t numa_node) {
  const int fd = memfd_create("het-staging", MFD_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "cannot make staging memory");
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    const int error = errno;
    close(fd);
    return ErrnoStatus(error, absl::StrCat("cannot make ", bytes, " bytes of staging memory"));
  }
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return ErrnoStatus(error, absl::StrCat("cannot map ", bytes, " bytes of staging memory"));
  }
  PreferNode(address, bytes, numa_node);
  return std::unique_ptr<StagingMemory>(
      new StagingMemory(fd, static_cast<std::byte*>(address), bytes));
}

StagingMemory::~StagingMemory() {
  munmap(address_, bytes_);
  close(fd_);
}

void* Channel::Place::address() const { return buffer != nullptr ? buffer->host() : host; }

absl::StatusOr<std::unique_ptr<Channel>> Channel::Create(LeaseHandle* from, const Place& from_place,
                                                         LeaseHandle* to, const Place& to_place,
                                                         uint32_t slots, uint64_t capacity) {
  Device* source = nullptr;
  Device* destination = nullptr;
  if (from != nullptr) {
    HET_ASSIGN_OR_RETURN(source, from->device());
  }
  if (to != nullptr) {
    HET_ASSIGN_OR_RETURN(destination, to->device());
  }
  const bool see_source = HostSees(from, source, from_place);
  const bool see_destination = HostSees(to, destination, to_place);
  Route route = Route::kReadWrite;
  if (source != nullptr && source == destination) {
    route = Route::kShared;
  } else if (see_source && see_destination) {
    route = Route::kHostCopy;
  } else if (see_source) {
    route = Route::kWrite;
  } else if (see_destination) {
    route = Route::kRead;
  } else if (source->Reaches(*destination)) {
    route = Route::kPeer;
  }
  std::unique_ptr<Channel> channel(new Channel(route, capacity));
  if (route == Route::kShared) return channel;
  // A long copy that the host could do goes to a device's queue too: the destination's if there is
  // one.
  const bool write = route == Route::kWrite || route == Route::kReadWrite ||
                     (route == Route::kHostCopy && to != nullptr);
  const bool read = route == Route::kRead || route == Route::kPeer || route == Route::kReadWrite ||
                    (route == Route::kHostCopy && to == nullptr && from != nullptr);
  if (read) {
    HET_ASSIGN_OR_RETURN(channel->read_,
                         Lane::Create(Ref<LeaseHandle>(from), QueueKind::kTransfer));
  }
  if (write) {
    HET_ASSIGN_OR_RETURN(channel->write_, Lane::Create(Ref<LeaseHandle>(to), QueueKind::kTransfer));
  }
  if (route == Route::kPeer) channel->reached_ = Ref<LeaseHandle>(to);
  if (route == Route::kReadWrite && capacity > 0) {
    HET_RETURN_IF_ERROR(channel->MakeStaging(*source, from->info().numa_node, slots));
  }
  return channel;
}

absl::Status Channel::MakeStaging(Device& source, uint32_t numa_node, uint32_t slots) {
  for (uint32_t slot = 0; slot < slots; ++slot) {
    absl::StatusOr<Ref<Buffer>> buffer = source.Allocate(capacity_, MemoryKind::kStaging);
    if (!buffer.ok() || (*buffer)->host() == nullptr) {
      pinned_.clear();
      break;
    }
    pinned_.push_back(*std::move(buffer));
  }
  if (!pinned_.empty()) return absl::OkStatus();
  if (capacity_ > uint64_t{INT64_MAX} / slots) {
    return absl::ResourceExhaustedError(
        absl::StrCat("asked ", slots, " times ", capacity_, " bytes of staging memory"));
  }
  HET_ASSIGN_OR_RETURN(staging_, StagingMemory::Create(capacity_ * slots, numa_node));
  return absl::OkStatus();
}

std::byte* Channel::StagedAt(uint32_t slot) const {
  if (!pinned_.empty()) return static_cast<std::byte*>(pinned_[slot]->host());
  return staging_ == nullptr ? nullptr : staging_->address() + uint64_t{slot} * capacity_;
}

int Channel::hops() const {
  switch (route_) {
    case Route::kShared:
      return 0;
    case Route::kReadWrite:
      return 2;
    default:
      return 1;
  }
}

bool Channel::OnSource(int hop) const {
  return route_ == Route::kRead || route_ == Route::kPeer ||
         (route_ == Route::kReadWrite && hop == 0) ||
         (route_ == Route::kHostCopy && write_ == nullptr);
}

std::optional<absl::Status> Channel::Start(int hop, uint32_t slot, const Place& from,
                                           const Place& to, uint64_t bytes, Lane::Done done) {
  if (bytes > capacity_) {
    return absl::InvalidArgumentError(
        absl::StrCat("asked to move ", bytes, " bytes through a channel of ", capacity_));
  }
  if (bytes == 0 || route_ == Route::kShared) return absl::OkStatus();
  if (route_ == Route::kHostCopy &&
      (bytes <= kShortCopyBytes || (write_ == nullptr && read_ == nullptr))) {
    std::memcpy(to.address(), from.address(), bytes);
    return absl::OkStatus();
  }
  std::byte* staged = StagedAt(slot);
  if (route_ == Route::kPeer) {
    read_->Submit(
        [&](QueueHandle& queue, const Fence& signal) {
          return queue->Copy(*from.buffer, 0, *to.buffer, 0, bytes, Sync{{}, signal});
        },
        std::move(done));
  } else if (OnSource(hop)) {
    void* target = staged != nullptr ? staged : to.address();
    read_->Submit(
        [&](QueueHandle& queue, const Fence& signal) {
          return queue->Read(*from.buffer, 0, target, bytes, Sync{{}, signal});
        },
        std::move(done));
  } else {
    const void* source = staged != nullptr ? staged : from.address();
    write_->Submit(
        [&](QueueHandle& queue, const Fence& signal) {
          return queue->Write(source, *to.buffer, 0, bytes, Sync{{}, signal});
        },
        std::move(done));
  }
  return std::nullopt;
}

void Channel::Close() {
  if (read_ != nullptr) read_->Close();
  if (write_ != nullptr) write_->Close();
}

bool Channel::Drive(absl::Duration timeout) {
  return (write_ != nullptr && write_->Drive(timeout)) ||
         (read_ != nullptr && read_->Drive(timeout));
}

absl::StatusOr<double> MeasureLink(LeaseHandle& from, LeaseHandle& to, uint64_t bytes) {
  constexpr int kRounds = 9;
  if (&from == &to || bytes == 0) return 0.0;
  HET_ASSIGN_OR_RETURN(Device * source, from.device());
  HET_ASSIGN_OR_RETURN(Device * destination, to.device());
  HET_ASSIGN_OR_RETURN(const Ref<BufferHandle> out, from.Allocate(bytes, MemoryKind::kDevice));
  HET_ASSIGN_OR_RETURN(const Ref<BufferHandle> in, to.Allocate(bytes, MemoryKind::kDevice));
  const Channel::Place out_place{&**out, nullptr};
  const Channel::Place in_place{&**in, nullptr};
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<Channel> channel,
                       Channel::Create(&from, out_place, &to, in_place, 1, bytes));
  const Clock& clock = destination->Can(kVirtualTime) ? destination->clock() : source->clock();
  std::vector<double> samples;
  for (int round = 0; round <= kRounds; ++round) {  // the first one warms up
    const int64_t start = clock.MonotonicNanos();
    for (int hop = 0; hop < channel->hops(); ++hop) {
      absl::Status outcome;
      std::atomic<bool> arrived{false};
      const auto at_once = channel->Start(hop, 0, out_place, in_place, bytes, [&](absl::Status s) {
        outcome = std::move(s);
        arrived.store(true, std::memory_order_release);
      });
      if (at_once.has_value()) {
        outcome = *at_once;
      } else {
        while (!arrived.load(std::memory_order_acquire)) {
          if (!channel->Drive(absl::Seconds(1))) std::this_thread::yield();
        }
      }
      HET_RETURN_IF_ERROR(outcome);
    }
    if (round > 0) samples.push_back(static_cast<double>(clock.MonotonicNanos() - start) / 1e6);
  }
  std::nth_element(samples.begin(), samples.begin() + kRounds / 2, samples.end());
  return samples[kRounds / 2];
}

}  // namespace het::runtime
