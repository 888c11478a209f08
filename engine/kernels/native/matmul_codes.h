// Matmul with int8 activations. Every quantised type is brought to one form (formats.h: code,
// scale, minimum), so that one kernel multiplies all of them: a run of codes with int8 activations
// is an exact integer, and only then scaled.
//
// Three builds of the same text: AVX2, AVX-512 with VNNI (the instruction that multiplies and adds
// bytes), and plain C++ for every other machine. Which one runs is decided once per call.
#ifndef HET_ENGINE_KERNELS_NATIVE_MATMUL_CODES_H_
#define HET_ENGINE_KERNELS_NATIVE_MATMUL_CODES_H_

#include "engine/kernels/native/matmul.h"

namespace hetllm::native {

// Outputs [begin, end) of all rows: bound by reading the weights.
void MatmulFewCodes(const MatmulCall& m, WeightType type, size_t begin, size_t end);
// Many rows: bound by arithmetic.
void MatmulPackedCodes(const MatmulCall& m, WeightType type, const MatmulRange& range);

// The builds. Only where the processor has the instructions.
void MatmulFewCodesAvx2(const MatmulCall& m, WeightType type, size_t begin, size_t end);
void MatmulPackedCodesAvx2(const MatmulCall& m, WeightType type, const MatmulRange& range);
void MatmulFewCodesVnni(const MatmulCall& m, WeightType type, size_t begin, size_t end);
void MatmulPackedCodesVnni(const MatmulCall& m, WeightType type, const MatmulRange& range);

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_MATMUL_CODES_H_
