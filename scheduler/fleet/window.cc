#include "scheduler/fleet/window.h"

#include "scheduler/fleet/overload.h"

namespace het::fleet {

void Window::Add(int kind, int job) {
  jobs_[kind].push_back({job, added_++});
  ++waiting_;
}

Window::Decision Window::Take(int kind, const std::optional<Placer::Candidate>& candidate) {
  const auto queue = jobs_.find(kind);
  Decision decision{queue->second.front().job, kind, std::nullopt};
  queue->second.pop_front();
  if (queue->second.empty()) jobs_.erase(queue);
  --waiting_;
  if (candidate) decision.placement = placer_.Place(kind, *candidate);
  return decision;
}

Window::Decision Window::Next() {
  if (jobs_.size() == 1) {
    const int kind = jobs_.begin()->first;
    return Take(kind, placer_.Best(kind));
  }
  const int64_t patience = int64_t{kPatience} * size_;
  int best_kind = -1;
  double least_waste = 0;
  int64_t oldest = 0;
  std::optional<Placer::Candidate> best;
  for (const auto& [kind, queue] : jobs_) {
    const auto candidate = placer_.Best(kind);
    if (!candidate || added_ - queue.front().added > patience) return Take(kind, candidate);
    const double waste = placer_.policy().Waste(placer_.spec(kind), candidate->choice);
    const bool older = waste == least_waste && queue.front().added < oldest;
    if (best_kind >= 0 && waste >= least_waste && !older) continue;
    oldest = queue.front().added;
    best_kind = kind;
    least_waste = waste;
    best = candidate;
  }
  return Take(best_kind, best);
}

}  // namespace het::fleet
