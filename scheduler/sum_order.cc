// The two order-based searches of sum_search.h.
#include <algorithm>

#include "scheduler/sum_search.h"

namespace het::scheduler {
namespace {

// Best ends of chains whose last slice is the p-th of an order.
class OrderTable {
 public:
  OrderTable(const SumProblem& problem, const std::vector<int>& order)
      : problem_(problem),
        order_(order),
        width_(problem.layers + 1),
        cost_(order.size() * width_, kNoChain) {}

  SumChain Run() {
    SumChain best;
    int last = -1;
    for (size_t p = 0; p < order_.size(); ++p) {
      FillStarts(p);
      FillEnds(p);
      const double total = Row(p)[problem_.layers];
      if (total < best.cost) {
        best.cost = total;
        last = static_cast<int>(p);
      }
    }
    if (last >= 0) best.stages = Trace(last);
    return best;
  }

 private:
  double* Row(size_t p) { return cost_.data() + p * width_; }

  // starts_[i]: the cheapest chain that ends at i and lets order_[p] go on.
  void FillStarts(size_t p) {
    starts_.assign(width_, kNoChain);
    starts_[0] = 0;
    for (size_t q = 0; q < p; ++q) {
      const double link = problem_.Link(order_[q], order_[p]);
      if (link == kNoChain) continue;
      const double* row = Row(q);
      for (int i = 1; i < problem_.layers; ++i) starts_[i] = std::min(starts_[i], row[i] + link);
    }
  }

  // A sliding-window minimum of starts_[i] - prefix[i] over the starts that reach `end`.
  void FillEnds(size_t p) {
    const std::vector<double>& prefix = problem_.prefix[order_[p]];
    const std::vector<int>& reach = problem_.reach[order_[p]];
    double* row = Row(p);
    window_.clear();
    size_t front = 0;
    for (int end = 1; end <= problem_.layers; ++end) {
      const int start = end - 1;
      if (starts_[start] < kNoChain && reach[start] >= end) {
        const double value = starts_[start] - prefix[start];
        while (window_.size() > front &&
               starts_[window_.back()] - prefix[window_.back()] >= value) {
          window_.pop_back();
        }
        window_.push_back(start);
      }
      while (front < window_.size() && reach[window_[front]] < end) ++front;
      if (front < window_.size())
        row[end] = starts_[window_[front]] - prefix[window_[front]] + prefix[end];
    }
  }

  std::vector<Stage> Trace(int last) {
    std::vector<Stage> stages;
    int end = problem_.layers;
    while (true) {
      const std::vector<double>& prefix = problem_.prefix[order_[last]];
      const std::vector<int>& reach = problem_.reach[order_[last]];
      FillStarts(last);
      int begin = -1;
      for (int i = 0; i < end; ++i) {
        if (reach[i] < end || starts_[i] == kNoChain) continue;
        if (begin < 0 || starts_[i] - prefix[i] < starts_[begin] - prefix[begin]) begin = i;
      }
      stages.push_back({order_[last], begin, end});
      if (begin <= 0) break;
      int previous = -1;
      double best = kNoChain;
      for (int q = 0; q < last; ++q) {
        const double cost = Row(q)[begin] + problem_.Link(order_[q], order_[last]);
        if (cost < best) {
          best = cost;
          previous = q;
        }
      }
      last = previous;
      end = begin;
    }
    std::reverse(stages.begin(), stages.end());
    return stages;
  }

  const SumProblem& problem_;
  const std::vector<int>& order_;
  const size_t width_;
  std::vector<double> cost_;
  std::vector<double> starts_;
  std::vector<int> window_;
};

}  // namespace

SumChain BestInOrder(const SumProblem& problem, const std::vector<int>& order) {
  return OrderTable(problem, order).Run();
}

SumChain ImproveOrder(const SumProblem& problem, std::vector<int> order, int64_t operations) {
  const int size = static_cast<int>(order.size());
  const int64_t price = int64_t{size} * (size / 2 + 4) * (problem.layers + 1);
  SumChain best = BestInOrder(problem, order);
  bool improved = true;
  while (improved) {
    improved = false;
    for (int from = 0; from < size; ++from) {
      for (int to = 0; to < size; ++to) {
        if (from == to) continue;
        if ((operations -= price) < 0) return best;
        std::vector<int> moved = order;
        moved.erase(moved.begin() + from);
        moved.insert(moved.begin() + to, order[from]);
        SumChain chain = BestInOrder(problem, moved);
        if (chain.cost >= best.cost) continue;
        best = std::move(chain);
        order = std::move(moved);
        improved = true;
      }
    }
  }
  return best;
}

}  // namespace het::scheduler
