// The prelude for C++ compilers of GPU code. What OpenCL C has built in is made here: vectors,
// their functions, ids. Items are lanes, so speed rests on scalars in registers: a vector is a
// plain struct of them, and every function is inlined.
#include "devices/kernels/prelude.h"

namespace het {

absl::string_view CxxPrelude() {
  static constexpr char kText[] = R"CXX(
#pragma once
#define HET_CXX 1
#undef HET_WIDE_ITEMS
#define HET_WIDE_ITEMS 0
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
#define HET_KERNEL extern "C" __global__
#define HET_DEVICE static __device__ inline
#define HET_BUFFER(i) uchar* het_b##i, ulong het_o##i
#define HET_PTR(type, i) ((type*)(het_b##i + het_o##i))
#define HET_GLOBAL
#define HET_LOCAL
#define HET_LOCAL_ARRAY __shared__ __attribute__((aligned(16)))
#define HET_CONSTANT
#define HET_GROUP_SIZE(x) __launch_bounds__(x)
#define HET_BARRIER() __syncthreads()
#define HET_UNROLL _Pragma("unroll")
#define HET_UNROLL_BY(n) HET_PRAGMA_(unroll n)
#define HET_PRAGMA_(text) _Pragma(#text)
#define HET_AXIS_(v, axis) ((axis) == 0 ? (uint)v.x : (axis) == 1 ? (uint)v.y : (uint)v.z)
#define het_local_id(axis) HET_AXIS_(threadIdx, axis)
#define het_local_size(axis) HET_AXIS_(blockDim, axis)
#define het_group_id(axis) HET_AXIS_(blockIdx, axis)
#define het_num_groups(axis) HET_AXIS_(gridDim, axis)
#define het_global_id(axis) (het_group_id(axis) * het_local_size(axis) + het_local_id(axis))
#ifndef INFINITY
#ifdef __clang__
#define INFINITY __builtin_huge_valf()
#else
#define INFINITY __int_as_float(0x7f800000)
#endif
#endif

template <typename T> struct het_same { typedef T type; };
template <typename T> struct het_v2 {
  union {
    struct { T s0, s1; };
    struct { T x, y; };
    struct { T lo, hi; };
  };
};
template <typename T> struct het_v4 {
  union {
    struct { T s0, s1, s2, s3; };
    struct { T x, y, z, w; };
    struct { het_v2<T> lo, hi; };
  };
};
template <typename T> struct het_v8 {
  union {
    struct { T s0, s1, s2, s3, s4, s5, s6, s7; };
    struct { het_v4<T> lo, hi; };
  };
};
template <typename T> struct het_v16 {
  union {
    struct { T s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf; };
    struct { het_v8<T> lo, hi; };
  };
};

HET_DEVICE float het_max_(float a, float b) { return fmaxf(a, b); }
HET_DEVICE float het_abs_(float a) { return fabsf(a); }
HET_DEVICE float het_rint_(float a) { return rintf(a); }
HET_DEVICE float het_exp_(float a) { return expf(a); }
HET_DEVICE signed char het_char_sat_(float a) {
  return (signed char)fminf(fmaxf(a, -128.0f), 127.0f);
}

#define HET_BINARY_(V, op)                                                            \
  template <typename T> HET_DEVICE V<T> operator op(V<T> a, V<T> b) {                 \
    V<T> r; r.lo = a.lo op b.lo; r.hi = a.hi op b.hi; return r; }                     \
  template <typename T> HET_DEVICE V<T> operator op(V<T> a, typename het_same<T>::type b) { \
    V<T> r; r.lo = a.lo op b; r.hi = a.hi op b; return r; }                           \
  template <typename T> HET_DEVICE V<T> operator op(typename het_same<T>::type a, V<T> b) { \
    V<T> r; r.lo = a op b.lo; r.hi = a op b.hi; return r; }                           \
  template <typename T, typename U> HET_DEVICE V<T>& operator op##=(V<T>& a, U b) {   \
    return a = a op b; }
#define HET_UNARY_(V, W, name, scalar)                                                \
  HET_DEVICE V<float> scalar(V<float> a) {                                            \
    V<float> r; r.lo = scalar(a.lo); r.hi = scalar(a.hi); return r; }                 \
  HET_DEVICE V<float> name(V<float> a) { return scalar(a); }
#define HET_VECTOR_(V, W)                                                             \
  HET_BINARY_(V, +) HET_BINARY_(V, -) HET_BINARY_(V, *) HET_BINARY_(V, /)             \
  HET_BINARY_(V, &) HET_BINARY_(V, |) HET_BINARY_(V, >>) HET_BINARY_(V, <<)           \
  HET_UNARY_(V, W, fabs, het_abs_) HET_UNARY_(V, W, rint, het_rint_)                  \
  HET_UNARY_(V, W, exp, het_exp_)                                                     \
  HET_DEVICE V<float> het_max_(V<float> a, V<float> b) {                              \
    V<float> r; r.lo = het_max_(a.lo, b.lo); r.hi = het_max_(a.hi, b.hi); return r; } \
  HET_DEVICE V<float> fmax(V<float> a, V<float> b) { return het_max_(a, b); }         \
  HET_DEVICE V<signed char> het_char_sat_(V<float> a) {                               \
    V<signed char> r; r.lo = het_char_sat_(a.lo); r.hi = het_char_sat_(a.hi); return r; }
HET_VECTOR_(het_v2, ) HET_VECTOR_(het_v4, ) HET_VECTOR_(het_v8, ) HET_VECTOR_(het_v16, )

// Loads and stores at the alignment of an element.
template <typename T> HET_DEVICE het_v2<T> het_load_(const T* p, het_v2<T>) {
  het_v2<T> r; r.s0 = p[0]; r.s1 = p[1]; return r; }
template <typename T> HET_DEVICE het_v4<T> het_load_(const T* p, het_v4<T>) {
  het_v4<T> r; r.lo = het_load_(p, het_v2<T>()); r.hi = het_load_(p + 2, het_v2<T>()); return r; }
template <typename T> HET_DEVICE het_v8<T> het_load_(const T* p, het_v8<T>) {
  het_v8<T> r; r.lo = het_load_(p, het_v4<T>()); r.hi = het_load_(p + 4, het_v4<T>()); return r; }
template <typename T> HET_DEVICE het_v16<T> het_load_(const T* p, het_v16<T>) {
  het_v16<T> r; r.lo = het_load_(p, het_v8<T>()); r.hi = het_load_(p + 8, het_v8<T>()); return r; }
template <typename T> HET_DEVICE void het_store_(het_v2<T> v, T* p) { p[0] = v.s0; p[1] = v.s1; }
template <typename T> HET_DEVICE void het_store_(het_v4<T> v, T* p) {
  het_store_(v.lo, p); het_store_(v.hi, p + 2); }
template <typename T> HET_DEVICE void het_store_(het_v8<T> v, T* p) {
  het_store_(v.lo, p); het_store_(v.hi, p + 4); }
HET_DEVICE void het_store_(het_v8<signed char> v, char* p) {
  het_store_(v, (signed char*)p); }
#define vload4(i, p) het_load4_((p) + 4 * (i))
#define vload8(i, p) het_load8_((p) + 8 * (i))
#define vload16(i, p) het_load16_((p) + 16 * (i))
template <typename T> HET_DEVICE het_v4<T> het_load4_(const T* p) { return het_load_(p, het_v4<T>()); }
template <typename T> HET_DEVICE het_v8<T> het_load8_(const T* p) { return het_load_(p, het_v8<T>()); }
template <typename T> HET_DEVICE het_v16<T> het_load16_(const T* p) { return het_load_(p, het_v16<T>()); }
#define vstore4(v, i, p) het_store_(v, (p) + 4 * (i))
#define vstore8(v, i, p) het_store_(v, (p) + 8 * (i))

// Literals: one value for all elements, or the parts.
template <typename T> HET_DEVICE het_v4<T> het_make4_(T a, T b, T c, T d) {
  het_v4<T> r; r.s0 = a; r.s1 = b; r.s2 = c; r.s3 = d; return r; }
template <typename T> HET_DEVICE het_v4<T> het_make4_(T a) { return het_make4_<T>(a, a, a, a); }
template <typename T> HET_DEVICE het_v8<T> het_make8_(T a, T b, T c, T d, T e, T f, T g, T h) {
  het_v8<T> r; r.lo = het_make4_<T>(a, b, c, d); r.hi = het_make4_<T>(e, f, g, h); return r; }
template <typename T> HET_DEVICE het_v8<T> het_make8_(T a) {
  het_v8<T> r; r.lo = het_make4_<T>(a); r.hi = r.lo; return r; }
template <typename T> HET_DEVICE het_v8<T> het_make8_(het_v4<T> lo, het_v4<T> hi) {
  het_v8<T> r; r.lo = lo; r.hi = hi; return r; }
template <typename T> HET_DEVICE het_v16<T> het_make16_(T a) {
  het_v16<T> r; r.lo = het_make8_<T>(a); r.hi = r.lo; return r; }
#define het_float4(...) het_make4_<float>(__VA_ARGS__)
#define het_float8(...) het_make8_<float>(__VA_ARGS__)
#define het_int4(...) het_make4_<int>(__VA_ARGS__)
#define het_int8(...) het_make8_<int>(__VA_ARGS__)
#define het_uint4(...) het_make4_<uint>(__VA_ARGS__)
#define het_uint8(...) het_make8_<uint>(__VA_ARGS__)
#define het_char16(...) het_make16_<char>(__VA_ARGS__)
#define het_uchar16(...) het_make16_<uchar>(__VA_ARGS__)

// Conversions.
template <typename T, typename U> HET_DEVICE void het_convert_(het_v2<U> v, het_v2<T>& r) {
  r.s0 = (T)v.s0; r.s1 = (T)v.s1; }
template <typename T, typename U> HET_DEVICE void het_convert_(het_v4<U> v, het_v4<T>& r) {
  het_convert_(v.lo, r.lo); het_convert_(v.hi, r.hi); }
template <typename T, typename U> HET_DEVICE void het_convert_(het_v8<U> v, het_v8<T>& r) {
  het_convert_(v.lo, r.lo); het_convert_(v.hi, r.hi); }
template <typename T, typename U> HET_DEVICE void het_convert_(het_v16<U> v, het_v16<T>& r) {
  het_convert_(v.lo, r.lo); het_convert_(v.hi, r.hi); }
template <typename U> HET_DEVICE het_v8<float> convert_float8(het_v8<U> v) {
  het_v8<float> r; het_convert_(v, r); return r; }
template <typename U> HET_DEVICE het_v16<short> convert_short16(het_v16<U> v) {
  het_v16<short> r; het_convert_(v, r); return r; }
HET_DEVICE het_v8<signed char> convert_char8_sat(het_v8<float> v) { return het_char_sat_(v); }
HET_DEVICE het_v16<char> as_char16(het_v16<uchar> v) {
  het_v16<char> r; het_convert_(v, r); return r; }
HET_DEVICE uint het_word_(uchar a, uchar b, uchar c, uchar d) {
  return (uint)a | (uint)b << 8 | (uint)c << 16 | (uint)d << 24; }
HET_DEVICE het_v4<uint> as_uint4(het_v16<uchar> v) {
  return het_make4_<uint>(het_word_(v.s0, v.s1, v.s2, v.s3), het_word_(v.s4, v.s5, v.s6, v.s7),
                          het_word_(v.s8, v.s9, v.sa, v.sb), het_word_(v.sc, v.sd, v.se, v.sf)); }

// Halves in memory, as floats.
#define het_load_half(pointer, index) het_load_half_((const ushort*)(pointer) + (index))
#define het_load_half8(pointer, index) het_load_half8_((const ushort*)(pointer) + 8 * (index))
#ifndef __clang__  // NVRTC
HET_DEVICE float het_load_half_(const ushort* p) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(*p));
  return value;
}
#else
HET_DEVICE float het_load_half_(const ushort* p) {
  _Float16 half;
  __builtin_memcpy(&half, p, sizeof(half));
  return (float)half;
}
#endif
// A float as a half, rounded to nearest even; element `index` of halves in memory; two halves as a word.
#ifndef __clang__  // NVRTC
HET_DEVICE ushort het_to_half(float value) {
  ushort half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
}
#else
HET_DEVICE ushort het_to_half(float value) {
  const _Float16 half = (_Float16)value;
  ushort bits;
  __builtin_memcpy(&bits, &half, sizeof(half));
  return bits;
}
#endif
#define het_store_half(value, pointer, index) (((ushort*)(pointer))[index] = het_to_half(value))
HET_DEVICE uint het_pack_halves(float low, float high) {
  return het_to_half(low) | (uint)het_to_half(high) << 16; }
