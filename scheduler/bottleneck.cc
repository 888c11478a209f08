#include "scheduler/bottleneck.h"

#include <algorithm>
#include <utility>

#include "scheduler/beam_search.h"
#include "scheduler/probe.h"

namespace het::scheduler {
namespace {

// As wide as lets some eighty probes end within the budget.
int BeamWidth(const TickModel& model, const SearchBudget& budget) {
  const int64_t per_probe = budget.expansions / 80;
  return static_cast<int>(
      std::clamp<int64_t>(per_probe / (int64_t{model.slices()} * model.slices()), 4, 128));
}

// Whether the exact search has little hope: more than a few million multisets of slices.
bool TooManySets(const Probe& probe) {
  double sets = 1;
  for (const Probe::Class& c : probe.classes()) sets *= c.count() + 1;
  return sets > 4e6;
}

class Minimiser {
 public:
  Minimiser(const TickModel& model, std::vector<Stage> stages, SearchBudget& budget)
      : model_(model), budget_(budget), width_(BeamWidth(model, budget)) {
    Improve(std::move(stages), "any plan");
  }

  Bottleneck Run() {
    RaiseByCapacity();
    DescendByBeam();
    if (TooManySets(MakeProbe(best_.ticks, 0))) WidenBeam();
    ProveExactly();
    best_.lower_bound = best_.optimal
                            ? best_.ticks
                            : std::min(best_.ticks, model_.SmallestCandidateAbove(infeasible_));
    if (best_.lower_bound == best_.ticks) best_.optimal = true;
    return std::move(best_);
  }

 private:
  // Fitting weights costs more than it saves where there are few sets of slices.
  Probe MakeProbe(int64_t bottleneck, int rounds) {
    const int affordable = 4'000'000 / (model_.slices() * model_.layers());
    return Probe(model_, bottleneck, model_.slices() > 8 ? &weights_ : nullptr,
                 std::min(rounds, affordable));
  }

  void Improve(std::vector<Stage> stages, const char* solver) {
    best_.ticks = model_.Bottleneck(stages);
    best_.stages = std::move(stages);
    best_.solver = solver;
  }

  void RaiseInfeasible(int64_t bottleneck, const char* proof) {
    if (bottleneck <= infeasible_) return;
    infeasible_ = bottleneck;
    best_.proof = proof;
  }

  // Whether the bisection between these is worth another step; exact values are the later steps'
  // work.
  static bool Apart(int64_t low, int64_t high) { return high - low > (high >> 14) + 1; }

  void RaiseByCapacity() {
    int64_t possible = best_.ticks;
    while (Apart(infeasible_, possible)) {
      const int64_t middle = infeasible_ + (possible - infeasible_) / 2;
      if (MakeProbe(middle, weights_.empty() ? 100 : 20).ProvenInfeasible()) {
        RaiseInfeasible(middle, "capacity bound");
      } else {
        possible = middle;
      }
    }
  }

  bool TryBeam(int64_t bottleneck) {
    SearchResult result = BeamSearch(MakeProbe(bottleneck, 20), width_, budget_);
    if (result.verdict == Verdict::kInfeasible) RaiseInfeasible(bottleneck, "capacity bound");
    if (result.verdict != Verdict::kFeasible) return false;
    Improve(std::move(result.stages), "beam search");
    return true;
  }

  void DescendByBeam() {
    int64_t missed = infeasible_;
    while (Apart(missed, best_.ticks)) {
      const int64_t middle = missed + (best_.ticks - missed) / 2;
      if (!TryBeam(middle)) missed = middle;
    }
    while (true) {
      const int64_t next = model_.LargestCandidateBelow(best_.ticks);
      if (next <= infeasible_ || !TryBeam(next)) return;
    }
  }

  // Spends half of what is left on wider beams; of the rest the proof, which has little hope, gets
  // a part.
  void WidenBeam() {
    const int64_t keep = budget_.expansions / 2;
    while (width_ < 4096 && budget_.expansions > keep && !ProvenOptimal()) {
      width_ *= 4;
      DescendByBeam();
    }
    budget_.expansions = std::min(budget_.expansions, keep / 2);
  }

