// Weight formats: one element, and 32 of them. A row starts on a block.
//   f32, f16, bf16: plain.  q8_0: half d, 32 int8: d*q.  q4_0: half d, 16 bytes: element j is the low nibble of
//   byte j, element j+16 the high one: d*(q-8).
//   q4_k, q5_k: blocks of 256: half d and dmin, 12 bytes of 6-bit scales and minimums of the 8 runs of 32, (q5_k: 32
//   bytes of fifth bits, bit j for run j,) nibbles, two runs to 32 bytes: d*scale*q - dmin*minimum.
//   q6_k: 128 bytes of nibbles, 64 of bit pairs, 16 int8 scales of runs of 16, half d: d*scale*(q-32).

typedef HET_GLOBAL const uchar* Row;

HET_DEVICE float element_f32(Row row, uint k) { return ((HET_GLOBAL const float*)row)[k]; }
HET_DEVICE float element_f16(Row row, uint k) { return het_load_half(row, k); }
HET_DEVICE float element_q8_0(Row row, uint k) {
  Row block = row + (k / 32) * 34;
  return het_load_half(block, 0) * (float)((HET_GLOBAL const char*)block)[2 + k % 32];
}
HET_DEVICE float element_q4_0(Row row, uint k) {
  Row block = row + (k / 32) * 18;
  const uint byte = block[2 + k % 16];
  const int q = (int)(k % 32 < 16 ? byte & 15 : byte >> 4) - 8;
  return het_load_half(block, 0) * (float)q;
}
#ifdef HET_OPENCL
HET_DEVICE float float_of_bits(uint bits) { return as_float(bits); }
#else
HET_DEVICE float float_of_bits(uint bits) { return __int_as_float((int)bits); }
#endif
HET_DEVICE float element_bf16(Row row, uint k) {
  return float_of_bits((uint)((HET_GLOBAL const ushort*)row)[k] << 16);
}
HET_DEVICE float8 eight_bf16(HET_GLOBAL const ushort* p) {
#ifdef HET_OPENCL
  return as_float8(convert_uint8(vload8(0, p)) << het_uint8(16));
#else
  return het_float8(float_of_bits((uint)p[0] << 16), float_of_bits((uint)p[1] << 16),
                    float_of_bits((uint)p[2] << 16), float_of_bits((uint)p[3] << 16),
                    float_of_bits((uint)p[4] << 16), float_of_bits((uint)p[5] << 16),
                    float_of_bits((uint)p[6] << 16), float_of_bits((uint)p[7] << 16));
#endif
}

// Scale and minimum of run j of a block of q4_k or q5_k.
HET_DEVICE float2 k_scale(Row block, uint j) {
  Row q = block + 4;
  const uint scale = j < 4 ? q[j] & 63u : (q[j + 4] & 15u) | (uint)(q[j - 4] >> 6) << 4;
  const uint least = j < 4 ? q[j + 4] & 63u : (uint)(q[j + 4] >> 4) | (uint)(q[j] >> 6) << 4;
  float2 both;
  both.x = het_load_half(block, 0) * (float)scale;
  both.y = het_load_half(block, 1) * (float)least;
  return both;
}
HET_DEVICE float element_q4_k(Row row, uint k) {
  Row block = row + (k / 256) * 144;
  const uint j = k % 256 / 32, byte = block[16 + j / 2 * 32 + k % 32];
  const float2 s = k_scale(block, j);
  return s.x * (float)(byte >> 4 * (j % 2) & 15u) - s.y;
}
HET_DEVICE float element_q5_k(Row row, uint k) {
  Row block = row + (k / 256) * 176;
  const uint j = k % 256 / 32, byte = block[48 + j / 2 * 32 + k % 32];
  const float2 s = k_scale(block, j);
  return s.x * (float)((byte >> 4 * (j % 2) & 15u) | ((uint)block[16 + k % 32] >> j & 1u) << 4) - s.y;
}
HET_DEVICE float element_q6_k(Row row, uint k) {
  Row block = row + (k / 256) * 210;
  const uint half_block = k % 256 / 128, j = k % 128 / 32, i = k % 32;
  const uint low = block[64 * half_block + 32 * (j % 2) + i] >> 4 * (j / 2) & 15u;
  const uint high = block[128 + 32 * half_block + i] >> 2 * j & 3u;
  const float scale = (float)((HET_GLOBAL const char*)block)[192 + k % 256 / 16];
  return het_load_half(block, 104) * scale * (float)((int)(low | high << 4) - 32);
}

