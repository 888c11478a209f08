#include "scheduler/fleet/pack_prices.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace het::fleet {
namespace {

constexpr double kEpsilon = 1e-7;
// More columns than any list of real sizes needs; a stop, not a tuning.
constexpr int kMaxPivots = 2000;

// The primal simplex over patterns. Rows are sizes, columns are ways to fill a device; a surplus
// column (cost 0) lets a pattern cover more than is asked for, which keeps the prices at 0 or more.
class CuttingStock {
 public:
  CuttingStock(std::vector<int> sizes, std::vector<double> demand, int capacity)
      : sizes_(std::move(sizes)), rows_(sizes_.size()), capacity_(capacity) {
    inverse_.assign(rows_, std::vector<double>(rows_, 0));
    amount_.resize(rows_);
    cost_.assign(rows_, 1);
    price_.resize(rows_);
    for (size_t i = 0; i < rows_; ++i) {
      const double fit = capacity_ / sizes_[i];
      inverse_[i][i] = 1 / fit;
      amount_[i] = demand[i] / fit;
    }
  }

  // Prices of the sizes when no further pattern pays.
  const std::vector<double>& Solve() {
    for (int pivot = 0; pivot < kMaxPivots; ++pivot) {
      for (size_t j = 0; j < rows_; ++j) {
        price_[j] = 0;
        for (size_t i = 0; i < rows_; ++i) price_[j] += cost_[i] * inverse_[i][j];
      }
      std::vector<double> column(rows_, 0);
      double cost = 0;
      const auto least = std::min_element(price_.begin(), price_.end());
      if (*least < -kEpsilon) {
        column[static_cast<size_t>(least - price_.begin())] = -1;
      } else if (BestPattern(column) > 1 + kEpsilon) {
        cost = 1;
      } else {
        break;
      }
      if (!Enter(column, cost)) break;
    }
    for (double& price : price_) price = std::clamp(price, 0.0, 1.0);
    return price_;
  }

 private:
  // The unbounded knapsack: the pattern whose prices sum highest.
  double BestPattern(std::vector<double>& pattern) {
    best_.assign(capacity_ + 1, 0);
    last_.assign(capacity_ + 1, -1);
    for (int room = 1; room <= capacity_; ++room) {
      best_[room] = best_[room - 1];
      for (size_t j = 0; j < rows_ && sizes_[j] <= room; ++j) {
        const double value = best_[room - sizes_[j]] + price_[j];
        if (value <= best_[room] + 1e-12) continue;
        best_[room] = value;
        last_[room] = static_cast<int>(j);
      }
    }
    for (int room = capacity_; room > 0;) {
      if (last_[room] < 0) {
        --room;
        continue;
      }
      ++pattern[last_[room]];
      room -= sizes_[last_[room]];
    }
    return best_[capacity_];
  }

  bool Enter(const std::vector<double>& column, double cost) {
    std::vector<double> direction(rows_, 0);
    int leaving = -1;
    double step = 0;
    for (size_t i = 0; i < rows_; ++i) {
      for (size_t j = 0; j < rows_; ++j) direction[i] += inverse_[i][j] * column[j];
      if (direction[i] <= 1e-9) continue;
      const double ratio = amount_[i] / direction[i];
      if (leaving >= 0 && ratio >= step) continue;
      leaving = static_cast<int>(i);
      step = ratio;
    }
    if (leaving < 0) return false;
    const size_t r = static_cast<size_t>(leaving);
    for (size_t i = 0; i < rows_; ++i) amount_[i] -= i == r ? 0 : step * direction[i];
    amount_[r] = step;
    cost_[r] = cost;
    for (double& value : inverse_[r]) value /= direction[r];
    for (size_t i = 0; i < rows_; ++i) {
      if (i == r || std::abs(direction[i]) < 1e-14) continue;
      for (size_t j = 0; j < rows_; ++j) inverse_[i][j] -= direction[i] * inverse_[r][j];
    }
    return true;
  }

  std::vector<int> sizes_;  // ascending
  size_t rows_;
  int capacity_;
  std::vector<std::vector<double>> inverse_;
  std::vector<double> amount_, cost_, price_, best_;
  std::vector<int> last_;
};

// The demand by size. Beyond the kExactSizes most asked for, sizes are rounded up to kGrid, which
// bounds the program whatever the list.
constexpr size_t kExactSizes = 32;
constexpr int kGrid = 50;

std::map<int, double> Coarsened(const std::vector<SizeDemand>& demand) {
  std::map<int, double> weights;
  for (const SizeDemand& size : demand) {
    if (size.milli >= kWholeDevice || size.milli < 1 || size.weight <= 0) continue;
    weights[size.milli] += size.weight;
  }
  if (weights.size() <= kExactSizes) return weights;
  std::vector<std::pair<double, int>> order;
  for (const auto& [milli, weight] : weights) order.emplace_back(-weight, milli);
  std::sort(order.begin(), order.end());
  std::map<int, double> coarse;
  for (size_t i = 0; i < order.size(); ++i) {
    const int milli = order[i].second;
    const int rounded = i < kExactSizes ? milli : (milli + kGrid - 1) / kGrid * kGrid;
    if (rounded < kWholeDevice) coarse[rounded] -= order[i].first;
  }
  return coarse;
}

}  // namespace

PackPrices::PackPrices(const std::vector<SizeDemand>& demand) {
  const std::map<int, double> fractions = Coarsened(demand);
  int unit = kWholeDevice;  // all sizes are multiples of it
  for (const auto& [milli, weight] : fractions) unit = std::gcd(unit, milli);
  if (!fractions.empty()) {
    std::vector<int> sizes;
    std::vector<double> weights;
    for (const auto& [milli, weight] : fractions) {
      sizes.push_back(milli / unit);
      weights.push_back(weight);
    }
    const std::vector<double> prices = CuttingStock(sizes, weights, kWholeDevice / unit).Solve();
    for (size_t i = 0; i < sizes.size(); ++i) price_[sizes[i] * unit] = prices[i];
  }
  // A size that was rounded has the price of what it was rounded to; whole devices beyond.
  for (const SizeDemand& size : demand) {
    if (size.milli < 1 || size.milli > kWholeDevice || fractions.contains(size.milli)) continue;
    const auto next = fractions.lower_bound(size.milli);
    price_[size.milli] = next == fractions.end() ? 1 : price_[next->first];
  }
  price_[kWholeDevice] = 1;
  worth_.fill(0);
  for (int free = 1; free <= kWholeDevice; ++free) {
    worth_[free] = worth_[free - 1];
    for (const auto& [milli, weight] : fractions) {
      if (milli <= free)
        worth_[free] = std::max(worth_[free], worth_[free - milli] + price_[milli]);
    }
  }
  worth_[kWholeDevice] = 1;
}

}  // namespace het::fleet
