// Numbers multisets of classes in mixed radix and maps them to slots of a table, so that only
// multisets that were reached take memory. Small families use a plain array, large ones a hash
// table.
//
// Internal to scheduler/. Not thread-safe.
#ifndef HET_SCHEDULER_MULTISET_INDEX_H_
#define HET_SCHEDULER_MULTISET_INDEX_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace het::scheduler {

class MultisetIndex {
 public:
  static constexpr int32_t kNone = -1;

  // counts[c]: members of class c.
  explicit MultisetIndex(const std::vector<int>& counts) : counts_(counts) {
    uint64_t size = 1;
    for (int count : counts) {
      strides_.push_back(size);
      if (size > (std::numeric_limits<uint64_t>::max() >> 2) / static_cast<uint64_t>(count + 1)) {
        fits_ = false;
        return;
      }
      size *= static_cast<uint64_t>(count + 1);
    }
    if (size <= kDenseLimit) dense_.assign(size, kNone);
  }

  // False where the family is too large to be numbered; nothing else may be called then.
  bool fits() const { return fits_; }
  uint64_t stride(int cls) const { return strides_[cls]; }
  int Used(uint64_t multiset, int cls) const {
    return static_cast<int>(multiset / strides_[cls] % static_cast<uint64_t>(counts_[cls] + 1));
  }

  // The slot of a multiset, which the caller may set where it is kNone. Valid until the next call.
  int32_t& Slot(uint64_t multiset) {
    if (!dense_.empty()) return dense_[multiset];
    return sparse_.try_emplace(multiset, kNone).first->second;
  }
  int32_t Find(uint64_t multiset) const {
    if (!dense_.empty()) return dense_[multiset];
    const auto it = sparse_.find(multiset);
    return it == sparse_.end() ? kNone : it->second;
  }

 private:
  static constexpr uint64_t kDenseLimit = uint64_t{1} << 20;

  std::vector<int> counts_;
  std::vector<uint64_t> strides_;
  bool fits_ = true;
  std::vector<int32_t> dense_;
  absl::flat_hash_map<uint64_t, int32_t> sparse_;
};

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_MULTISET_INDEX_H_
