// PackPrices: what a job of each size is worth to the packing of single devices, and so what is
// worth keeping free.
//
// Devices are bins of kWholeDevice, fractions are items. The linear program of cutting stock
// (Gilmore and Gomory 1961: fewest bins for the demand, by column generation) has a dual price per
// item, in devices: the part of a device that one more such job costs when all are packed as well
// as they can be. An item that always fits where others leave room is free (0), an item that leaves
// nothing usable costs a whole device (1). The worth of a hole is then the best price that items
// can bring in it: a hole of 190 is worth nothing where hardly anything is so small, one of 530
// half a device where pairs of 470 are common.
//
// Pure and deterministic. Threads: const access is safe from any number of threads.
#ifndef HET_SCHEDULER_FLEET_PACK_PRICES_H_
#define HET_SCHEDULER_FLEET_PACK_PRICES_H_

#include <array>
#include <vector>

#include "scheduler/fleet/spec.h"

namespace het::fleet {

struct SizeDemand {
  int milli = 0;      // 1 to kWholeDevice
  double weight = 0;  // how often it is asked for; any scale
};

class PackPrices {
 public:
  PackPrices() { worth_.fill(0); }
  // Sizes may repeat. Sizes of a whole device cost one device by definition.
  explicit PackPrices(const std::vector<SizeDemand>& demand);

  // In devices; 0 for a size that was not in the demand.
  double Price(int milli) const { return price_[milli]; }
  // The most that a device with this much free can still bring; monotone, 1 for a whole device.
  double Worth(int milli) const { return worth_[milli]; }

 private:
  std::array<double, kWholeDevice + 1> price_{};
  std::array<double, kWholeDevice + 1> worth_{};
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_PACK_PRICES_H_
