#include "devices/opencl/affinity.h"

#include <sched.h>

#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace het::opencl {
namespace {

constexpr uint32_t kMaxProcessors = 8192;

struct SetDeleter {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using CpuSet = std::unique_ptr<cpu_set_t, SetDeleter>;

}  // namespace

std::vector<uint32_t> AllowedCores() {
  const size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  CpuSet set(CPU_ALLOC(kMaxProcessors));
  CPU_ZERO_S(bytes, set.get());
  std::vector<uint32_t> cores;
  if (sched_getaffinity(0, bytes, set.get()) != 0) return cores;
  for (uint32_t core = 0; core < kMaxProcessors; ++core) {
    if (CPU_ISSET_S(core, bytes, set.get())) cores.push_back(core);
  }
  return cores;
}

absl::Status RunOnCores(const std::vector<uint32_t>& cores, absl::FunctionRef<void()> call) {
  if (cores.empty()) {
    call();
    return absl::OkStatus();
  }
  const size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  CpuSet set(CPU_ALLOC(kMaxProcessors));
  CPU_ZERO_S(bytes, set.get());
  for (uint32_t core : cores) {
    if (core >= kMaxProcessors) {
      return absl::InvalidArgumentError(absl::StrCat("there is no processor ", core));
    }
    CPU_SET_S(core, bytes, set.get());
  }
  const std::vector<uint32_t> allowed = AllowedCores();
  absl::Status status;
  std::thread bound([&] {
    // The kernel takes a set of which only a part is allowed, and drops the rest.
    if (sched_setaffinity(0, bytes, set.get()) != 0 ||
        AllowedCores().size() != static_cast<size_t>(CPU_COUNT_S(bytes, set.get()))) {
      status = absl::InvalidArgumentError(absl::StrCat("cannot bind to processors ",
                                                       absl::StrJoin(cores, ","), "; allowed are ",
                                                       absl::StrJoin(allowed, ",")));
      return;
    }
    call();
  });
  bound.join();
  return status;
}

}  // namespace het::opencl
