#include "daemon/statistics.h"

#include <algorithm>

namespace het::daemon {
namespace {

// What hetd serves; a name that somebody made up must not become a series.
constexpr const char* kMethods[] = {"Acquire", "AcquireModel", "Confirm", "Cancel",
                                    "Release", "Renew",        "Resize",  "Attach"};

std::string ShortName(const std::string& name) { return name.substr(name.rfind('.') + 1); }

}  // namespace

void Statistics::Asked(uint64_t connection, const std::string& method, int64_t now_ns) {
  const std::string name = ShortName(method);
  if (std::find(std::begin(kMethods), std::end(kMethods), name) == std::end(kMethods)) return;
  asked_[connection] = {name, now_ns};
}

void Statistics::Answered(uint64_t connection, const Json& message, int64_t now_ns) {
  const auto asked = asked_.find(connection);
  if (asked == asked_.end()) return;
  const auto error = message.find("error");
  const bool failed = error != message.end() && error->is_string();
  const std::string result = failed ? ShortName(error->get<std::string>()) : "ok";
  ++results_[{asked->second.method, result}];
  // One that waits in line is as slow as the others let it.
  if (asked->second.method == "Acquire") acquires_.Observe(now_ns - asked->second.since_ns);
  asked_.erase(asked);
}

void Statistics::Reclaimed(const std::string& reason, uint64_t leases) {
  if (leases > 0) reclaimed_[reason] += leases;
}

void Statistics::Histogram::Observe(int64_t ns) {
  const double seconds = static_cast<double>(std::max<int64_t>(0, ns)) * 1e-9;
  sum += seconds;
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts[static_cast<size_t>(bound - kBounds.begin())];
}

Json Statistics::Histogram::ToJson() const {
  Json cumulative = Json::array();
  uint64_t all = 0;
  for (uint64_t count : counts) cumulative.push_back(all += count);
  return {{"bounds", kBounds}, {"counts", std::move(cumulative)}, {"sum", sum}};
}

Json Statistics::ToJson(int64_t now_ns) const {
  Json requests = Json::array(), reclaimed = Json::array();
  for (const auto& [key, count] : results_) {
    requests.push_back({{"method", key.first}, {"result", key.second}, {"count", count}});
  }
  for (const auto& [reason, count] : reclaimed_) {
    reclaimed.push_back({{"reason", reason}, {"count", count}});
  }
  Json json = {{"requests", std::move(requests)},
               {"acquireSeconds", acquires_.ToJson()},
               {"commitSeconds", commits_.ToJson()},
               {"reclaimed", std::move(reclaimed)}};
  if (sampled_ns_ > 0) {
    json["sampleAgeSeconds"] = static_cast<double>(now_ns - sampled_ns_) * 1e-9;
  }
  return json;
}

}  // namespace het::daemon