HET_DEVICE het_v8<float> het_load_half8_(const ushort* p) {
  return het_make8_<float>(het_load_half_(p), het_load_half_(p + 1), het_load_half_(p + 2),
                           het_load_half_(p + 3), het_load_half_(p + 4), het_load_half_(p + 5),
                           het_load_half_(p + 6), het_load_half_(p + 7));
}

// The sums of neighbouring products: element i is a[2i]*b[2i] + a[2i+1]*b[2i+1].
HET_DEVICE het_v8<int> het_dot2(het_v16<short> a, het_v16<short> b) {
  return het_make8_<int>(a.s0 * b.s0 + a.s1 * b.s1, a.s2 * b.s2 + a.s3 * b.s3,
                         a.s4 * b.s4 + a.s5 * b.s5, a.s6 * b.s6 + a.s7 * b.s7,
                         a.s8 * b.s8 + a.s9 * b.s9, a.sa * b.sa + a.sb * b.sb,
                         a.sc * b.sc + a.sd * b.sd, a.se * b.se + a.sf * b.sf);
}
// The sums of four neighbouring products of bytes, unsigned a (at most 127) by signed b.
HET_DEVICE int het_dot4_(uint a, int b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 610
  return __dp4a((int)a, b, 0);
#else
  return (int)(a & 255) * (signed char)b + (int)(a >> 8 & 255) * (signed char)(b >> 8) +
         (int)(a >> 16 & 255) * (signed char)(b >> 16) + (int)(a >> 24) * (b >> 24);
#endif
}
HET_DEVICE het_v8<int> het_dot4(het_v8<uint> a, het_v8<int> b) {
  return het_make8_<int>(het_dot4_(a.s0, b.s0), het_dot4_(a.s1, b.s1), het_dot4_(a.s2, b.s2),
                         het_dot4_(a.s3, b.s3), het_dot4_(a.s4, b.s4), het_dot4_(a.s5, b.s5),
                         het_dot4_(a.s6, b.s6), het_dot4_(a.s7, b.s7));
}

