// matmul_codes.h for AVX2.
#include "hwy/base.h"
#if HWY_ARCH_X86_64
#define HETLLM_VNNI 0
#define HETLLM_BUILD avx2
#define HETLLM_FEW MatmulFewCodesAvx2
#define HETLLM_PACKED MatmulPackedCodesAvx2
#define HETLLM_INSTRUCTIONS "avx,avx2,fma,f16c,bmi,bmi2,sse4.1,ssse3"
#include "engine/kernels/native/matmul_codes-inl.h"
#endif