#define ROW_BYTES_f32(n) ((ulong)(n) * 4)
#define ROW_BYTES_f16(n) ((ulong)(n) * 2)
#define ROW_BYTES_q8_0(n) ((ulong)((n) / 32) * 34)
#define ROW_BYTES_q4_0(n) ((ulong)((n) / 32) * 18)
#define ROW_BYTES_bf16(n) ((ulong)(n) * 2)
#define ROW_BYTES_q4_k(n) ((ulong)((n) / 256) * 144)
#define ROW_BYTES_q5_k(n) ((ulong)((n) / 256) * 176)
#define ROW_BYTES_q6_k(n) ((ulong)((n) / 256) * 210)

// CODES_<format>(w, j) declares the codes of run j of a block at w as uchar16 c0_, c1_.
#define NIBBLES_(from, shift)                                                   \
  const uchar16 n0_ = vload16(0, from) >> het_uchar16((uchar)(shift)) & het_uchar16(15), \
                n1_ = vload16(1, from) >> het_uchar16((uchar)(shift)) & het_uchar16(15)
#define CODES_q4_k(w, j)                         \
  NIBBLES_((w) + 16 + (j) / 2 * 32, 4 * ((j) % 2)); \
  const uchar16 c0_ = n0_, c1_ = n1_
#define CODES_q5_k(w, j)                                                                     \
  NIBBLES_((w) + 48 + (j) / 2 * 32, 4 * ((j) % 2));                                             \
  const uchar16 c0_ = n0_ | (vload16(1, w) >> het_uchar16((uchar)(j)) & het_uchar16(1)) << het_uchar16(4), \
                c1_ = n1_ | (vload16(2, w) >> het_uchar16((uchar)(j)) & het_uchar16(1)) << het_uchar16(4)
#define CODES_q6_k(w, j)                                                                                     \
  NIBBLES_((w) + 64 * ((j) / 4) + 32 * ((j) % 2), 4 * ((j) % 4 / 2));                                           \
  Row h_ = (w) + 128 + 32 * ((j) / 4);                                                                        \
  const uchar16 p_ = het_uchar16((uchar)(2 * ((j) % 4)));                                                       \
  const uchar16 c0_ = n0_ | (vload16(0, h_) >> p_ & het_uchar16(3)) << het_uchar16(4),                              \
                c1_ = n1_ | (vload16(1, h_) >> p_ & het_uchar16(3)) << het_uchar16(4)

// UNPACK_<format>(row, b) declares block b of a row as float8 w0..w3, to be multiplied by float scale. (A function that
// returned a struct would be compiled to copies through memory by PoCL 3.1.)
#define UNPACK_f32(row, b)                                               \
  HET_GLOBAL const float* w_ = (HET_GLOBAL const float*)(row) + (b) * 32; \
  const float8 w0 = vload8(0, w_), w1 = vload8(1, w_), w2 = vload8(2, w_), w3 = vload8(3, w_)
#define UNPACK_f16(row, b)                                               \
  Row w_ = (row) + (b) * 64;                                             \
  const float8 w0 = het_load_half8(w_, 0), w1 = het_load_half8(w_, 1),   \
               w2 = het_load_half8(w_, 2), w3 = het_load_half8(w_, 3)
#define UNPACK_q8_0(row, b)                                              \
  Row w_ = (row) + (b) * 34;                                             \
  HET_GLOBAL const char* q_ = (HET_GLOBAL const char*)w_ + 2;             \
  const float scale = het_load_half(w_, 0);                              \
  const float8 w0 = convert_float8(vload8(0, q_)), w1 = convert_float8(vload8(1, q_)), \
               w2 = convert_float8(vload8(2, q_)), w3 = convert_float8(vload8(3, q_))
