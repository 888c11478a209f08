#include "devices/cpu/host_memory.h"

#include <sys/mman.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/units.h"
#include "devices/device.h"

namespace het::cpu {
namespace {

// From here on memory is mapped on its own: it goes back to the system when it is freed.
constexpr uint64_t kMapFrom = kMiB;
// From here on huge pages pay: fewer TLB misses while weights stream through.
constexpr uint64_t kHugeFrom = 4 * kMiB;

void* NewMemory(uint64_t bytes) {
  if (bytes < kMapFrom) return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  if (bytes >= kHugeFrom) madvise(address, bytes, MADV_HUGEPAGE);  // a wish; failing is fine
  return address;
}

void FreeMemory(void* address, uint64_t bytes) {
  if (bytes < kMapFrom) {
    std::free(address);
  } else {
    munmap(address, bytes);
  }
}

}  // namespace

absl::Status MemoryAccount::Take(uint64_t bytes, const std::string& device) {
  uint64_t taken = taken_.load(std::memory_order_relaxed);
  do {
    const uint64_t left = taken < limit_ ? limit_ - taken : 0;
    if (bytes > left) {
      return absl::ResourceExhaustedError(
          absl::StrCat("asked ", FormatBytes(bytes), " on ", device, ", which has ",
                       FormatBytes(left), " of its ", FormatBytes(limit_),
                       " left in this process; ask for at most that or free buffers first"));
    }
  } while (!taken_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
  return absl::OkStatus();
}

absl::StatusOr<Ref<Buffer>> HostBuffer::Allocate(Device& device, MemoryAccount& account,
                                                 uint64_t bytes, bool visible) {
  HET_RETURN_IF_ERROR(account.Take(bytes, device.info().name));
  void* data = NewMemory(bytes);
  if (data == nullptr) {
    account.Give(bytes);
    return absl::ResourceExhaustedError(absl::StrCat("asked ", FormatBytes(bytes), " on ",
                                                     device.info().name,
                                                     "; the system has no such memory left"));
  }
  return Ref<Buffer>(new HostBuffer(device, bytes, data, visible, true, &account));
}

Ref<Buffer> HostBuffer::Wrap(Device& device, void* address, uint64_t bytes, bool writable) {
  return Ref<Buffer>(new HostBuffer(device, bytes, address, true, writable, nullptr));
}

HostBuffer::~HostBuffer() {
  if (account_ == nullptr) return;
  FreeMemory(data_, bytes());
  account_->Give(bytes());
}

}  // namespace het::cpu
