// The smallest bottleneck of a TickModel: the driver of the beam search, the capacity bound and the
// exact search.
//
// Internal to scheduler/. Pure; memory and work are bounded by the budget.
#ifndef HET_SCHEDULER_BOTTLENECK_H_
#define HET_SCHEDULER_BOTTLENECK_H_

#include <string>
#include <vector>

#include "scheduler/instance.h"
#include "scheduler/set_search.h"
#include "scheduler/sum_search.h"
#include "scheduler/tick_model.h"

namespace het::scheduler {

struct Bottleneck {
  std::vector<Stage> stages;
  int64_t ticks = 0;        // of these stages
  int64_t lower_bound = 0;  // no plan has less; `ticks` when optimal
  bool optimal = false;
  std::string solver;
  std::string proof;
};

// A plan whose stages and transfers all take at most `bottleneck`: by beam search, then exactly.
SearchResult FindWithin(const TickModel& model, int64_t bottleneck, SearchBudget& budget);

// `stages` is any plan within memory.
Bottleneck MinimiseBottleneck(const TickModel& model, std::vector<Stage> stages,
                              SearchBudget& budget);

// The problem whose cost is latency, over the plans whose stages and transfers all take at most
// `bottleneck` ticks.
SumProblem LatencyProblem(const Instance& instance, const TickModel& model, int64_t bottleneck);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_BOTTLENECK_H_
