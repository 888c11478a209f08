#include "devices/simulated/op_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"

namespace het::simulated {

absl::StatusOr<OpTable> OpTable::Make(std::vector<double> batch, std::vector<double> millis) {
  if (batch.size() != millis.size() || batch.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("a table of ", batch.size(), " batches and ",
                                                   millis.size(),
                                                   " times: it needs equally many "
                                                   "of both, at least one"));
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    const bool rising = i == 0 ? batch[i] >= 0 : batch[i] > batch[i - 1];
    if (!rising || !std::isfinite(batch[i]) || !std::isfinite(millis[i]) || millis[i] < 0) {
      return absl::InvalidArgumentError(absl::StrCat("row ", i + 1, " (", batch[i], ", ", millis[i],
                                                     "): batches must rise from 0 or more, times "
                                                     "must not be negative"));
    }
  }
  OpTable table;
  table.batch_ = std::move(batch);
  table.millis_ = std::move(millis);
  return table;
}

absl::StatusOr<OpTable> OpTable::ReadCsv(const std::string& path) {
  HET_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, uint64_t{16} << 20));
  std::vector<double> batch, millis;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ',');
    double b = 0, ms = 0;
    if (fields.size() == 2 && absl::SimpleAtod(absl::StripAsciiWhitespace(fields[0]), &b) &&
        absl::SimpleAtod(absl::StripAsciiWhitespace(fields[1]), &ms)) {
      batch.push_back(b);
      millis.push_back(ms);
    } else if (number > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": \"", line, "\" is not \"batch,ms\""));
    }
  }
  absl::StatusOr<OpTable> table = Make(std::move(batch), std::move(millis));
  if (!table.ok()) return Annotate(table.status(), path);
  return table;
}

double OpTable::Millis(double batch) const {
  const size_t rows = batch_.size();
  if (rows == 1 || batch <= batch_.front()) return millis_.front();
  // The pair of rows around `batch`, or the last pair.
  const size_t above = std::clamp<size_t>(
      std::lower_bound(batch_.begin(), batch_.end(), batch) - batch_.begin(), 1, rows - 1);
  const double slope = (millis_[above] - millis_[above - 1]) / (batch_[above] - batch_[above - 1]);
  return std::max(0.0, millis_[above - 1] + slope * (batch - batch_[above - 1]));
}

}  // namespace het::simulated
