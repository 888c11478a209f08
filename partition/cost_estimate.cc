#include "partition/cost_estimate.h"

namespace het {
namespace {

// relaxed throughout: a wrong average costs one imprecise estimate, which the arbiter settles.
constexpr auto kRelaxed = std::memory_order_relaxed;

uint64_t Mix(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccd;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53;
  return value ^ value >> 33;
}

uint64_t Average(uint64_t before, uint64_t sample) {
  return sample >= before ? before + (sample - before) / 8 : before - (before - sample) / 8;
}

}  // namespace

uint64_t CostEstimate::Key(uint64_t kernel, uint64_t items) {
  const uint64_t key = Mix(kernel ^ Mix(items));
  return key != 0 ? key : 1;
}

std::optional<uint64_t> CostEstimate::Known(uint64_t key) const {
  const uint64_t at = Mix(key);
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    const Entry& entry = entries_[(at + probe) % kEntries];
    if (entry.key.load(kRelaxed) == key) {
      const uint64_t ns = entry.ns.load(kRelaxed);
      if (ns != 0) return ns;
    }
  }
  return std::nullopt;
}

uint64_t CostEstimate::Estimate(uint64_t key) const {
  return Known(key).value_or(overall_.load(kRelaxed));
}

void CostEstimate::Learn(uint64_t key, uint64_t took_ns) {
  if (took_ns == 0) return;
  overall_.store(Average(overall_.load(kRelaxed), took_ns), kRelaxed);
  const uint64_t at = Mix(key);
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    Entry& entry = entries_[(at + probe) % kEntries];
    uint64_t found = entry.key.load(kRelaxed);
    if (found == 0 && entry.key.compare_exchange_strong(found, key, kRelaxed)) found = key;
    if (found == key) {
      const uint64_t before = entry.ns.load(kRelaxed);
      entry.ns.store(before == 0 ? took_ns : Average(before, took_ns), kRelaxed);
      return;
    }
  }
  Entry& entry = entries_[at % kEntries];
  entry.key.store(key, kRelaxed);
  entry.ns.store(took_ns, kRelaxed);
}

}  // namespace het
