#include "devices/kernels/prelude.h"

namespace het {

absl::string_view OpenClPrelude() {
  // "#line 1" at the end: the compiler's messages count the lines of the program's own text.
  static constexpr char kText[] = R"CL(
#define HET_OPENCL 1
#define HET_KERNEL __kernel
#define HET_DEVICE inline
#define HET_BUFFER(i) __global uchar* het_b##i, ulong het_o##i
#define HET_PTR(type, i) ((__global type*)(het_b##i + het_o##i))
#define HET_GLOBAL __global
#define HET_LOCAL __local
#define HET_CONSTANT __constant
#define HET_GROUP_SIZE(x) __attribute__((reqd_work_group_size(x, 1, 1)))
#define HET_BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define het_local_id(axis) ((uint)get_local_id(axis))
#define het_local_size(axis) ((uint)get_local_size(axis))
#define het_group_id(axis) ((uint)get_group_id(axis))
#define het_num_groups(axis) ((uint)get_num_groups(axis))
#define het_global_id(axis) ((uint)get_global_id(axis))
#define het_load_half(pointer, index) vload_half((index), (__global const half*)(pointer))
#define het_load_half4(pointer, index) vload_half4((index), (__global const half*)(pointer))
#define het_load_half8(pointer, index) vload_half8((index), (__global const half*)(pointer))
#line 1
)CL";
  return absl::string_view(kText, sizeof(kText) - 1);
}

}  // namespace het
