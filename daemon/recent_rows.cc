#include "daemon/recent_rows.h"

#include <algorithm>

namespace het::daemon {

void RecentRows::Restore(int64_t number, Key key) {
  last_ = number - 1;
  Add(std::move(key));
  staged_ = 0;
}

int64_t RecentRows::Add(Key key) {
  const auto [entry, fresh] = numbers_.try_emplace(std::move(key), 0);
  rows_.push_back({++last_, &*entry, std::exchange(entry->second, last_)});
  ++staged_;
  return last_;
}

std::optional<int64_t> RecentRows::Find(const Key& key) const {
  const auto entry = numbers_.find(key);
  if (entry == numbers_.end()) return std::nullopt;
  return entry->second;
}

int64_t RecentRows::Cutoff() const {
  const int64_t cutoff = last_ - kept_;
  return rows_.empty() || rows_.front().number > cutoff ? 0 : cutoff;
}

void RecentRows::Commit() {
  staged_ = 0;
  for (const int64_t cutoff = Cutoff(); !rows_.empty() && rows_.front().number <= cutoff;) {
    const Row& row = rows_.front();
    // A later row of the same key keeps the entry.
    if (row.entry->second == row.number) numbers_.erase(row.entry->first);
    rows_.pop_front();
  }
}

void RecentRows::Rollback() {
  for (; staged_ > 0; --staged_) {
    const Row& row = rows_.back();
    last_ = row.number - 1;
    if (row.before == 0) {
      numbers_.erase(row.entry->first);
    } else {
      row.entry->second = row.before;
    }
    rows_.pop_back();
  }
}

}  // namespace het::daemon
