#include "tools/probe/measure_links.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/units.h"

namespace het::probe {
namespace {

constexpr uint64_t kChunkBytes = 2 * kMiB;
constexpr uint64_t kChunks = 8;
constexpr uint64_t kShortBytes = 4 * kKiB;
constexpr int kRounds = 3, kShortRounds = 9;
constexpr absl::Duration kPatience = absl::Seconds(5);

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using HostMemory = std::unique_ptr<char, FreeDeleter>;

HostMemory TakeHostMemory(uint64_t bytes) {
  HostMemory memory(static_cast<char*>(std::aligned_alloc(4096, bytes)));
  if (memory) memset(memory.get(), 1, bytes);  // pages are there before anything is timed
  return memory;
}

// One side of a link: a device with a queue for copies, or host memory.
class End {
 public:
  static absl::StatusOr<std::unique_ptr<End>> Of(Driver& driver, const DeviceInfo& info) {
    auto end = std::make_unique<End>();
    end->uuid_ = info.uuid;
    HET_ASSIGN_OR_RETURN(end->device_, driver.Open(info.uuid, {}));
    HET_ASSIGN_OR_RETURN(end->queue_, end->device_->CreateQueue(QueueKind::kTransfer));
    HET_ASSIGN_OR_RETURN(end->buffer_, end->device_->Allocate(kChunkBytes * kChunks));
    HET_ASSIGN_OR_RETURN(end->done_, end->device_->CreateTimeline());
    HET_RETURN_IF_ERROR(end->queue_->Fill(*end->buffer_, 0, kChunkBytes * kChunks, 1));
    HET_RETURN_IF_ERROR(end->queue_->Barrier({.waits = {}, .signal = end->Next()}));
    HET_RETURN_IF_ERROR(end->Finish());
    return end;
  }
  static std::unique_ptr<End> Host() {
    auto end = std::make_unique<End>();
    end->uuid_ = "host";
    end->memory_ = TakeHostMemory(kChunkBytes * kChunks);
    return end;
  }

  const std::string& uuid() const { return uuid_; }
  // Where the host may use it in place; null otherwise.
  char* address() const { return buffer_ ? static_cast<char*>(buffer_->host()) : memory_.get(); }
  // Host memory that this device copies to and from best.
  absl::StatusOr<char*> Staging() {
    if (staging_ == nullptr && device_ != nullptr) {
      if (auto pinned = device_->Allocate(kChunkBytes * kChunks, MemoryKind::kStaging);
          pinned.ok() && (*pinned)->host() != nullptr) {
        pinned_ = *std::move(pinned);
        staging_ = static_cast<char*>(pinned_->host());
      }
    }
    if (staging_ == nullptr) {
      own_staging_ = TakeHostMemory(kChunkBytes * kChunks);
      staging_ = own_staging_.get();
    }
    if (staging_ == nullptr) return absl::ResourceExhaustedError("no memory to measure with");
    return staging_;
  }

  absl::Status Read(uint64_t offset, char* to, uint64_t bytes) {
    HET_RETURN_IF_ERROR(queue_->Read(*buffer_, offset, to, bytes, {.waits = {}, .signal = Next()}));
    return queue_->Flush();
  }
  absl::Status Write(const char* from, uint64_t offset, uint64_t bytes) {
    HET_RETURN_IF_ERROR(
        queue_->Write(from, *buffer_, offset, bytes, {.waits = {}, .signal = Next()}));
    return queue_->Flush();
  }
  // Until everything asked for so far is done, or `behind` operations are not.
  absl::Status Finish(uint64_t behind = 0) {
    return value_ <= behind ? absl::OkStatus() : done_->Wait(value_ - behind, kPatience);
  }

 private:
  Fence Next() { return {done_, ++value_}; }

