// The native functions, one declaration per kernel of kernels.h. Each does the groups of its call
// and nothing else; the best SIMD target of the machine is chosen at run time, on the first call.
#ifndef HET_ENGINE_KERNELS_NATIVE_KERNEL_LIST_H_
#define HET_ENGINE_KERNELS_NATIVE_KERNEL_LIST_H_

#include "het/kernel.h"

// X(function, name in the program)
#define HETLLM_NATIVE_KERNELS(X)        \
  X(GetRowsF32, "get_rows_f32")         \
  X(GetRowsF16, "get_rows_f16")         \
  X(GetRowsBF16, "get_rows_bf16")       \
  X(GetRowsQ80, "get_rows_q8_0")        \
  X(GetRowsQ40, "get_rows_q4_0")        \
  X(GetRowsQ4K, "get_rows_q4_k")        \
  X(GetRowsQ5K, "get_rows_q5_k")        \
  X(GetRowsQ6K, "get_rows_q6_k")        \
  X(RmsNorm, "rmsnorm")                 \
  X(MatmulF32, "matmul_f32")            \
  X(MatmulF16, "matmul_f16")            \
  X(MatmulBF16, "matmul_bf16")          \
  X(MatmulQ80, "matmul_q8_0")           \
  X(MatmulQ40, "matmul_q4_0")           \
  X(MatmulQ4K, "matmul_q4_k")           \
  X(MatmulQ5K, "matmul_q5_k")           \
  X(MatmulQ6K, "matmul_q6_k")           \
  X(MatmulQ80Q8, "matmul_q8_0_q8")      \
  X(MatmulQ40Q8, "matmul_q4_0_q8")      \
  X(MatmulQ4KQ8, "matmul_q4_k_q8")      \
  X(MatmulQ5KQ8, "matmul_q5_k_q8")      \
  X(MatmulQ6KQ8, "matmul_q6_k_q8")      \
  X(MatmulF16Half, "matmul_f16_half")   \
  X(MatmulBF16Half, "matmul_bf16_half") \
  X(QuantizeQ8, "quantize_q8")          \
  X(RmsNormQ8, "rmsnorm_q8")            \
  X(SiluMulQ8, "silu_mul_q8")           \
  X(Rope, "rope")                       \
  X(KvAppend, "kv_append")              \
  X(Attention, "attention")             \
  X(SiluMul, "silu_mul")                \
  X(Add, "add")                         \
  X(AddBias, "add_bias")                \
  X(Argmax, "argmax")

namespace hetllm::native {

#define HETLLM_DECLARE(function, name) void function(const het_native_call* call);
HETLLM_NATIVE_KERNELS(HETLLM_DECLARE)
#undef HETLLM_DECLARE

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_KERNEL_LIST_H_
