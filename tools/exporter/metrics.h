// Metrics: what hetd says, as Prometheus text. Base units, ratios from 0 to 1. What is not known,
// or is not fresh, is a series that is absent: never a zero, never an old value.
//
// Ratios of use are of the time between two looks, so Metrics remembers the one before. Threads:
// one at a time.
#ifndef HET_TOOLS_EXPORTER_METRICS_H_
#define HET_TOOLS_EXPORTER_METRICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "devices/telemetry.h"
#include "protocol/client.h"
#include "protocol/messages.h"

namespace het::exporter {

// One look at hetd.
struct Snapshot {
  int64_t at_ns = 0;  // CLOCK_MONOTONIC
  std::string version;
  std::vector<protocol::DeviceRow> devices;
  std::vector<protocol::SliceRow> slices;
  Json statistics = Json::object();  // GetStatistics
  std::vector<Telemetry> telemetry;  // of devices with sensors
};

absl::StatusOr<Snapshot> Look(protocol::Client& client, int64_t now_ns);

class Metrics {
 public:
  std::string Render(const Snapshot& snapshot);
  // hetd does not answer: nothing but that.
  static std::string RenderDown();

 private:
  struct Known {
    uint64_t used_ns = 0;
    int64_t first_seen_ns = 0;
    int64_t last_active_ns = 0;
  };
  std::map<std::string, Known> leases_;
  int64_t last_ns_ = 0;
};

}  // namespace het::exporter

#endif  // HET_TOOLS_EXPORTER_METRICS_H_
