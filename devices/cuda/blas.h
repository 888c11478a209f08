// Cublas: NVIDIA's matrix library, found by dlopen where it is installed; and CublasMultiplier, one
// of its handles for one stream.
//
// Threads: the table is immutable once loaded; a multiplier belongs to its queue. Failures:
// Unavailable with the names that were tried. Ownership: het links no library and never closes
// this one.
#ifndef HET_DEVICES_CUDA_BLAS_H_
#define HET_DEVICES_CUDA_BLAS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "devices/cuda/api.h"
#include "devices/streams/gpu.h"

namespace het::cuda {

// The part of cuBLAS that het calls, in our own words (blas_abi_test.cc compares it with
// cublas_v2.h).
using cublasHandle = struct cublasOpaque*;
enum cublasStatus : int {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_ARCH_MISMATCH = 8,
  CUBLAS_STATUS_MAPPING_ERROR = 11,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_INTERNAL_ERROR = 14,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};
enum : int {
  CUBLAS_OP_N = 0,
  CUBLAS_OP_T = 1,
  CUDA_R_32F = 0,  // cudaDataType
  CUDA_R_16F = 2,
  CUDA_R_16BF = 14,
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_GEMM_DEFAULT = -1,
};

// X(name, arguments): every entry point gives a cublasStatus. The last has C++ overloads in
// NVIDIA's header, and is a list of its own for blas_abi_test.cc.
#define HET_CUBLAS_REQUIRED(X) HET_CUBLAS_PLAIN(X) HET_CUBLAS_OVERLOADED(X)
#define HET_CUBLAS_PLAIN(X)                   \
  X(cublasCreate_v2, (cublasHandle * handle)) \
  X(cublasDestroy_v2, (cublasHandle handle))  \
  X(cublasSetStream_v2, (cublasHandle handle, CUstream stream))
#define HET_CUBLAS_OVERLOADED(X)                                                                \
  X(cublasGemmEx,                                                                               \
    (cublasHandle handle, int transpose_a, int transpose_b, int m, int n, int k,                \
     const void* alpha, const void* a, int a_type, int lda, const void* b, int b_type, int ldb, \
     const void* beta, void* c, int c_type, int ldc, int compute_type, int algorithm))

struct Cublas {
#define HET_CUBLAS_MEMBER(name, arguments) cublasStatus(*name) arguments = nullptr;
  HET_CUBLAS_REQUIRED(HET_CUBLAS_MEMBER)
#undef HET_CUBLAS_MEMBER
  std::string library;  // "libcublas.so.13"
};

// Once per process; the library of the driver's own major version, else an older one.
absl::StatusOr<const Cublas*> LoadCublas(int driver_version);

// Expects the device to be current.
absl::StatusOr<std::unique_ptr<streams::Multiplier>> NewCublasMultiplier(const Api& api,
                                                                         const Cublas& blas,
                                                                         CUstream stream);

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_BLAS_H_
