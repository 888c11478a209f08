#include "devices/kernels/prelude.h"

namespace het {

absl::string_view OpenClPrelude() {
  // "#line 1" at the end: the compiler's messages count the lines of the program's own text.
  static constexpr char kText[] = R"CL(
#define HET_OPENCL 1
#ifndef HET_WIDE_ITEMS
#define HET_WIDE_ITEMS 0
#endif
#ifndef __has_builtin
#define __has_builtin(x) 0
#endif
#define HET_KERNEL __kernel
#define HET_DEVICE static inline
#define HET_BUFFER(i) __global uchar* het_b##i, ulong het_o##i
#define HET_PTR(type, i) ((__global type*)(het_b##i + het_o##i))
#define HET_GLOBAL __global
#define HET_LOCAL __local
#define HET_LOCAL_ARRAY __local
#define HET_CONSTANT __constant
#define HET_GROUP_SIZE(x) __attribute__((reqd_work_group_size(x, 1, 1)))
#define HET_BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
// The loop behind it, wholly or by n: where items are lanes, arrays must end as registers.
#define HET_UNROLL _Pragma("unroll")
#define HET_UNROLL_BY(n) HET_PRAGMA_(unroll n)
#define HET_PRAGMA_(text) _Pragma(#text)
#define het_local_id(axis) ((uint)get_local_id(axis))
#define het_local_size(axis) ((uint)get_local_size(axis))
#define het_group_id(axis) ((uint)get_group_id(axis))
#define het_num_groups(axis) ((uint)get_num_groups(axis))
#define het_global_id(axis) ((uint)get_global_id(axis))

// Vectors from one value for all elements, or from parts.
#define het_float4(...) ((float4)(__VA_ARGS__))
#define het_float8(...) ((float8)(__VA_ARGS__))
#define het_int4(...) ((int4)(__VA_ARGS__))
#define het_int8(...) ((int8)(__VA_ARGS__))
#define het_uint4(...) ((uint4)(__VA_ARGS__))
#define het_uint8(...) ((uint8)(__VA_ARGS__))
#define het_char16(...) ((char16)(__VA_ARGS__))
#define het_uchar16(...) ((uchar16)(__VA_ARGS__))

// Halves in memory, as floats: element `index`, that in all of eight, the one at p in the first four and the one at q in the
// others, or elements 8*index and the seven behind it.
#define het_load_half(pointer, index) het_load_half_((HET_GLOBAL const ushort*)(pointer) + (index))
#define het_load_half_to8(pointer, index) het_load_half_to8_((HET_GLOBAL const ushort*)(pointer) + (index))
#define het_load_halves_to8(p, q) het_load_halves_to8_((HET_GLOBAL const ushort*)(p), (HET_GLOBAL const ushort*)(q))
#define het_load_half8(pointer, index) \
  het_load_half8_((HET_GLOBAL const ushort*)(pointer) + 8 * (index))
#if defined(__F16C__) && __has_builtin(__builtin_ia32_vcvtph2ps256)
// PoCL 3.1 converts by arithmetic and branches even where the processor has an instruction for it.
HET_DEVICE float het_load_half_(HET_GLOBAL const ushort* p) {
  const float4 four = __builtin_ia32_vcvtph2ps((short8)((short)*p, 0, 0, 0, 0, 0, 0, 0));
  return four.x;
}
HET_DEVICE float8 het_load_half_to8_(HET_GLOBAL const ushort* p) {
  return __builtin_ia32_vcvtph2ps256((short8)((short)*p));
}
HET_DEVICE float8 het_load_halves_to8_(HET_GLOBAL const ushort* p, HET_GLOBAL const ushort* q) {
  return __builtin_ia32_vcvtph2ps256((short8)((short4)((short)*p), (short4)((short)*q)));
}
HET_DEVICE float8 het_load_half8_(HET_GLOBAL const ushort* p) {
  return __builtin_ia32_vcvtph2ps256(as_short8(vload8(0, p)));
}
#else
HET_DEVICE float het_load_half_(HET_GLOBAL const ushort* p) {
  return vload_half(0, (HET_GLOBAL const half*)p);
}
HET_DEVICE float8 het_load_half_to8_(HET_GLOBAL const ushort* p) { return (float8)(het_load_half_(p)); }
HET_DEVICE float8 het_load_halves_to8_(HET_GLOBAL const ushort* p, HET_GLOBAL const ushort* q) {
  return (float8)((float4)(het_load_half_(p)), (float4)(het_load_half_(q)));
}
HET_DEVICE float8 het_load_half8_(HET_GLOBAL const ushort* p) {
  return vload_half8(0, (HET_GLOBAL const half*)p);
}
#endif

// A float as a half, rounded to nearest even; element `index` of halves in memory; two halves as a word.
#if defined(__F16C__) && __has_builtin(__builtin_ia32_vcvtps2ph)
HET_DEVICE ushort het_to_half(float value) {
  return (ushort)__builtin_ia32_vcvtps2ph((float4)(value, 0, 0, 0), 0)[0];
}
#else
HET_DEVICE ushort het_to_half(float value) {
  ushort half_bits;
  vstore_half_rte(value, 0, (__private half*)&half_bits);
  return half_bits;
}
#endif
#define het_store_half(value, pointer, index) (((HET_GLOBAL ushort*)(pointer))[index] = het_to_half(value))
HET_DEVICE uint het_pack_halves(float low, float high) { return het_to_half(low) | (uint)het_to_half(high) << 16; }

// The sums of neighbouring products: element i is a[2i]*b[2i] + a[2i+1]*b[2i+1].
#if defined(__AVX2__) && __has_builtin(__builtin_ia32_pmaddwd256)
HET_DEVICE int8 het_dot2(short16 a, short16 b) { return __builtin_ia32_pmaddwd256(a, b); }
#else
HET_DEVICE int8 het_dot2(short16 a, short16 b) {
  return convert_int8(a.even) * convert_int8(b.even) + convert_int8(a.odd) * convert_int8(b.odd);
}
#endif

// The sums of two neighbouring products of bytes, unsigned a (at most 127) by signed b; and of four.
#if defined(__AVX2__) && __has_builtin(__builtin_ia32_pmaddubsw256)
typedef char het_char32_ __attribute__((ext_vector_type(32)));
HET_DEVICE short16 het_dot2_bytes(uint8 a, int8 b) {
  return __builtin_ia32_pmaddubsw256(__builtin_astype(a, het_char32_), __builtin_astype(b, het_char32_));
}
#else
HET_DEVICE short8 het_dot2_half_(uchar16 a, char16 b) {
  return convert_short8(a.even) * convert_short8(b.even) + convert_short8(a.odd) * convert_short8(b.odd);
}
HET_DEVICE short16 het_dot2_bytes(uint8 a, int8 b) {
  return (short16)(het_dot2_half_(as_uchar16(a.lo), as_char16(b.lo)),
                   het_dot2_half_(as_uchar16(a.hi), as_char16(b.hi)));
}
#endif
HET_DEVICE int8 het_dot4(uint8 a, int8 b) { return het_dot2(het_dot2_bytes(a, b), (short16)(1)); }
// c plus the sum of the products of four signed bytes.
HET_DEVICE int het_dot4_add(uint a, uint b, int c) {
  const int4 products = convert_int4(as_char4(a)) * convert_int4(as_char4(b));
  return c + products.x + products.y + products.z + products.w;
}
// Four words at an address divisible by 16.
#define het_load_words4(p) vload4(0, (HET_GLOBAL const uint*)(p))

// Matrix units: HET_TILE_LANES neighbouring items (0: the device has none that are known here) are a warp, which
// multiplies tiles of 16x16 halves. A tile lies in local memory as rows of eight words of two halves, `stride` words
// apart. het_tile_multiply adds a times b transposed to the 16x16 sums, HET_TILE_PART of which an item has in c:
// c[i] is that of row het_tile_row(lane, i) of a and row het_tile_column(lane, i) of b. The whole warp calls these.
// No device of OpenCL's is known to have them; with HET_EMULATE_TILES (soft drivers) they are computed.
#ifdef HET_EMULATE_TILES
#define HET_TILE_LANES 32
#define HET_TILE_PART 8
typedef struct {
  __local const ushort* row0;
  uint stride;
} het_tile;
HET_DEVICE het_tile het_tile_load(__local const uint* words, uint stride, uint lane) {
  het_tile tile = {(__local const ushort*)words, 2 * stride};
  return tile;
}
HET_DEVICE uint het_tile_row(uint lane, uint i) { return lane / 4 + i / 2 % 2 * 8; }
HET_DEVICE uint het_tile_column(uint lane, uint i) { return lane % 4 * 2 + i % 2 + i / 4 * 8; }
HET_DEVICE float8 het_tile_half_row_(het_tile tile, uint row, uint half_of_row) {
  const ushort8 halves = vload8(half_of_row, tile.row0 + row * tile.stride);
#if defined(__F16C__) && __has_builtin(__builtin_ia32_vcvtph2ps256)
  return __builtin_ia32_vcvtph2ps256(as_short8(halves));
#else
  return vload_half8(0, (const __private half*)&halves);
#endif
}
HET_DEVICE void het_tile_multiply(float* c, het_tile a, het_tile b, uint lane) {
  for (uint i = 0; i < HET_TILE_PART; ++i) {
    const uint row = het_tile_row(lane, i), column = het_tile_column(lane, i);
    const float8 eight = het_tile_half_row_(a, row, 0) * het_tile_half_row_(b, column, 0) +
                         het_tile_half_row_(a, row, 1) * het_tile_half_row_(b, column, 1);
    const float4 four = eight.lo + eight.hi;
    c[i] += four.x + four.y + four.z + four.w;
  }
}
#else
#define HET_TILE_LANES 0
#endif
#line 1
)CL";
  return absl::string_view(kText, sizeof(kText) - 1);
}

}  // namespace het
