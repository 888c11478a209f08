// Any bytes as an instance: refused, or planned within a small budget into stages that are a plan
// of it.
#include <cstdint>
#include <cstdlib>

#include "scheduler/instance_json.h"
#include "scheduler/planner.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace het::scheduler;
  const absl::StatusOr<Instance> instance =
      ParseInstance(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!instance.ok()) return 0;
  if (!ParseInstance(InstanceToJson(*instance)).ok()) std::abort();
  PlannerOptions options;
  options.max_expansions = 2000;
  options.max_table_bytes = 1 << 20;
  const absl::StatusOr<Plan> plan = MakePlan(*instance, options);
  if (plan.ok() && !PlanFromStages(*instance, plan->stages).ok()) std::abort();
  return 0;
}