  bool ProvenOptimal() const { return model_.LargestCandidateBelow(best_.ticks) <= infeasible_; }

  Verdict TryExactly(int64_t bottleneck) {
    SearchResult result = SetSearch(MakeProbe(bottleneck, 300), budget_);
    if (result.verdict == Verdict::kFeasible) Improve(std::move(result.stages), "exact set search");
    if (result.verdict == Verdict::kInfeasible) {
      RaiseInfeasible(bottleneck, "exhaustive search over the sets of slices");
    }
    return result.verdict;
  }

  // Asks for the next smaller possible bottleneck; where that is feasible the beam was off, and
  // every second question halves what is left.
  void ProveExactly() {
    bool halve = false;
    while (true) {
      const int64_t next = model_.LargestCandidateBelow(best_.ticks);
      if (next <= infeasible_) {
        best_.optimal = true;
        return;
      }
      const int64_t middle = infeasible_ + (best_.ticks - infeasible_) / 2;
      const int64_t asked = halve ? std::max(infeasible_ + 1, std::min(middle, next)) : next;
      const Verdict verdict = TryExactly(asked);
      if (verdict == Verdict::kUnknown) {
        if (!halve) RaiseExactly(next);
        return;
      }
      halve = verdict == Verdict::kFeasible;
    }
  }

  // The optimum is out of reach; smaller bottlenecks leave fewer states and may still be refuted.
  void RaiseExactly(int64_t unknown) {
    for (int attempt = 0; attempt < 4 && Apart(infeasible_, unknown); ++attempt) {
      const int64_t middle = infeasible_ + (unknown - infeasible_) / 2;
      switch (TryExactly(middle)) {
        case Verdict::kFeasible:
          return;
        case Verdict::kInfeasible:
          break;
        case Verdict::kUnknown:
          unknown = middle;
          break;
      }
    }
  }

  const TickModel& model_;
  SearchBudget& budget_;
  int width_;
  int64_t infeasible_ = -1;  // the largest bottleneck that is proven infeasible
  LayerWeights weights_;
  Bottleneck best_;
};

}  // namespace

SearchResult FindWithin(const TickModel& model, int64_t bottleneck, SearchBudget& budget) {
  const Probe probe(model, bottleneck);
  SearchResult result = BeamSearch(probe, BeamWidth(model, budget), budget);
  return result.verdict == Verdict::kUnknown ? SetSearch(probe, budget) : result;
}

Bottleneck MinimiseBottleneck(const TickModel& model, std::vector<Stage> stages,
                              SearchBudget& budget) {
  return Minimiser(model, std::move(stages), budget).Run();
}

SumProblem LatencyProblem(const Instance& instance, const TickModel& model, int64_t bottleneck) {
  SumProblem problem;
  problem.layers = model.layers();
  problem.phi = model.measure(2).back() > 0 ? model.measure(2) : model.measure(0);
  for (int v = 0; v < model.slices(); ++v) {
    std::vector<int> reach;
    model.FillReach(v, bottleneck, reach);
    std::vector<double> prefix(1, 0.0);
    for (int i = 0; i < model.layers(); ++i) {
      // A layer that the slice cannot take must not blur the sums of those that it can.
      prefix.push_back(prefix.back() + (reach[i] > i ? instance.slices[v].ms_per_layer[i] : 0.0));
    }
    problem.prefix.push_back(std::move(prefix));
    problem.reach.push_back(std::move(reach));
  }
  if (model.has_links()) {
    problem.links.assign(model.slices(), std::vector<double>(model.slices(), 0.0));
    for (int u = 0; u < model.slices(); ++u) {
      for (int v = 0; v < model.slices(); ++v) {
        if (u == v) continue;
        problem.links[u][v] =
            model.LinkTicks(u, v) <= bottleneck ? instance.LinkMs(u, v) : kNoChain;
      }
    }
  }
  return problem;
}

}  // namespace het::scheduler
