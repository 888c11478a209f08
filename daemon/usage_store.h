// UsageStore: where the hours of the node's devices went, on disk, for the allocation reports. A
// SQLite file of its own (usage.db): what it keeps is worth less than the leases and may lag behind
// by a minute, so neither its size nor its damage nor its commits may touch them.
//
// An hour that is closed never changes. Bounded: the latest 400 days' worth of hours are kept, and
// beyond 4,000,000 rows the oldest go first. A file that is damaged is put aside and a new one
// begun.
//
// Ownership: the daemon owns it. Threads: one. Failures: Unavailable with SQLite's reason; nothing
// of the call is on disk then, and the next one tries again.
#ifndef HET_DAEMON_USAGE_STORE_H_
#define HET_DAEMON_USAGE_STORE_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/json.h"
#include "report/allocation.h"

struct sqlite3;
struct sqlite3_stmt;

namespace het::daemon {

class Statement;

inline constexpr int64_t kKeptUsageHours = 400 * 24;
inline constexpr int64_t kMostUsageRows = 4'000'000;

class UsageStore {
 public:
  // FailedPrecondition when a newer hetd wrote it.
  static absl::StatusOr<std::unique_ptr<UsageStore>> Open(const std::string& directory);
  ~UsageStore();
  UsageStore(const UsageStore&) = delete;
  UsageStore& operator=(const UsageStore&) = delete;

  // The hour that is being sampled, for a hetd that is restarted in it. What Save wrote last.
  struct OpenHour {
    int64_t hour = 0;
    Json body;
  };
  absl::StatusOr<std::optional<OpenHour>> Load();
  absl::Status Save(int64_t hour, const Json& body);

  // Closes an hour for ever: its rows (Row::device is an index into `devices`), all or none, and
  // drops what is too old. AlreadyExists when it was closed before.
  absl::Status Close(int64_t hour, const std::vector<report::Device>& devices,
                     const std::vector<report::Row>& rows);
  absl::StatusOr<bool> IsClosed(int64_t hour);

  // Reading goes on after a place, so that nothing is held open between two pages.
  struct Place {
    int64_t hour = INT64_MIN;
    int64_t device = 0;
    int64_t number = 0;
  };
  struct Entry {
    int64_t device = 0;  // a number that stands for the same device in every report
    report::Row row;
  };
  // At most `limit` rows of [.., to) after `place`, which is moved. `owner`: only rows of this user
  // and of nobody.
  absl::StatusOr<std::vector<Entry>> Read(Place& place, int64_t to, std::optional<uid_t> owner,
                                          int limit);
  absl::StatusOr<report::Device> FindDevice(int64_t number);
  // The number of a device, which is kept when it is new.
  absl::StatusOr<int64_t> NumberOf(const report::Device& device);
  absl::StatusOr<int64_t> CountRows();

 private:
  explicit UsageStore(std::string path) : path_(std::move(path)) {}
  static absl::StatusOr<std::unique_ptr<UsageStore>> OpenFile(const std::string& path);
  absl::Status Run(const char* sql);
  absl::Status Failure(int code) const;
  absl::StatusOr<Statement> Prepare(const char* sql);
  absl::StatusOr<int64_t> QueryInt(const char* sql);
  absl::Status WriteRows(int64_t hour, const std::vector<report::Device>& devices,
                         const std::vector<report::Row>& rows);
  absl::Status Prune();

  const std::string path_;
  sqlite3* db_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;  // by SQL text, kept
  std::map<int64_t, report::Device> devices_;                     // that were looked up
};

}  // namespace het::daemon

#endif  // HET_DAEMON_USAGE_STORE_H_