#define UNPACK_q4_0(row, b)                                              \
  Row w_ = (row) + (b) * 18;                                             \
  const uchar16 bytes_ = vload16(0, w_ + 2);                             \
  const char16 low_ = as_char16(bytes_ & het_uchar16(15)) - het_char16(8);    \
  const char16 high_ = as_char16(bytes_ >> het_uchar16(4)) - het_char16(8);   \
  const float scale = het_load_half(w_, 0);                              \
  const float8 w0 = convert_float8(low_.lo), w1 = convert_float8(low_.hi), \
               w2 = convert_float8(high_.lo), w3 = convert_float8(high_.hi)

#define UNPACK_bf16(row, b)                                                        \
  HET_GLOBAL const ushort* w_ = (HET_GLOBAL const ushort*)(row) + (b) * 32;          \
  const float8 w0 = eight_bf16(w_), w1 = eight_bf16(w_ + 8), w2 = eight_bf16(w_ + 16), \
               w3 = eight_bf16(w_ + 24)
// The K types come out scaled.
#define UNPACK_MINIMUM_(CODES, row, b, bytes)                                        \
  Row w_ = (row) + (ulong)((b) / 8) * bytes;                                         \
  const uint j_ = (b) % 8;                                                           \
  CODES(w_, j_);                                                                     \
  const float2 s_ = k_scale(w_, j_);                                                 \
  const float8 w0 = convert_float8(c0_.lo) * s_.x - s_.y, w1 = convert_float8(c0_.hi) * s_.x - s_.y, \
               w2 = convert_float8(c1_.lo) * s_.x - s_.y, w3 = convert_float8(c1_.hi) * s_.x - s_.y
#define UNPACK_q4_k(row, b) UNPACK_MINIMUM_(CODES_q4_k, row, b, 144)
#define UNPACK_q5_k(row, b) UNPACK_MINIMUM_(CODES_q5_k, row, b, 176)
#define UNPACK_q6_k(row, b)                                                          \
  Row w_ = (row) + (ulong)((b) / 8) * 210;                                           \
  const uint j_ = (b) % 8;                                                           \
  CODES_q6_k(w_, j_);                                                                \
  HET_GLOBAL const char* sc_ = (HET_GLOBAL const char*)w_ + 192 + 2 * j_;             \
  const float d_ = het_load_half(w_, 104), s0_ = d_ * (float)sc_[0], s1_ = d_ * (float)sc_[1]; \
  const float8 w0 = (convert_float8(c0_.lo) - 32.0f) * s0_, w1 = (convert_float8(c0_.hi) - 32.0f) * s0_, \
               w2 = (convert_float8(c1_.lo) - 32.0f) * s1_, w3 = (convert_float8(c1_.hi) - 32.0f) * s1_

// What a sum over unpacked weights is to be multiplied by.
#define SCALED_f32(sum) (sum)
#define SCALED_f16(sum) (sum)
#define SCALED_q8_0(sum) ((sum) * scale)
#define SCALED_q4_0(sum) ((sum) * scale)
#define SCALED_bf16(sum) (sum)
#define SCALED_q4_k(sum) (sum)
#define SCALED_q5_k(sum) (sum)
#define SCALED_q6_k(sum) (sum)

// Adds the products of an unpacked block with 32 floats at x to the accumulators s0..s3.
#define ADD_PRODUCTS_f32(x)      \
  s0 += w0 * vload8(0, x);       \
  s1 += w1 * vload8(1, x);       \
  s2 += w2 * vload8(2, x);       \
  s3 += w3 * vload8(3, x);
#define ADD_PRODUCTS_f16(x) ADD_PRODUCTS_f32(x)
#define ADD_PRODUCTS_q8_0(x) \
  s0 += scale * (w0 * vload8(0, x) + w1 * vload8(1, x) + w2 * vload8(2, x) + w3 * vload8(3, x));
#define ADD_PRODUCTS_q4_0(x) ADD_PRODUCTS_q8_0(x)
#define ADD_PRODUCTS_bf16(x) ADD_PRODUCTS_f32(x)
#define ADD_PRODUCTS_q4_k(x) ADD_PRODUCTS_f32(x)
#define ADD_PRODUCTS_q5_k(x) ADD_PRODUCTS_f32(x)
#define ADD_PRODUCTS_q6_k(x) ADD_PRODUCTS_f32(x)
