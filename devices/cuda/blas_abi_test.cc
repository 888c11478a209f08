// het's own declarations of cuBLAS against NVIDIA's header: checked by the compiler.
// clang-format off
#include "devices/cuda/blas.h"
#include <cublas_v2.h>
// clang-format on
#include <gtest/gtest.h>

#include "devices/streams/same_abi.h"

namespace {

using het::streams::SameAbi;

#define HET_CHECK(name, arguments)                                                 \
  static_assert(SameAbi(decltype(het::cuda::Cublas::name){}, decltype(&::name){}), \
                #name " is declared otherwise in cublas_v2.h");
HET_CUBLAS_PLAIN(HET_CHECK)
#undef HET_CHECK

using GemmEx = ::cublasStatus_t (*)(::cublasHandle_t, ::cublasOperation_t, ::cublasOperation_t, int,
                                    int, int, const void*, const void*, ::cudaDataType, int,
                                    const void*, ::cudaDataType, int, const void*, void*,
                                    ::cudaDataType, int, ::cublasComputeType_t, ::cublasGemmAlgo_t);
static_assert(SameAbi(decltype(het::cuda::Cublas::cublasGemmEx){},
                      static_cast<GemmEx>(&::cublasGemmEx)));

#define HET_VALUE(name) \
  static_assert(static_cast<int>(het::cuda::name) == static_cast<int>(::name));
HET_VALUE(CUBLAS_STATUS_SUCCESS)
HET_VALUE(CUBLAS_STATUS_NOT_INITIALIZED)
HET_VALUE(CUBLAS_STATUS_ALLOC_FAILED)
HET_VALUE(CUBLAS_STATUS_INVALID_VALUE)
HET_VALUE(CUBLAS_STATUS_ARCH_MISMATCH)
HET_VALUE(CUBLAS_STATUS_MAPPING_ERROR)
HET_VALUE(CUBLAS_STATUS_EXECUTION_FAILED)
HET_VALUE(CUBLAS_STATUS_INTERNAL_ERROR)
HET_VALUE(CUBLAS_STATUS_NOT_SUPPORTED)
HET_VALUE(CUBLAS_OP_N)
HET_VALUE(CUBLAS_OP_T)
HET_VALUE(CUDA_R_32F)
HET_VALUE(CUDA_R_16F)
HET_VALUE(CUDA_R_16BF)
HET_VALUE(CUBLAS_COMPUTE_32F)
HET_VALUE(CUBLAS_GEMM_DEFAULT)

TEST(CublasAbi, IsWhatTheHeaderSays) { SUCCEED(); }

}  // namespace