  std::string uuid_;
  std::unique_ptr<Device> device_;
  Ref<Buffer> buffer_, pinned_;
  HostMemory memory_, own_staging_;
  char* staging_ = nullptr;
  Ref<Timeline> done_;
  uint64_t value_ = 0;
  std::unique_ptr<Queue> queue_;  // last: its destructor waits for what is queued
};

// `chunks` pieces of `bytes` from one end to the other.
absl::Status Move(End& from, End& to, uint64_t bytes, uint64_t chunks) {
  char* source = from.address();
  char* target = to.address();
  if (source != nullptr && target != nullptr) {
    memcpy(target, source, bytes * chunks);
    return absl::OkStatus();
  }
  if (source != nullptr || target != nullptr) {  // one hop
    for (uint64_t i = 0; i < chunks; ++i) {
      HET_RETURN_IF_ERROR(source != nullptr ? to.Write(source + i * bytes, i * bytes, bytes)
                                            : from.Read(i * bytes, target + i * bytes, bytes));
    }
    return source != nullptr ? to.Finish() : from.Finish();
  }
  HET_ASSIGN_OR_RETURN(char* const staging, from.Staging());
  for (uint64_t i = 0; i < chunks; ++i) {
    HET_RETURN_IF_ERROR(from.Read(i * bytes, staging + i * bytes, bytes));
  }
  for (uint64_t i = 0; i < chunks; ++i) {  // while the rest is still being read
    HET_RETURN_IF_ERROR(from.Finish(chunks - 1 - i));
    HET_RETURN_IF_ERROR(to.Write(staging + i * bytes, i * bytes, bytes));
  }
  return to.Finish();
}

absl::StatusOr<double> FastestSeconds(End& from, End& to, uint64_t bytes, uint64_t chunks,
                                      int rounds) {
  double best = 0;
  for (int round = 0; round <= rounds; ++round) {  // the first one warms up
    const int64_t begin = Clock::Real().MonotonicNanos();
    HET_RETURN_IF_ERROR(Move(from, to, bytes, chunks));
    const double seconds = static_cast<double>(Clock::Real().MonotonicNanos() - begin) * 1e-9;
    if (round == 1 || (round > 1 && seconds < best)) best = seconds;
  }
  return best;
}

absl::StatusOr<MeasuredLink> Measure(End& from, End& to) {
  MeasuredLink link{from.uuid(), to.uuid(), 0, 0, "host"};
  if (from.address() != nullptr && to.address() != nullptr) link.route = "shared";
  HET_ASSIGN_OR_RETURN(link.latency_s, FastestSeconds(from, to, kShortBytes, 1, kShortRounds));
  HET_ASSIGN_OR_RETURN(const double seconds,
                       FastestSeconds(from, to, kChunkBytes, kChunks, kRounds));
  if (seconds > 0) link.bytes_per_s = static_cast<double>(kChunkBytes * kChunks) / seconds;
  return link;
}

absl::StatusOr<std::vector<std::unique_ptr<End>>> EndsOf(Driver& driver) {
  HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, driver.Enumerate());
  std::vector<std::unique_ptr<End>> ends;
  for (const DeviceInfo& device : devices) {
    // A simulated link is what its profile says, not what this machine's memory does.
    if (device.state != DeviceState::kOk || device.simulated) continue;
    auto end = End::Of(driver, device);
    if (!end.ok()) {
      Log().info("links of {} are not measured: {}", device.name, end.status().ToString());
      continue;
    }
    ends.push_back(*std::move(end));
  }
  return ends;
}

}  // namespace

absl::StatusOr<std::vector<MeasuredLink>> MeasureLinks(Driver& from, Driver& to) {
  const bool same = &from == &to;
  HET_ASSIGN_OR_RETURN(const auto sources, EndsOf(from));
  std::vector<std::unique_ptr<End>> others;
  if (!same) {
    HET_ASSIGN_OR_RETURN(others, EndsOf(to));
  }
  std::vector<MeasuredLink> links;
  const auto add = [&links](End& a, End& b) {
    if (a.uuid() == b.uuid()) return;
    auto link = Measure(a, b);
    if (link.ok()) {
      links.push_back(*std::move(link));
    } else {
      Log().info("the link {} to {} is not measured: {}", a.uuid(), b.uuid(),
                 link.status().ToString());
    }
  };
  for (const auto& a : sources) {
    for (const auto& b : same ? sources : others) add(*a, *b);
  }
  if (!same) return links;
  const std::unique_ptr<End> host = End::Host();
  for (const auto& a : sources) {
    add(*a, *host);
    add(*host, *a);
  }
  return links;
}

}  // namespace het::probe
