#include "runtime/quota.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/units.h"

namespace het::runtime {

absl::Status Quota::Reserve(uint64_t bytes) {
  if (seat_ != nullptr) {
    HET_RETURN_IF_ERROR(Annotate(seat_->Reserve(bytes), device_name_));
  }
  uint64_t used = used_.load(std::memory_order_relaxed);
  do {
    if (seat_ == nullptr && bytes > limit_ - used) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "asked ", FormatBytes(bytes), " on ", device_name_, ", ", FormatBytes(used), " of ",
          FormatBytes(limit_), " used; ", FormatBytes(limit_ - used), " left"));
    }
    // acq_rel: memory that was given back before is really free for who reserves it now.
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_acq_rel,
                                        std::memory_order_relaxed));
  uint64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < used + bytes &&
         !peak_.compare_exchange_weak(peak, used + bytes, std::memory_order_acq_rel)) {
  }
  return absl::OkStatus();
}

void Quota::GiveBack(uint64_t bytes) {
  used_.fetch_sub(bytes, std::memory_order_acq_rel);
  if (seat_ != nullptr) seat_->GiveBack(bytes);
}

}  // namespace het::runtime
