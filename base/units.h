// Units: bytes and shares, as people write them and as het keeps them.
#ifndef HET_BASE_UNITS_H_
#define HET_BASE_UNITS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace het {

inline constexpr uint64_t kKiB = uint64_t{1} << 10;
inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;

// "1536", "64KiB", "1.5GiB", "2GB" (decimal), "512M" (binary, as most tools mean it).
// InvalidArgument on anything else, on a negative number and on overflow.
absl::StatusOr<uint64_t> ParseBytes(absl::string_view text);

// The shortest exact or three-digit form: "512 B", "7 GiB", "1.25 MiB".
std::string FormatBytes(uint64_t bytes);

// A share of a device's compute in 1/10000. Granularity 1 % for tenants, finer inside.
class Share {
 public:
  static constexpr uint32_t kWhole = 10000;
  constexpr Share() = default;
  static constexpr Share OfParts(uint32_t parts_of_10000) { return Share(parts_of_10000); }
  static constexpr Share OfPercent(uint32_t percent) { return Share(percent * 100); }
  static constexpr Share Whole() { return Share(kWhole); }

  constexpr uint32_t parts() const { return parts_; }
  constexpr double fraction() const { return static_cast<double>(parts_) / kWhole; }
  constexpr double percent() const { return static_cast<double>(parts_) / 100.0; }
  friend constexpr auto operator<=>(Share, Share) = default;
  friend constexpr Share operator+(Share a, Share b) { return Share(a.parts_ + b.parts_); }
  friend constexpr Share operator-(Share a, Share b) { return Share(a.parts_ - b.parts_); }

 private:
  explicit constexpr Share(uint32_t parts) : parts_(parts) {}
  uint32_t parts_ = 0;
};

// "30", "30%", "12.5%": more than 0, at most 100 %. InvalidArgument otherwise.
absl::StatusOr<Share> ParseShare(absl::string_view text);
std::string FormatShare(Share share);  // "30%", "12.5%"

// "250ms", "30s", "5m", "1h", "1d"; a bare number is seconds. InvalidArgument on anything else and
// on a negative number.
absl::StatusOr<int64_t> ParseDurationMillis(absl::string_view text);

}  // namespace het

#endif  // HET_BASE_UNITS_H_
