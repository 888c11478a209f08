// Fuzz target: a tenant that writes anything into the shared memory it may write, while the owner
// goes on (seats, statistics, quota, restart) and an honest tenant of another lease works beside
// it. Finds crashes and the breach of two rules: the owner's terms stay what it said, and the
// honest tenant gets its turn in bounded time whatever its peer claims.
#include <fuzzer/FuzzedDataProvider.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "partition/arbiter_host.h"
#include "partition/arbiter_pages.h"
#include "partition/arbiter_seat.h"
#include "partition/process_state.h"

namespace het {
namespace {

constexpr int kSteps = 24;
constexpr int64_t kPatienceNs = 20'000'000'000;

// Goes on by a millisecond whenever somebody looks, so that waiting needs no real time.
class HastyClock final : public ManualClock {
 public:
  int64_t MonotonicNanos() const override {
    return ManualClock::MonotonicNanos() + looks_.fetch_add(1) * 1'000'000;
  }

 private:
  mutable std::atomic<int64_t> looks_{0};
};

ArbiterLease LeaseOf(uint32_t percent, FuzzedDataProvider& input) {
  ArbiterLease lease;
  lease.weight = Share::OfPercent(percent);
  lease.policy =
      input.PickValueInArray({Policy::kGuaranteed, Policy::kCapped, Policy::kBestEffort});
  lease.priority = input.ConsumeIntegralInRange<uint32_t>(0, 2);
  lease.memory_quota = 1000;
  lease.uid = geteuid();
  return lease;
}

// Writes of the shapes that do harm: a field of a slot or a lease, or anything anywhere.
void Scribble(FuzzedDataProvider& input, char* region) {
  const auto word = [&] {
    switch (input.ConsumeIntegralInRange(0, 3)) {
      case 0:
        return uint64_t{0};
      case 1:
        return ~uint64_t{0};
      case 2:
        return uint64_t{1} << input.ConsumeIntegralInRange(0, 63);
      default:
        return input.ConsumeIntegral<uint64_t>();
    }
  }();
  size_t at = 0;
  switch (input.ConsumeIntegralInRange(0, 4)) {
    case 0:
      at = offsetof(arbiter::RegionPage, hot) + input.ConsumeIntegralInRange<size_t>(0, 31) * 8;
      break;
    case 1:
      at = offsetof(arbiter::RegionPage, cold) + input.ConsumeIntegralInRange<size_t>(0, 63) * 8;
      break;
    case 2:
      at = offsetof(arbiter::RegionPage, tags) + input.ConsumeIntegralInRange<size_t>(0, 31) * 8;
      break;
    case 3:
      at = offsetof(arbiter::RegionPage, caps) + input.ConsumeIntegralInRange<size_t>(0, 31) * 8;
      break;
    default:
      at = input.ConsumeIntegralInRange<size_t>(0, sizeof(arbiter::RegionPage) / 8 - 1) * 8;
  }
  memcpy(region + at, &word, sizeof(word));
}

void Run(FuzzedDataProvider& input) {
  HastyClock clock;
  clock.AdvanceNanos(1'000'000'000);
  ArbiterOptions options;
  options.clock = &clock;
  auto host = *ArbiterHost::Create("device", options);
  const ArbiterLease honest_terms = LeaseOf(50, input);
  // The other is of another user, whose region is another: it cannot write the honest one's.
  ArbiterLease hostile_terms = LeaseOf(50, input);
  hostile_terms.uid = geteuid() + 1;
  hostile_terms.priority = honest_terms.priority;
  hostile_terms.policy = honest_terms.policy;
  const uint32_t honest = *host->AddLease(honest_terms);
  const uint32_t hostile = *host->AddLease(hostile_terms);
  const uint64_t born = StartTimeOfProcess(getpid());
  SeatGrant stolen = *host->Seat(hostile, getpid(), born);
  auto* region =
      static_cast<char*>(mmap(nullptr, sizeof(arbiter::RegionPage), PROT_READ | PROT_WRITE,
                              MAP_SHARED, stolen.region_fd.get(), 0));
  if (region == MAP_FAILED) abort();
  auto seat = *ArbiterSeat::Join(*host->Seat(honest, getpid(), born), clock);
  std::optional<uint32_t> seated = stolen.slot;
  for (int step = 0; step < kSteps && input.remaining_bytes() > 0; ++step) {
    clock.AdvanceNanos(input.ConsumeIntegralInRange<int64_t>(0, 50'000'000));
    switch (input.ConsumeIntegralInRange(0, 8)) {
      case 0:
        host->Beat();
        break;
      case 1:
        (void)host->Usage(hostile);
        (void)host->Usage(honest);
        break;
      case 2:
        (void)host->ChangeLease(hostile, hostile_terms);
        break;
      case 3:
        if (seated) (void)host->Unseat(*seated);
        seated.reset();
        if (auto grant = host->Seat(hostile, getpid(), born); grant.ok()) seated = grant->slot;
        break;
      case 4: {
        const uint64_t bytes = input.ConsumeIntegralInRange<uint64_t>(0, 1000);
        if (seat->memory_used() == 0 && seat->Reserve(bytes).ok()) seat->GiveBack(bytes);
        break;
      }
      case 5:
        (void)host->Seats();
        (void)host->Leases();
        break;
      default:
        Scribble(input, region);
    }
  }
  for (const auto& [lease, terms] :
       {std::pair(honest, honest_terms), std::pair(hostile, hostile_terms)}) {
    const auto kept = host->LeaseOf(lease);
    if (!kept.ok() || kept->weight != terms.weight || kept->memory_quota != terms.memory_quota)
      abort();
  }
  // Whatever its peer claims, it gets its turn. Waiting takes real milliseconds too: not each time.
  if (input.ConsumeIntegralInRange(0, 31) == 31) {
    const int64_t asked = clock.MonotonicNanos();
    const auto ticket = seat->Begin(10'000);
    if (!ticket.ok() || clock.MonotonicNanos() - asked > kPatienceNs) abort();
    seat->End(*ticket, 10'000);
  } else if (const auto ticket = seat->TryBegin(10'000)) {
    seat->End(*ticket, 10'000);
  }
  seat.reset();
  munmap(region, sizeof(arbiter::RegionPage));
}

}  // namespace
}  // namespace het

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  het::Run(input);
  return 0;
}
