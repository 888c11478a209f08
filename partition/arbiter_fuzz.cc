// Fuzz target: what a hostile process may write into the memory it shares with hetd, between hetd's
// own operations. Finds crashes and the breach of one rule: nothing that a user writes changes what
// hetd reads of another user's lease.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "partition/arbiter_host.h"

namespace {

using het::ArbiterHost;
using het::ArbiterLease;

struct World {
  World() {
    host = *ArbiterHost::Create("fuzz");
    ArbiterLease terms;
    terms.weight = het::Share::OfPercent(50);
    terms.memory_quota = uint64_t{1} << 30;
    terms.uid = 1;
    terms.id = "hostile";
    hostile = *host->AddLease(terms);
    terms.uid = 2;
    terms.id = "other";
    other = *host->AddLease(terms);
    seat = *host->Seat(hostile, 101, 1);
    (void)*host->Seat(other, 102, 1);
    bytes = static_cast<size_t>(lseek(seat.region_fd.get(), 0, SEEK_END));
    memory = static_cast<uint8_t*>(
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, seat.region_fd.get(), 0));
    if (memory == MAP_FAILED) abort();
  }
  ~World() { munmap(memory, bytes); }

  std::unique_ptr<ArbiterHost> host;
  uint32_t hostile = 0;
  uint32_t other = 0;
  het::SeatGrant seat;
  uint8_t* memory = nullptr;
  size_t bytes = 0;
};

void LookAround(World& world, uint8_t choice) {
  (void)world.host->Usage(world.hostile);
  const auto usage = world.host->Usage(world.other);
  if (!usage.ok() || usage->used_ns != 0 || usage->launches != 0 || usage->memory != 0 ||
      usage->in_flight != 0 || usage->seats != 1) {
    abort();
  }
  world.host->Beat();
  (void)world.host->Seats();
  (void)world.host->Leases();
  if (choice % 4 == 0) {
    auto terms = *world.host->LeaseOf(world.hostile);
    terms.memory_quota = uint64_t{choice} << 20;
    (void)world.host->ChangeLease(world.hostile, terms);
  } else if (choice % 4 == 1) {
    const auto seat = world.host->Seat(world.hostile, 1000 + choice, 1);
    if (seat.ok()) (void)world.host->Unseat(seat->slot);
  }
}

}  // namespace

// Pieces of two bytes of offset, one of length and one of what hetd does next, and the bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<World> world;
  static int runs = 0;
  if (world == nullptr || ++runs % 512 == 0) world = std::make_unique<World>();
  while (size >= 4) {
    const size_t offset = (size_t{data[0]} << 8 | data[1]) * 4 % world->bytes;
    const size_t length = std::min({size_t{data[2]}, size - 4, world->bytes - offset});
    const uint8_t choice = data[3];
    memcpy(world->memory + offset, data + 4, length);
    LookAround(*world, choice);
    data += 4 + length;
    size -= 4 + length;
  }
  return 0;
}
