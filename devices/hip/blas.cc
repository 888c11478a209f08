#include "devices/hip/blas.h"

#include <dlfcn.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"

namespace het::hip {
namespace {

// Another runtime's library would bring that runtime into the process.
std::vector<std::string> NamesFor(const std::string& hip_library) {
  if (absl::EndsWith(hip_library, ".7")) return {"librocblas.so.5"};
  if (absl::EndsWith(hip_library, ".6")) return {"librocblas.so.4"};
  return {"librocblas.so.3", "librocblas.so.0"};
}

absl::StatusOr<Rocblas> Open(const std::string& hip_library) {
  const std::vector<std::string> names = NamesFor(hip_library);
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    Rocblas blas;
    blas.library = name;
    bool whole = true;
#define HET_ROCBLAS_FIND(symbol, arguments)                                       \
  blas.symbol = reinterpret_cast<decltype(blas.symbol)>(dlsym(library, #symbol)); \
  whole = whole && blas.symbol != nullptr;
    HET_ROCBLAS_REQUIRED(HET_ROCBLAS_FIND)
#undef HET_ROCBLAS_FIND
    if (whole) return blas;
  }
  return absl::UnavailableError(absl::StrCat(
      "no matrix library: none of ", absl::StrJoin(names, ", "), " can be used (package rocblas)"));
}

// rocBLAS's numbers in those of the runtime, which the rest of the backend speaks.
hipError_t ErrorOf(rocblasStatus status) {
  switch (status) {
    case rocblas_status_success:
      return hipSuccess;
    case rocblas_status_not_implemented:
      return hipErrorNotSupported;
    case rocblas_status_invalid_pointer:
    case rocblas_status_invalid_size:
    case rocblas_status_invalid_value:
      return hipErrorInvalidValue;
    case rocblas_status_memory_error:
      return hipErrorOutOfMemory;
    default:
      return hipErrorUnknown;
  }
}

int TypeOf(MatrixType type) {
  return type == MatrixType::kF32   ? rocblas_datatype_f32_r
         : type == MatrixType::kF16 ? rocblas_datatype_f16_r
                                    : rocblas_datatype_bf16_r;
}

class RocblasMultiplier final : public streams::Multiplier {
 public:
  RocblasMultiplier(const Rocblas& blas, rocblasHandle handle) : blas_(blas), handle_(handle) {}
  ~RocblasMultiplier() override { blas_.rocblas_destroy_handle(handle_); }

  // Row-major y = x w^T is column-major y' = w' x with w' transposed.
  int Multiply(const streams::Product& p) override {
    const float one = 1, beta = p.accumulate ? 1 : 0;
    const int type = TypeOf(p.type);
    const int n_in = static_cast<int>(p.n_in), n_out = static_cast<int>(p.n_out);
    auto* y = reinterpret_cast<void*>(p.y);
    const int stride = static_cast<int>(p.y_stride);
    return ErrorOf(blas_.rocblas_gemm_ex(
        handle_, rocblas_operation_transpose, rocblas_operation_none, n_out,
        static_cast<int>(p.rows), n_in, &one, reinterpret_cast<const void*>(p.w), type, n_in,
        reinterpret_cast<const void*>(p.x), type, n_in, &beta, y, rocblas_datatype_f32_r, stride, y,
        rocblas_datatype_f32_r, stride, rocblas_datatype_f32_r, rocblas_gemm_algo_standard, 0, 0));
  }

 private:
  const Rocblas& blas_;
  const rocblasHandle handle_;
};

}  // namespace

absl::StatusOr<const Rocblas*> LoadRocblas(const std::string& hip_library) {
  static absl::Mutex mutex;
  static const absl::StatusOr<Rocblas>* loaded = nullptr;
  absl::MutexLock lock(&mutex);
  if (loaded == nullptr) loaded = new absl::StatusOr<Rocblas>(Open(hip_library));
  if (!loaded->ok()) return loaded->status();
  return &**loaded;
}

absl::StatusOr<std::unique_ptr<streams::Multiplier>> NewRocblasMultiplier(const Api& api,
                                                                          const Rocblas& blas,
                                                                          hipStream_t stream) {
  rocblasHandle handle = nullptr;
  const rocblasStatus made = blas.rocblas_create_handle(&handle);
  if (made != rocblas_status_success) {
    return ErrorStatus(api, ErrorOf(made), absl::StrCat(blas.library, ", rocblas_create_handle"));
  }
  auto multiplier = std::make_unique<RocblasMultiplier>(blas, handle);
  const rocblasStatus set = blas.rocblas_set_stream(handle, stream);
  if (set != rocblas_status_success) {
    return ErrorStatus(api, ErrorOf(set), absl::StrCat(blas.library, ", rocblas_set_stream"));
  }
  return multiplier;
}

}  // namespace het::hip