// c plus the sum of the products of four signed bytes.
HET_DEVICE int het_dot4_add(uint a, uint b, int c) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 610
  return __dp4a((int)a, (int)b, c);
#elif defined(__gfx906__) || defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx940__) || \
    defined(__gfx941__) || defined(__gfx942__) || defined(__gfx1030__)
  return __builtin_amdgcn_sdot4((int)a, (int)b, c, false);
#else
  return c + (signed char)a * (signed char)b + (signed char)(a >> 8) * (signed char)(b >> 8) +
         (signed char)(a >> 16) * (signed char)(b >> 16) + ((int)a >> 24) * ((int)b >> 24);
#endif
}
// Four words at an address divisible by 16.
struct __attribute__((aligned(16))) het_words4_ { uint x, y, z, w; };
HET_DEVICE het_v4<uint> het_load_words4(const uchar* p) {
  const het_words4_ four = *(const het_words4_*)p;
  return het_make4_<uint>(four.x, four.y, four.z, four.w);
}

// Matrix units (prelude.cc says what these functions are). What an item holds of a tile and of the
// sums is the instructions' layout: mma.sync.m16n8k16 in the manual of PTX, two of them side by
// side; V_MFMA_F32_16X16X16_F16 in the manuals of CDNA.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && !defined(__clang__)
#define HET_TILE_LANES 32
#define HET_TILE_PART 8
struct het_tile { uint words[4]; };
HET_DEVICE het_tile het_tile_load(const uint* words, uint stride, uint lane) {
  const uint* at = words + lane / 4 * stride + lane % 4;
  het_tile tile = {{at[0], at[8 * stride], at[4], at[8 * stride + 4]}};
  return tile;
}
HET_DEVICE uint het_tile_row(uint lane, uint i) { return lane / 4 + i / 2 % 2 * 8; }
HET_DEVICE uint het_tile_column(uint lane, uint i) { return lane % 4 * 2 + i % 2 + i / 4 * 8; }
HET_DEVICE void het_mma_16x8x16_(float* c, het_tile a, uint b0, uint b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b0), "r"(b1));
}
HET_DEVICE void het_tile_multiply(float* c, het_tile a, het_tile b, uint) {
  het_mma_16x8x16_(c, a, b.words[0], b.words[2]);
  het_mma_16x8x16_(c + 4, a, b.words[1], b.words[3]);
}
#elif defined(__gfx908__) || defined(__gfx90a__) || defined(__gfx940__) || \
    defined(__gfx941__) || defined(__gfx942__)
