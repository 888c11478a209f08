// OpTable: the measured time of one operation over the size of its batch, as profiles give it.
//
// Between two rows the time is linear; beyond the last it goes on with the slope of the last two;
// below the first it is the first row's (an operation has a floor), unless the table starts at 0.
// Plain data, immutable after it is made.
#ifndef HET_DEVICES_SIMULATED_OP_TABLE_H_
#define HET_DEVICES_SIMULATED_OP_TABLE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace het::simulated {

class OpTable {
 public:
  // Equally many of both, at least one; batches >= 0 and rising, times >= 0 in milliseconds.
  // InvalidArgument says which row is wrong.
  static absl::StatusOr<OpTable> Make(std::vector<double> batch, std::vector<double> millis);
  // Lines "batch,ms"; a first line that is no numbers is a heading; empty lines and # are skipped.
  // Errors name `path`:line.
  static absl::StatusOr<OpTable> ReadCsv(const std::string& path);

  double Millis(double batch) const;
  size_t rows() const { return batch_.size(); }

 private:
  std::vector<double> batch_;
  std::vector<double> millis_;
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_OP_TABLE_H_
