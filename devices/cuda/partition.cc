#include "devices/cuda/partition.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::cuda {

absl::Status Partition::Split() {
  if (!groups_.empty()) return absl::OkStatus();
  const std::string what = absl::StrCat("splitting the multiprocessors of ", found_.info.name);
  CUdevResource all = {};
  HET_CUDA_RETURN_IF_ERROR(
      api_, api_.cuDeviceGetDevResource(found_.device, &all, CU_DEV_RESOURCE_TYPE_SM), what);
  // With one multiprocessor asked, the driver rounds up to its smallest group.
  unsigned int count = 0;
  HET_CUDA_RETURN_IF_ERROR(
      api_, api_.cuDevSmResourceSplitByCount(nullptr, &count, &all, nullptr, 0, 1), what);
  std::vector<CUdevResource> groups(count);
  CUdevResource remaining = {};
  HET_CUDA_RETURN_IF_ERROR(
      api_, api_.cuDevSmResourceSplitByCount(groups.data(), &count, &all, &remaining, 0, 1), what);
  groups.resize(count);
  if (groups.empty()) {
    return absl::UnimplementedError(absl::StrCat(what, ": the driver makes no group"));
  }
  groups_ = std::move(groups);
  used_.assign(groups_.size(), false);
  return absl::OkStatus();
}

absl::StatusOr<CudaGpu::Part> Partition::Take(uint32_t units, uint32_t& taken) {
  if (!api_.has_green_contexts()) {
    return absl::UnimplementedError(
        absl::StrCat("asked ", units, " of ", found_.info.compute_units, " multiprocessors of ",
                     found_.info.name, ", but the driver (CUDA ", VersionText(api_.version),
                     ") has no green contexts; open all of it, or install CUDA 12.4 or newer"));
  }
  CUdevResourceDesc description = nullptr;
  size_t first = 0, count = 0;
  {
    absl::MutexLock lock(&mutex_);
    HET_RETURN_IF_ERROR(Split());
    const uint32_t size = std::max(1u, groups_.front().sm.smCount);
    count = std::clamp<size_t>(units / size, 1, groups_.size());
    const auto begin = std::search_n(used_.begin(), used_.end(), count, false);
    if (begin == used_.end()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("asked ", units, " neighbouring multiprocessors of ", found_.info.name, "; ",
                       size * std::count(used_.begin(), used_.end(), false), " of ",
                       size * used_.size(), " are free in this process, in groups of ", size));
    }
    first = static_cast<size_t>(begin - used_.begin());
    HET_CUDA_RETURN_IF_ERROR(
        api_,
        api_.cuDevResourceGenerateDesc(&description, &groups_[first],
                                       static_cast<unsigned int>(count)),
        absl::StrCat("describing ", units, " multiprocessors of ", found_.info.name));
    std::fill_n(begin, count, true);
    taken = size * static_cast<uint32_t>(count);
  }
  CudaGpu::Part part;
  if (const CUresult error = api_.cuGreenCtxCreate(&part.context, description, found_.device,
                                                   CU_GREEN_CTX_DEFAULT_STREAM);
      error != CUDA_SUCCESS) {
    GiveBack(first, count);
    return ErrorStatus(api_, error,
                       absl::StrCat("making a green context of ", units, " multiprocessors of ",
                                    found_.info.name));
  }
  part.give_back = [this, first, count] { GiveBack(first, count); };
  return part;
}

void Partition::GiveBack(size_t first, size_t count) {
  absl::MutexLock lock(&mutex_);
  std::fill_n(used_.begin() + static_cast<std::ptrdiff_t>(first), count, false);
}

}  // namespace het::cuda
