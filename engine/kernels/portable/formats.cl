// Weight formats: one element, and 32 of them. A row starts on a block.
//   f32, f16: plain.  q8_0: half d, 32 int8: d*q.  q4_0: half d, 16 bytes: element j is the low nibble of
//   byte j, element j+16 the high one: d*(q-8).

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

#define ROW_BYTES_f32(n) ((ulong)(n) * 4)
#define ROW_BYTES_f16(n) ((ulong)(n) * 2)
#define ROW_BYTES_q8_0(n) ((ulong)((n) / 32) * 34)
#define ROW_BYTES_q4_0(n) ((ulong)((n) / 32) * 18)

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

// What a sum over unpacked weights is to be multiplied by.
#define SCALED_f32(sum) (sum)
#define SCALED_f16(sum) (sum)
#define SCALED_q8_0(sum) ((sum) * scale)
#define SCALED_q4_0(sum) ((sum) * scale)

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
