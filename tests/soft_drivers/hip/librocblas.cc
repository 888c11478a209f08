// The soft librocblas.so.5: products that are computed for real, on the stream's thread, through
// the soft HIP runtime of the process (found by name, as the real library finds the real runtime).
#include <dlfcn.h>

#include <memory>

#include "devices/hip/blas.h"
#include "tests/soft_drivers/common/gemm.h"

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::hip {

struct rocblasOpaque {
  hipStream_t stream = nullptr;
};

#define HET_DECLARE(name, arguments) HET_EXPORT rocblasStatus name arguments;
HET_ROCBLAS_REQUIRED(HET_DECLARE)
#undef HET_DECLARE

namespace {

using LaunchHostFunc = hipError_t (*)(hipStream_t, void (*)(void*), void*);

LaunchHostFunc FindLaunchHostFunc() {
  void* runtime = dlopen("libamdhip64.so.7", RTLD_NOW | RTLD_LOCAL);
  return runtime == nullptr ? nullptr
                            : reinterpret_cast<LaunchHostFunc>(dlsym(runtime, "hipLaunchHostFunc"));
}

}  // namespace

HET_EXPORT rocblasStatus rocblas_create_handle(rocblasHandle* handle) {
  *handle = new rocblasOpaque;
  return rocblas_status_success;
}

HET_EXPORT rocblasStatus rocblas_destroy_handle(rocblasHandle handle) {
  delete handle;
  return rocblas_status_success;
}

HET_EXPORT rocblasStatus rocblas_set_stream(rocblasHandle handle, hipStream_t stream) {
  handle->stream = stream;
  return rocblas_status_success;
}

HET_EXPORT rocblasStatus rocblas_gemm_ex(rocblasHandle handle, int transpose_a, int transpose_b,
                                         int m, int n, int k, const void* alpha, const void* a,
                                         int a_type, int lda, const void* b, int b_type, int ldb,
                                         const void* beta, const void* c, int c_type, int ldc,
                                         void* d, int d_type, int ldd, int compute_type, int,
                                         int32_t, uint32_t) {
  static const LaunchHostFunc launch = FindLaunchHostFunc();
  if (launch == nullptr || transpose_a != rocblas_operation_transpose ||
      transpose_b != rocblas_operation_none || a_type != b_type || c != d || ldc != ldd ||
      c_type != rocblas_datatype_f32_r || d_type != c_type || compute_type != c_type) {
    return rocblas_status_not_implemented;  // by this soft library: het asks for nothing else
  }
  auto gemm = std::make_unique<soft::Gemm>();
  *gemm = {.m = m,
           .n = n,
           .k = k,
           .type = a_type == rocblas_datatype_f32_r   ? soft::GemmType::kF32
                   : a_type == rocblas_datatype_f16_r ? soft::GemmType::kF16
                                                      : soft::GemmType::kBF16,
           .alpha = *static_cast<const float*>(alpha),
           .beta = *static_cast<const float*>(beta),
           .a = a,
           .b = b,
           .c = d,
           .lda = lda,
           .ldb = ldb,
           .ldc = ldd};
  if (!gemm->sound()) return rocblas_status_invalid_size;
  const hipError_t error = launch(
      handle->stream,
      [](void* user) {
        const std::unique_ptr<soft::Gemm> mine(static_cast<soft::Gemm*>(user));
        mine->Run();
      },
      gemm.get());
  if (error != hipSuccess) return rocblas_status_invalid_value;
  (void)gemm.release();
  return rocblas_status_success;
}

}  // namespace het::hip
