#include "scheduler/set_search.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "scheduler/multiset_index.h"
#include "scheduler/row_table.h"

namespace het::scheduler {
namespace {

constexpr int kWordBits = 64;

void SetRange(uint64_t* words, int first, int last) {
  for (int w = first / kWordBits; w <= last / kWordBits; ++w) {
    uint64_t mask = ~uint64_t{0};
    if (w == first / kWordBits) mask &= ~uint64_t{0} << (first % kWordBits);
    if (w == last / kWordBits) mask &= ~uint64_t{0} >> (kWordBits - 1 - last % kWordBits);
    words[w] |= mask;
  }
}

bool TestBit(const uint64_t* words, int bit) {
  return (words[bit / kWordBits] >> (bit % kWordBits) & 1) != 0;
}

std::vector<int> Counts(const Probe& probe) {
  std::vector<int> counts;
  for (const Probe::Class& c : probe.classes()) counts.push_back(c.count());
  return counts;
}

class Search {
 public:
  Search(const Probe& probe, SearchBudget& budget)
      : probe_(probe),
        budget_(budget),
        words_((probe.layers() + kWordBits) / kWordBits),
        groups_(probe.group_count()),
        index_(Counts(probe)),
        blocks_(static_cast<size_t>(std::max(1, groups_)) * words_, 0),
        ends_(words_) {}

  SearchResult Run() {
    if (probe_.ProvenInfeasible()) return {Verdict::kInfeasible, {}};
    if (!index_.fits()) return {};
    Add(kRoot, probe_.total());
    // States are appended in order of multiset size, so each is complete when its turn comes.
    for (size_t s = 0; s < states_.size(); ++s) {
      if (!Expand(static_cast<int>(s))) return {};
      if (found_) return {Verdict::kFeasible, AssignMembers(probe_, Trace())};
    }
    return {Verdict::kInfeasible, {}};
  }

 private:
  struct State {
    uint64_t multiset;
    Amounts remaining;  // capacity of the unused slices
    int lowest_useful;  // first position worth keeping
  };
  static constexpr int kRoot = 0;  // the empty multiset and its state
  struct Goal {
    int state;
    int cls;
    int begin;
  };

  // groups_ position sets of words_ words each.
  uint64_t* Block(int state) { return blocks_[state]; }

  int Add(uint64_t multiset, const Amounts& remaining) {
    states_.push_back({multiset, remaining, probe_.LowestUseful(remaining)});
    blocks_.Add();
    return static_cast<int>(states_.size()) - 1;
  }

  // Where a chain over this state may stand when a slice of `cls` takes over; false for nowhere.
  bool CollectEnds(int state, int cls) {
    std::fill(ends_.begin(), ends_.end(), 0);
    if (state == kRoot) {
      ends_[0] = 1;  // any class may take the first layer
      return true;
    }
    const uint64_t* block = Block(state);
    uint64_t any = 0;
    for (int g = 0; g < groups_; ++g) {
      if (!probe_.MayFollow(g, cls)) continue;
      for (int w = 0; w < words_; ++w) any |= ends_[w] |= block[g * words_ + w];
    }
    return any != 0;
  }

  // False when the budget is spent.
  bool Expand(int state) {
    for (int cls = 0; cls < probe_.class_count(); ++cls) {
      if (index_.Used(states_[state].multiset, cls) == probe_.classes()[cls].count()) continue;
      if (!CollectEnds(state, cls)) continue;
      if (budget_.expansions <= 0) return false;
      --budget_.expansions;
      ++budget_.spent;
      if (!Append(state, cls)) return false;
      if (found_) return true;
    }
    return true;
  }

  // Lets one slice of `cls` go on from every position in ends_. False when the table is full.
  bool Append(int state, int cls) {
    const Probe::Class& c = probe_.classes()[cls];
    const uint64_t multiset = states_[state].multiset + index_.stride(cls);
    int target = index_.Find(multiset);
    Amounts remaining = states_[state].remaining;
    for (int p = 0; p < kPotentials; ++p) remaining[p] -= c.capacity[p];
    const int lowest = target >= 0 ? states_[target].lowest_useful : probe_.LowestUseful(remaining);
    // From the furthest start down: reach is monotone, so a lower start adds nothing above a higher
    // one's start.
    for (int w = words_ - 1; w >= 0; --w) {
      for (uint64_t bits = ends_[w]; bits != 0;) {
        const int bit = kWordBits - 1 - std::countl_zero(bits);
        bits ^= uint64_t{1} << bit;
        const int begin = w * kWordBits + bit;
        const int end = c.reach[begin];
        if (end > begin && end >= probe_.layers()) {
          found_ = true;
          goal_ = {state, cls, begin};
          return true;
        }
        const int first = std::max(begin + 1, lowest);
        if (first <= end) {
          if (target < 0) {
            if (blocks_.WouldExceed(budget_.table_bytes)) return false;
            target = Add(multiset, remaining);
            index_.Slot(multiset) = target;
          }
          SetRange(Block(target) + c.group * words_, first, end);
        }
        if (begin + 1 <= lowest) return true;
      }
    }
    return true;
  }

  // Walks back from the goal. No parents are stored: a predecessor is any state that explains the
  // position.
  std::vector<ChainLink> Trace() {
    std::vector<ChainLink> chain = {{goal_.cls, goal_.begin, probe_.layers()}};
    int state = goal_.state;
    while (chain.back().begin > 0) {
      const ChainLink next = chain.back();
      const auto [cls, begin, previous] = Predecessor(state, next);
      chain.push_back({cls, begin, next.begin});
      state = previous;
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
  }

  struct Step {
    int cls;
    int begin;
    int state;
  };

  Step Predecessor(int state, const ChainLink& next) {
    for (int cls = 0; cls < probe_.class_count(); ++cls) {
      const Probe::Class& c = probe_.classes()[cls];
      if (index_.Used(states_[state].multiset, cls) == 0 || !probe_.MayFollow(c.group, next.cls) ||
          !TestBit(Block(state) + c.group * words_, next.begin)) {
        continue;
      }
      const uint64_t rest = states_[state].multiset - index_.stride(cls);
      const int previous = rest == 0 ? kRoot : index_.Find(rest);
      if (previous < 0 || !CollectEnds(previous, cls)) continue;
      for (int begin = next.begin - 1; begin >= 0; --begin) {
        if (TestBit(ends_.data(), begin) && c.reach[begin] >= next.begin)
          return {cls, begin, previous};
      }
    }
    return {next.cls, 0, kRoot};  // not reached: every kept position has a predecessor
  }

  const Probe& probe_;
  SearchBudget& budget_;
  const int words_;
  const int groups_;
  MultisetIndex index_;
  std::vector<State> states_;
  RowTable<uint64_t> blocks_;
  std::vector<uint64_t> ends_;
  bool found_ = false;
  Goal goal_{};
};

}  // namespace

SearchResult SetSearch(const Probe& probe, SearchBudget& budget) {
  return Search(probe, budget).Run();
}

}  // namespace het::scheduler
