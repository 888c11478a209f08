// One question of the bottleneck search, "is there a plan whose every stage and transfer takes at
// most B?", prepared: what each slice can reach within B, which slices are interchangeable at B,
// and who may follow whom.
//
// Two slices are one class when they reach the same layers from every layer and swapping them
// changes no permitted transfer. That holds for more slices at a given B than on the instance
// itself, and it never looks at their `type`. Classes with the same permitted successors form a
// group: for a chain's future only the group of its last slice counts.
//
// It also bounds what a set of slices can cover. Any weights on the layers give a bound: each slice
// covers at most its heaviest run. Three weightings are given (TickModel::measure); a fourth is
// fitted to the question by multiplicative weights, which approximates the dual of the linear
// program that shares runs out to slices.
//
// Internal to scheduler/. A Probe refers to its TickModel, which must outlive it. Threads: const
// access is safe.
#ifndef HET_SCHEDULER_PROBE_H_
#define HET_SCHEDULER_PROBE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/tick_model.h"

namespace het::scheduler {

// An amount per weighting: the given measures and the fitted one.
inline constexpr int kPotentials = kMeasures + 1;
using Amounts = std::array<int64_t, kPotentials>;

// The fitted weighting, one weight per layer. Kept from probe to probe, since near bottlenecks want
// near weights.
using LayerWeights = std::vector<double>;

class Probe {
 public:
  struct Class {
    std::vector<int> members;  // slices
    std::vector<int> reach;    // see TickModel::FillReach
    Amounts capacity;          // of one member
    int group = 0;
    int count() const { return static_cast<int>(members.size()); }
  };

  // Fits `weights` for some more rounds where given; empty ones are begun afresh.
  Probe(const TickModel& model, int64_t bottleneck, LayerWeights* weights = nullptr,
        int rounds = 0);

  const TickModel& model() const { return model_; }
  int layers() const { return model_.layers(); }
  // Slices that can take no layer within B are in no class.
  const std::vector<Class>& classes() const { return classes_; }
  int class_count() const { return static_cast<int>(classes_.size()); }
  int group_count() const { return group_count_; }
  // Whether a chain that ends in a slice of `group` may go on with another slice of `cls`.
  bool MayFollow(int group, int cls) const { return may_follow_[group * class_count() + cls] != 0; }

  // phi(p)[i]: the layers before i in weighting p.
  const std::vector<int64_t>& phi(int p) const {
    return p < kMeasures ? model_.measure(p) : fitted_;
  }
  // What all slices together could cover.
  const Amounts& total() const { return total_; }
  // A cheap proof of infeasibility: some layer fits no slice, or all slices together cover less
  // than all layers.
  bool ProvenInfeasible() const;
  // The first position from which slices of these summed capacities could still cover the rest;
  // layers() + 1 if none.
  int LowestUseful(const Amounts& remaining) const;

 private:
  void Classify(int64_t bottleneck);
  void FitWeights(LayerWeights& weights, int rounds);
  void FillCapacities();
  void Group(const std::vector<std::vector<char>>& follows);

  const TickModel& model_;
  std::vector<Class> classes_;
  std::vector<char> may_follow_;
  int group_count_ = 0;
  std::vector<int64_t> fitted_;
  Amounts total_{};
};

// Turns a chain of classes with their ends into stages on concrete slices.
struct ChainLink {
  int cls;
  int begin;
  int end;
};
std::vector<Stage> AssignMembers(const Probe& probe, const std::vector<ChainLink>& chain);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_PROBE_H_
