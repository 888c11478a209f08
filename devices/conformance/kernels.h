// The kernels of the conformance suite, each as a native function and as its portable twin. The
// parameter structs are written once, for both.
#ifndef HET_DEVICES_CONFORMANCE_KERNELS_H_
#define HET_DEVICES_CONFORMANCE_KERNELS_H_

#include <sys/types.h>  // uint, ulong: the names OpenCL C has

#include "devices/program.h"

namespace het::conformance {

// The text is C++ here and OpenCL C in the portable source.
#define HET_CONFORMANCE_STRUCTS                     \
  /* y[i] = a * x[i] + y[i] for i < count */        \
  struct SaxpyParams {                              \
    float a;                                        \
    uint count;                                     \
  };                                                \
  /* out[group] = sum of the group's 64 elements */ \
  struct ReduceParams {                             \
    uint count;                                     \
  };                                                \
  /* x[i] = x[i] * 5 + add: the order shows */      \
  struct StepParams {                               \
    uint add;                                       \
    uint count;                                     \
  };                                                \
  /* one of everything, with holes between */       \
  struct MixedParams {                              \
    uchar small;                                    \
    uint word;                                      \
    ushort half_word;                               \
    ulong wide;                                     \
    float real;                                     \
    int list[3];                                    \
  };

using uchar = unsigned char;
HET_CONFORMANCE_STRUCTS

inline constexpr uint32_t kReduceGroup = 64;  // work items of a reduce group
inline constexpr uint32_t kMixedFields = 8;   // words that mixed writes

// All of them: saxpy, reduce, grid, step, mixed.
//   saxpy (x, y; SaxpyParams), any group size: floats
//   reduce (in, out; ReduceParams), group size {64, 1, 1}: floats, a static local array
//   grid (out), any grid: out[z][y][x] = 1 + x + 100 y + 10000 z, uint, global indices
//   step (x; StepParams), any group size: uint
//   mixed (out; MixedParams), one item: every field as a ulong
ProgramSource TestProgram();

}  // namespace het::conformance

#endif  // HET_DEVICES_CONFORMANCE_KERNELS_H_
