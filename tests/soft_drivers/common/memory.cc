#include "tests/soft_drivers/common/memory.h"

#include <sys/mman.h>

#include <utility>

namespace het::soft {
namespace {

constexpr uint64_t kPage = 4096;

uint64_t Rounded(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

void Memory::SetSize(int card, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  sizes_[card] = bytes;
}

void* Memory::Allocate(int card, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0 || bytes > UINT64_MAX / 2) return nullptr;
  uint64_t& used = used_[card];
  if (card != kHostMemory && (bytes > sizes_[card] || used > sizes_[card] - bytes)) return nullptr;
  void* address = mmap(nullptr, Rounded(bytes), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  used += bytes;
  auto* begin = static_cast<char*>(address);
  pieces_[begin] = {begin, bytes, card, false};
  return address;
}

bool Memory::Register(void* address, uint64_t bytes) {
  const Piece first = Find(address);
  if (first.bytes != 0 || bytes == 0) return false;
  const std::lock_guard lock(mutex_);
  auto* begin = static_cast<char*>(address);
  pieces_[begin] = {begin, bytes, kHostMemory, true};
  return true;
}

bool Memory::Free(void* address) {
  Piece piece;
  {
    const std::lock_guard lock(mutex_);
    const auto found = pieces_.find(static_cast<char*>(address));
    if (found == pieces_.end()) return false;
    piece = found->second;
    pieces_.erase(found);
    if (!piece.registered) used_[piece.card] -= piece.bytes;
  }
  // The pages go back, the addresses stay: a launch that PoCL still runs for a card that was lost
  // may touch them, as a dead card's engine may, and must not take the process along.
  if (!piece.registered) madvise(piece.begin, Rounded(piece.bytes), MADV_DONTNEED);
  return true;
}

Piece Memory::Find(const void* address, uint64_t bytes) const {
  const auto* begin = static_cast<const char*>(address);
  const std::lock_guard lock(mutex_);
  auto after = pieces_.upper_bound(begin);
  if (after == pieces_.begin()) return {};
  const Piece& piece = std::prev(after)->second;
  const auto offset = static_cast<uint64_t>(begin - piece.begin);
  if (offset > piece.bytes || bytes > piece.bytes - offset) return {};
  return piece;
}

uint64_t Memory::used(int card) const {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(card);
  return found == used_.end() ? 0 : found->second;
}

uint64_t Memory::size(int card) const {
  const std::lock_guard lock(mutex_);
  const auto found = sizes_.find(card);
  return found == sizes_.end() ? 0 : found->second;
}

void Memory::Reserve(int card, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  used_[card] += static_cast<uint64_t>(bytes);
}

}  // namespace het::soft
