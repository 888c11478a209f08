#include "interpose/opencl/launching.h"

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/numeric/bits.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "partition/cost_estimate.h"

namespace het::interpose {
namespace {

// Names of kernels by handle. Never erased: a handle that the driver uses again is named again.
struct KernelNames {
  absl::Mutex mutex;
  absl::flat_hash_map<cl_kernel, uint64_t> names ABSL_GUARDED_BY(mutex);
  // Grows with every change. release/acquire: who sees the number sees the change in the map, and
  // what a thread remembered before it is not used.
  std::atomic<uint64_t> generation{1};
};

KernelNames& Names() {
  static KernelNames* const names = new KernelNames;
  return *names;
}

void Name(cl_kernel kernel, uint64_t name) {
  KernelNames& all = Names();
  absl::MutexLock lock(&all.mutex);
  all.names[kernel] = name;
  all.generation.fetch_add(1, std::memory_order_release);
}

uint64_t NameOf(cl_kernel kernel) {
  KernelNames& all = Names();
  absl::MutexLock lock(&all.mutex);
  const auto found = all.names.find(kernel);
  return found != all.names.end() ? found->second : reinterpret_cast<uintptr_t>(kernel);
}

}  // namespace

void NameKernel(cl_kernel kernel, cl_program program, const char* name) {
  uint64_t hash = reinterpret_cast<uintptr_t>(program);
  for (const char c : absl::string_view(name)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  Name(kernel, hash);
}

void CopyKernelName(cl_kernel from, cl_kernel to) { Name(to, NameOf(from)); }

uint64_t WorkKey(cl_kernel kernel, cl_uint dimensions, const size_t* global_size) {
  // Programs launch the same kernel again and again.
  thread_local struct {
    cl_kernel kernel = nullptr;
    uint64_t generation = 0;
    uint64_t name = 0;
  } last;
  const uint64_t generation = Names().generation.load(std::memory_order_acquire);
  if (last.kernel != kernel || last.generation != generation) {
    last = {kernel, generation, NameOf(kernel)};
  }
  uint64_t items = 1;
  for (cl_uint i = 0; global_size != nullptr && i < dimensions && i < 3; ++i) {
    items *= global_size[i];
  }
  return CostEstimate::Key(last.name, items);
}

uint64_t WorkKey(Transfer kind, uint64_t bytes) {
  return CostEstimate::Key(static_cast<uint64_t>(kind), absl::bit_width(bytes));
}

}  // namespace het::interpose
