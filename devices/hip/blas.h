// Rocblas: AMD's matrix library, found by dlopen where it is installed; and a multiplier: one of
// its handles for one stream. The declarations are het's own; no header of AMD's was at hand to
// compare them with.
//
// Threads: the table is immutable once loaded; a multiplier belongs to its queue. Failures:
// Unavailable with the names that were tried. Ownership: het links no library and never closes
// this one.
#ifndef HET_DEVICES_HIP_BLAS_H_
#define HET_DEVICES_HIP_BLAS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "devices/hip/api.h"
#include "devices/streams/gpu.h"

namespace het::hip {

using rocblasHandle = struct rocblasOpaque*;
enum rocblasStatus : int {
  rocblas_status_success = 0,
  rocblas_status_not_implemented = 2,
  rocblas_status_invalid_pointer = 3,
  rocblas_status_invalid_size = 4,
  rocblas_status_memory_error = 5,
  rocblas_status_invalid_value = 11,
};
enum : int {
  rocblas_operation_none = 111,
  rocblas_operation_transpose = 112,
  rocblas_datatype_f16_r = 150,
  rocblas_datatype_f32_r = 151,
  rocblas_datatype_bf16_r = 168,
  rocblas_gemm_algo_standard = 0,
};

// X(name, arguments): every entry point gives a rocblasStatus.
#define HET_ROCBLAS_REQUIRED(X)                                                                 \
  X(rocblas_create_handle, (rocblasHandle * handle))                                            \
  X(rocblas_destroy_handle, (rocblasHandle handle))                                             \
  X(rocblas_set_stream, (rocblasHandle handle, hipStream_t stream))                             \
  X(rocblas_gemm_ex,                                                                            \
    (rocblasHandle handle, int transpose_a, int transpose_b, int m, int n, int k,               \
     const void* alpha, const void* a, int a_type, int lda, const void* b, int b_type, int ldb, \
     const void* beta, const void* c, int c_type, int ldc, void* d, int d_type, int ldd,        \
     int compute_type, int algorithm, int32_t solution, uint32_t flags))

struct Rocblas {
#define HET_ROCBLAS_MEMBER(name, arguments) rocblasStatus(*name) arguments = nullptr;
  HET_ROCBLAS_REQUIRED(HET_ROCBLAS_MEMBER)
#undef HET_ROCBLAS_MEMBER
  std::string library;  // "librocblas.so.4"
};

// Once per process; the library that belongs to the runtime `hip_library` ("libamdhip64.so.6").
absl::StatusOr<const Rocblas*> LoadRocblas(const std::string& hip_library);

// Expects the device to be current.
absl::StatusOr<std::unique_ptr<streams::Multiplier>> NewRocblasMultiplier(const Api& api,
                                                                          const Rocblas& blas,
                                                                          hipStream_t stream);

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_BLAS_H_
