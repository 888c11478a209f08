// Statement: one use of a prepared SQLite statement that its owner keeps: binds from left to right,
// steps, and resets it at the end. Errors are the owner's words for SQLite's codes.
//
// Ownership: borrows the statement, which no other Statement uses meanwhile. Threads: one, the
// connection's.
#ifndef HET_DAEMON_STATEMENT_H_
#define HET_DAEMON_STATEMENT_H_

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace het::daemon {

class Statement {
 public:
  // What a code of SQLite's means to the owner.
  using Failure = std::function<absl::Status(int code)>;

  Statement(sqlite3_stmt* handle, Failure failure)
      : handle_(handle), failure_(std::move(failure)) {}
  Statement(Statement&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)),
        failure_(std::move(other.failure_)),
        bound_(other.bound_) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // The text must live until the statement is stepped.
  Statement& Text(const std::string& value);
  Statement& Int(int64_t value);
  Statement& Real(double value);

  // True: a row is there.
  absl::StatusOr<bool> Step();
  absl::Status Run() { return Step().status(); }

  // Of the row; columns count from 0. NULL is "" or 0.
  std::string TextAt(int column) const;
  int64_t IntAt(int column) const { return sqlite3_column_int64(handle_, column); }
  double RealAt(int column) const { return sqlite3_column_double(handle_, column); }

 private:
  sqlite3_stmt* handle_;
  Failure failure_;
  int bound_ = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_STATEMENT_H_
