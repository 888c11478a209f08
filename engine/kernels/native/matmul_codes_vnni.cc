// matmul_codes.h for AVX-512 with VNNI.
#include "hwy/base.h"
#if HWY_ARCH_X86_64
#define HETLLM_VNNI 1
#define HETLLM_BUILD vnni
#define HETLLM_FEW MatmulFewCodesVnni
#define HETLLM_PACKED MatmulPackedCodesVnni
#define HETLLM_INSTRUCTIONS \
  "avx,avx2,fma,f16c,bmi,bmi2,sse4.1,ssse3,avx512f,avx512vl,avx512bw,avx512dq,avx512vnni"
#include "engine/kernels/native/matmul_codes-inl.h"
#endif
