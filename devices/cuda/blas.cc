#include "devices/cuda/blas.h"

#include <dlfcn.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"

namespace het::cuda {
namespace {

absl::StatusOr<Cublas> Open(int driver_version) {
  std::vector<std::string> tried;
  for (int major = 13; major >= 11; --major) {
    if (major > driver_version / 1000) continue;  // it would ask for a newer driver
    Cublas blas;
    blas.library = absl::StrCat("libcublas.so.", major);
    tried.push_back(blas.library);
    void* library = dlopen(blas.library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    bool whole = true;
#define HET_CUBLAS_FIND(symbol, arguments)                                        \
  blas.symbol = reinterpret_cast<decltype(blas.symbol)>(dlsym(library, #symbol)); \
  whole = whole && blas.symbol != nullptr;
    HET_CUBLAS_REQUIRED(HET_CUBLAS_FIND)
#undef HET_CUBLAS_FIND
    if (whole) return blas;
  }
  return absl::UnavailableError(absl::StrCat("no matrix library: none of ",
                                             absl::StrJoin(tried, ", "),
                                             " can be used (package libcublas)"));
}

// cuBLAS's numbers in those of the driver, which the rest of the backend speaks.
CUresult ErrorOf(cublasStatus status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return CUDA_SUCCESS;
    case CUBLAS_STATUS_ALLOC_FAILED:
      return CUDA_ERROR_OUT_OF_MEMORY;
    case CUBLAS_STATUS_INVALID_VALUE:
      return CUDA_ERROR_INVALID_VALUE;
    case CUBLAS_STATUS_ARCH_MISMATCH:
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return CUDA_ERROR_NOT_SUPPORTED;
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return CUDA_ERROR_LAUNCH_FAILED;
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return CUDA_ERROR_NOT_INITIALIZED;
    default:
      return CUDA_ERROR_UNKNOWN;
  }
}

int TypeOf(MatrixType type) {
  return type == MatrixType::kF32   ? CUDA_R_32F
         : type == MatrixType::kF16 ? CUDA_R_16F
                                    : CUDA_R_16BF;
}

class CublasMultiplier final : public streams::Multiplier {
 public:
  CublasMultiplier(const Cublas& blas, cublasHandle handle) : blas_(blas), handle_(handle) {}
  ~CublasMultiplier() override { blas_.cublasDestroy_v2(handle_); }

  // Row-major y = x w^T is column-major y' = w' x with w' transposed.
  int Multiply(const streams::Product& p) override {
    const float one = 1, beta = p.accumulate ? 1 : 0;
    const int type = TypeOf(p.type);
    const int n_in = static_cast<int>(p.n_in), n_out = static_cast<int>(p.n_out);
    return ErrorOf(blas_.cublasGemmEx(
        handle_, CUBLAS_OP_T, CUBLAS_OP_N, n_out, static_cast<int>(p.rows), n_in, &one,
        reinterpret_cast<const void*>(p.w), type, n_in, reinterpret_cast<const void*>(p.x), type,
        n_in, &beta, reinterpret_cast<void*>(p.y), CUDA_R_32F, static_cast<int>(p.y_stride),
        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  }

 private:
  const Cublas& blas_;
  const cublasHandle handle_;
};

}  // namespace

absl::StatusOr<const Cublas*> LoadCublas(int driver_version) {
  static absl::Mutex mutex;
  static const absl::StatusOr<Cublas>* loaded = nullptr;
  absl::MutexLock lock(&mutex);
  if (loaded == nullptr) loaded = new absl::StatusOr<Cublas>(Open(driver_version));
  if (!loaded->ok()) return loaded->status();
  return &**loaded;
}

absl::StatusOr<std::unique_ptr<streams::Multiplier>> NewCublasMultiplier(const Api& api,
                                                                         const Cublas& blas,
                                                                         CUstream stream) {
  cublasHandle handle = nullptr;
  const cublasStatus made = blas.cublasCreate_v2(&handle);
  if (made != CUBLAS_STATUS_SUCCESS) {
    return ErrorStatus(api, ErrorOf(made), absl::StrCat(blas.library, ", cublasCreate"));
  }
  auto multiplier = std::make_unique<CublasMultiplier>(blas, handle);
  const cublasStatus set = blas.cublasSetStream_v2(handle, stream);
  if (set != CUBLAS_STATUS_SUCCESS) {
    return ErrorStatus(api, ErrorOf(set), absl::StrCat(blas.library, ", cublasSetStream"));
  }
  return multiplier;
}

}  // namespace het::cuda
