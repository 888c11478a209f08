// RecentRows: where the latest rows of a table stand, by the key of a user and a name. The table
// itself then needs no index: it grows at one end, is dropped at the other, and a commit writes few
// pages. A key that is added again means its latest row.
//
// Additions are staged until Commit; Rollback forgets them. Threads: one.
#ifndef HET_DAEMON_RECENT_ROWS_H_
#define HET_DAEMON_RECENT_ROWS_H_

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/node_hash_map.h"

namespace het::daemon {

class RecentRows {
 public:
  using Key = std::pair<uid_t, std::string>;

  explicit RecentRows(int64_t kept) : kept_(kept) {}

  // A row of the file; in the order of their numbers.
  void Restore(int64_t number, Key key);
  // The number that the new row of this key has.
  int64_t Add(Key key);
  std::optional<int64_t> Find(const Key& key) const;
  // Rows up to this number are to be dropped with the batch; 0: none.
  int64_t Cutoff() const;

  void Commit();
  void Rollback();

 private:
  using Numbers = absl::node_hash_map<Key, int64_t>;
  struct Row {
    int64_t number = 0;
    Numbers::value_type* entry = nullptr;
    int64_t before = 0;  // where the key stood, for Rollback; 0: nowhere
  };

  const int64_t kept_;
  Numbers numbers_;
  std::deque<Row> rows_;
  size_t staged_ = 0;  // of rows_, at its end
  int64_t last_ = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_RECENT_ROWS_H_
