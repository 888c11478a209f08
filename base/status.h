// Status helpers: early returns for absl::Status and absl::StatusOr. Nothing here allocates on the
// success path.
#ifndef HET_BASE_STATUS_H_
#define HET_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace het {

// The same code with "context: " before the message. OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace het

#define HET_RETURN_IF_ERROR(expr)                                                 \
  do {                                                                            \
    if (absl::Status het_status_ = (expr); !het_status_.ok()) return het_status_; \
  } while (false)

#define HET_CONCAT_INNER_(a, b) a##b
#define HET_CONCAT_(a, b) HET_CONCAT_INNER_(a, b)

// HET_ASSIGN_OR_RETURN(auto device, driver.Open(uuid)); returns the error, or declares and fills
// the variable.
#define HET_ASSIGN_OR_RETURN(lhs, expr) \
  HET_ASSIGN_OR_RETURN_(HET_CONCAT_(het_or_, __LINE__), lhs, expr)
#define HET_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  if (!tmp.ok()) return tmp.status();         \
  lhs = *std::move(tmp)

#endif  // HET_BASE_STATUS_H_
