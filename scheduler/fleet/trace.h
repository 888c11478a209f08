// Traces: nodes and jobs as CSV text with a heading line.
//
// Columns are found by their heading, in any order; unknown ones are ignored. Both the openb trace
// (Alibaba, "sn,cpu_milli,memory_mib,gpu,model" and "name,cpu_milli,memory_mib,num_gpu,gpu_milli,
// gpu_spec,...") and het's own format (docs/fleet.md) are read:
//
//   nodes  sn or name, cpu_milli, memory_mib, gpu, model; optional: gpu_memory_mib, count,
//          cost_per_hour, gpu_per_island (neighbours linked directly), gpu_per_numa
//   jobs   name, cpu_milli, memory_mib, num_gpu, gpu_milli; optional: gpu_spec (models, "A|B"),
//          gpu_memory_mib, tenant, class (reserved, on-demand or batch), priority, and times in
//          seconds: creation_time and deletion_time, or arrival_s and duration_s
//
// Every error is InvalidArgument "FILE:LINE: COLUMN: what was expected, what is there".
//
// Pure. Threads: plain values.
#ifndef HET_SCHEDULER_FLEET_TRACE_H_
#define HET_SCHEDULER_FLEET_TRACE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/fleet/policy.h"
#include "scheduler/fleet/spec.h"

namespace het::fleet {

// Names of things that are numbers elsewhere.
class Names {
 public:
  // The number of a name, new ones counting up.
  int Of(absl::string_view name);
  std::optional<int> Find(absl::string_view name) const;
  const std::string& operator[](int number) const { return names_[number]; }
  int size() const { return static_cast<int>(names_.size()); }

 private:
  std::vector<std::string> names_;
};

enum class JobClass { kReserved, kOnDemand, kBatch };
inline constexpr int kJobClasses = 3;
absl::string_view JobClassName(JobClass job_class);  // "reserved", "on-demand", "batch"

struct Job {
  std::string name;
  JobSpec spec;
  double arrival_s = 0;
  double duration_s = 0;  // infinite where the trace has no times
  int tenant = 0;
  JobClass job_class = JobClass::kOnDemand;
  int priority = 0;  // within its class; higher first
};

struct Fleet {
  std::vector<NodeSpec> nodes;
  std::vector<std::string> names;
  std::vector<double> cost_per_hour;  // per node; 0: not given
  Names models;
};

struct Jobs {
  std::vector<Job> jobs;
  Names tenants;
};

inline constexpr size_t kMaxNodes = 2'000'000;
inline constexpr size_t kMaxJobs = 20'000'000;

absl::StatusOr<Fleet> ParseNodes(absl::string_view csv, absl::string_view file);
// Models that jobs name and no node has are added to `models`: nothing will fit such a job.
absl::StatusOr<Jobs> ParseJobs(absl::string_view csv, absl::string_view file, Names& models);

// How often each kind of job is in the list.
std::vector<Demand> DemandOf(const std::vector<Job>& jobs);

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_TRACE_H_
