// y = x * W^T with x quantised by quantize_q8: 8-bit products, summed as integers within a block of 32 columns.
//
// Row r of x: n_in/32 float scales, then n_in int8. Instantiated once per FORMAT of W.

#ifndef HETLLM_Q8_COMMON
#define HETLLM_Q8_COMMON
#define X_ROW_BYTES(n) ((n) / 32 * 4 + (n))

// 32 int8 of W as short16 w_low, w_high in the order of the columns, and their float scale.
#define SHORTS_q8_0(row, b)                                   \
  Row w_ = (row) + (b) * 34;                                  \
  HET_GLOBAL const char* q_ = (HET_GLOBAL const char*)w_ + 2;  \
  const short16 w_low = convert_short16(vload16(0, q_));      \
  const short16 w_high = convert_short16(vload16(1, q_));     \
  const float scale = het_load_half(w_, 0)
#define SHORTS_q4_0(row, b)                                                       \
  Row w_ = (row) + (b) * 18;                                                      \
  const uchar16 bytes_ = vload16(0, w_ + 2);                                      \
  const short16 w_low = convert_short16(bytes_ & (uchar16)(15)) - (short16)(8);    \
  const short16 w_high = convert_short16(bytes_ >> (uchar16)(4)) - (short16)(8);   \
  const float scale = het_load_half(w_, 0)

HET_DEVICE int8 dot32_q8(short16 w_low, short16 w_high, HET_GLOBAL const char* x) {
  return het_dot2(w_low, convert_short16(vload16(0, x))) +
         het_dot2(w_high, convert_short16(vload16(1, x)));
}
HET_DEVICE float sum8_q8(float8 v) {
  const float4 four = v.lo + v.hi;
  const float2 two = four.lo + four.hi;
  return two.x + two.y;
}
#endif

HET_KERNEL HET_GROUP_SIZE(64) void PASTE(PASTE(matmul, FORMAT), q8)(HET_BUFFER(0), HET_BUFFER(1),
                                                                   HET_BUFFER(2),
                                                                   struct MatmulParams p) {
  Row weights = HET_PTR(const uchar, 0);
  Row x = HET_PTR(const uchar, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2);
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, blocks = n_in / 32;
  const bool accumulate = p.accumulate != 0;
  const uint x_bytes = X_ROW_BYTES(n_in);
#if HET_WIDE_ITEMS
  const uint begin = het_group_id(0) * FEW_OUTPUTS, end = min(n_out, begin + FEW_OUTPUTS), step = 1;
  const uint row_begin = het_group_id(1) * TILE_ROWS, row_end = min(rows, row_begin + TILE_ROWS);
  if (het_local_id(0) != 0) return;
#else
  // Two items share an output: they take turns at the rows.
  const uint begin = het_group_id(0) * FEW_OUTPUTS + het_local_id(0) % FEW_OUTPUTS;
  const uint end = min(n_out, begin + 1), step = ITEMS / FEW_OUTPUTS;
  const uint row_begin = het_group_id(1) * TILE_ROWS + het_local_id(0) / FEW_OUTPUTS;
  const uint row_end = min(rows, (het_group_id(1) + 1) * TILE_ROWS);
#endif
  for (uint o = begin; o < end; ++o) {
    Row row = weights + o * PASTE(ROW_BYTES, FORMAT)(n_in);
    uint r = row_begin;
#if HET_WIDE_ITEMS
    for (; r + 4 <= row_end; r += 4) {
      Row x0 = x + (ulong)r * x_bytes;
      float8 s0 = (float8)(0.0f), s1 = s0, s2 = s0, s3 = s0;
      for (uint b = 0; b < blocks; ++b) {
        PASTE(SHORTS, FORMAT)(row, b);
        HET_GLOBAL const char* q = (HET_GLOBAL const char*)x0 + blocks * 4 + b * 32;
        HET_GLOBAL const float* scales = (HET_GLOBAL const float*)x0 + b;
        const uint stride = x_bytes / 4;
        s0 += convert_float8(dot32_q8(w_low, w_high, q)) * (scale * scales[0]);
        s1 += convert_float8(dot32_q8(w_low, w_high, q + x_bytes)) * (scale * scales[stride]);
        s2 += convert_float8(dot32_q8(w_low, w_high, q + 2 * x_bytes)) * (scale * scales[2 * stride]);
        s3 += convert_float8(dot32_q8(w_low, w_high, q + 3 * x_bytes)) * (scale * scales[3 * stride]);
      }
      const float sums[4] = {sum8_q8(s0), sum8_q8(s1), sum8_q8(s2), sum8_q8(s3)};
      for (uint i = 0; i < 4; ++i) {
        HET_GLOBAL float* to = y + (ulong)(r + i) * n_out + o;
        *to = accumulate ? *to + sums[i] : sums[i];
      }
    }
#endif
    for (; r < row_end; r += step) {
      Row xr = x + (ulong)r * x_bytes;
      float8 s0 = (float8)(0.0f);
      for (uint b = 0; b < blocks; ++b) {
        PASTE(SHORTS, FORMAT)(row, b);
        HET_GLOBAL const char* q = (HET_GLOBAL const char*)xr + blocks * 4 + b * 32;
        s0 += convert_float8(dot32_q8(w_low, w_high, q)) *
              (scale * ((HET_GLOBAL const float*)xr)[b]);
      }
      HET_GLOBAL float* to = y + (ulong)r * n_out + o;
      *to = accumulate ? *to + sum8_q8(s0) : sum8_q8(s0);
    }
  }
}
