// Statistics: counts and durations of what hetd was asked and did since it started, for the
// exporter. A value type without a clock: callers bring the times. Threads: the loop's.
#ifndef HET_DAEMON_STATISTICS_H_
#define HET_DAEMON_STATISTICS_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/json.h"

namespace het::daemon {

class Statistics {
 public:
  // A request of a connection, which has one at a time, and its answer (a reply's message).
  void Asked(uint64_t connection, const std::string& method, int64_t now_ns);
  void Answered(uint64_t connection, const Json& message, int64_t now_ns);
  void Gone(uint64_t connection) { asked_.erase(connection); }
  void Committed(int64_t duration_ns) { commits_.Observe(duration_ns); }
  void Reclaimed(const std::string& reason, uint64_t leases);
  void Sampled(int64_t now_ns) { sampled_ns_ = now_ns; }

  // {"requests":[{"method","result","count"}],"acquireSeconds":{"bounds","counts","sum"},
  // "commitSeconds":{..},"reclaimed":[{"reason","count"}],"sampleAgeSeconds"}. `counts` are
  // cumulative, the last is all.
  Json ToJson(int64_t now_ns) const;

 private:
  struct Histogram {
    static constexpr std::array<double, 12> kBounds = {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                                       0.02,   0.05,   0.1,   0.5,   1,     10};
    void Observe(int64_t ns);
    Json ToJson() const;
    std::array<uint64_t, kBounds.size() + 1> counts = {};
    double sum = 0;
  };
  struct Request {
    std::string method;
    int64_t since_ns = 0;
  };

  std::map<uint64_t, Request> asked_;
  std::map<std::pair<std::string, std::string>, uint64_t> results_;  // by method and result
  std::map<std::string, uint64_t> reclaimed_;
  Histogram acquires_, commits_;
  int64_t sampled_ns_ = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_STATISTICS_H_