#define HET_TILE_LANES 64
#define HET_TILE_PART 4
typedef _Float16 het_tile __attribute__((ext_vector_type(4)));
typedef float het_sums_ __attribute__((ext_vector_type(4)));
HET_DEVICE het_tile het_tile_load(const uint* words, uint stride, uint lane) {
  const uint* at = words + lane % 16 * stride + lane / 16 * 2;
  const uint both[2] = {at[0], at[1]};
  het_tile tile;
  __builtin_memcpy(&tile, both, sizeof(tile));
  return tile;
}
HET_DEVICE uint het_tile_row(uint lane, uint i) { return lane / 16 * 4 + i; }
HET_DEVICE uint het_tile_column(uint lane, uint) { return lane % 16; }
HET_DEVICE void het_tile_multiply(float* c, het_tile a, het_tile b, uint) {
  het_sums_ sums = {c[0], c[1], c[2], c[3]};
  sums = __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, sums, 0, 0, 0);
  for (int i = 0; i < 4; ++i) c[i] = sums[i];
}
#else
#define HET_TILE_LANES 0
#endif

// The names of OpenCL, over those that the compiler has built in.
#define float2 het_v2<float>
#define float4 het_v4<float>
#define float8 het_v8<float>
#define int4 het_v4<int>
#define int8 het_v8<int>
#define uint4 het_v4<uint>
#define uint8 het_v8<uint>
#define short16 het_v16<short>
#define char16 het_v16<char>
#define uchar16 het_v16<uchar>
)CXX";
  return absl::string_view(kText, sizeof(kText) - 1);
}

}  // namespace het
