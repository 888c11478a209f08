// The soft libcublas.so.13: products that are computed for real, on the stream's thread, through
// the soft libcuda of the process (found by name, as the real library finds the real driver).
#include <dlfcn.h>

#include <memory>

#include "devices/cuda/blas.h"
#include "tests/soft_drivers/common/gemm.h"

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::cuda {

struct cublasOpaque {
  CUstream stream = nullptr;
};

#define HET_DECLARE(name, arguments) HET_EXPORT cublasStatus name arguments;
HET_CUBLAS_REQUIRED(HET_DECLARE)
#undef HET_DECLARE

namespace {

using LaunchHostFunc = CUresult (*)(CUstream, void (*)(void*), void*);

LaunchHostFunc FindLaunchHostFunc() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return driver == nullptr ? nullptr
                           : reinterpret_cast<LaunchHostFunc>(dlsym(driver, "cuLaunchHostFunc"));
}

}  // namespace

HET_EXPORT cublasStatus cublasCreate_v2(cublasHandle* handle) {
  *handle = new cublasOpaque;
  return CUBLAS_STATUS_SUCCESS;
}

HET_EXPORT cublasStatus cublasDestroy_v2(cublasHandle handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

HET_EXPORT cublasStatus cublasSetStream_v2(cublasHandle handle, CUstream stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

HET_EXPORT cublasStatus cublasGemmEx(cublasHandle handle, int transpose_a, int transpose_b, int m,
                                     int n, int k, const void* alpha, const void* a, int a_type,
                                     int lda, const void* b, int b_type, int ldb, const void* beta,
                                     void* c, int c_type, int ldc, int compute_type, int) {
  static const LaunchHostFunc launch = FindLaunchHostFunc();
  if (launch == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (transpose_a != CUBLAS_OP_T || transpose_b != CUBLAS_OP_N || a_type != b_type ||
      c_type != CUDA_R_32F || compute_type != CUBLAS_COMPUTE_32F) {
    return CUBLAS_STATUS_NOT_SUPPORTED;  // by this soft library: het asks for nothing else
  }
  auto gemm = std::make_unique<soft::Gemm>();
  *gemm = {.m = m,
           .n = n,
           .k = k,
           .type = a_type == CUDA_R_32F   ? soft::GemmType::kF32
                   : a_type == CUDA_R_16F ? soft::GemmType::kF16
                                          : soft::GemmType::kBF16,
           .alpha = *static_cast<const float*>(alpha),
           .beta = *static_cast<const float*>(beta),
           .a = a,
           .b = b,
           .c = c,
           .lda = lda,
           .ldb = ldb,
           .ldc = ldc};
  if (!gemm->sound()) return CUBLAS_STATUS_INVALID_VALUE;
  const CUresult error = launch(
      handle->stream,
      [](void* user) {
        const std::unique_ptr<soft::Gemm> mine(static_cast<soft::Gemm*>(user));
        mine->Run();
      },
      gemm.get());
  if (error != CUDA_SUCCESS) return CUBLAS_STATUS_EXECUTION_FAILED;
  (void)gemm.release();
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace het::cuda
