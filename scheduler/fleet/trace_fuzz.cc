// Fuzzes both CSV readers: any text gives values within their bounds or an error, never a crash.
#include <cstdlib>

#include "scheduler/fleet/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  het::fleet::Names models;
  if (const auto fleet = het::fleet::ParseNodes(text, "fuzz"); fleet.ok()) {
    models = fleet->models;
    for (const auto& node : fleet->nodes) {
      if (node.devices > het::fleet::kMaxDevices || node.model >= het::fleet::kMaxModels) abort();
    }
  }
  if (const auto jobs = het::fleet::ParseJobs(text, "fuzz", models); jobs.ok()) {
    for (const auto& job : jobs->jobs) {
      if (job.spec.milli > het::fleet::kWholeDevice || !(job.duration_s >= 0)) abort();
    }
  }
  return 0;
}
