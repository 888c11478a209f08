// y = x * W^T with x quantised by quantize_q8, where an item is one of many (HET_WIDE_ITEMS is 0): 8-bit products, summed as
// integers within a block of 32 columns.
//
// Row r of x: n_in/32 float scales, then n_in int8. Instantiated once per FORMAT of W.

#ifndef HETLLM_Q8_COMMON
#define HETLLM_Q8_COMMON
#define X_ROW_BYTES(n) ((n) / 32 * 4 + (n))

// LOAD_<format>(row, b) declares block b of a row of W, its scale and `less`; the product with the 32 int8 at x is then
// scale * DOT_<format>(x), as eight sums, `less` times the sum of x too large where OFFSET_<format> is 1.
#define LOAD_q8_0(row, b)                                      \
  Row w_ = (row) + (b) * 34;                                   \
  HET_GLOBAL const char* q_ = (HET_GLOBAL const char*)w_ + 2;   \
  const short16 low = convert_short16(vload16(0, q_));         \
  const short16 high = convert_short16(vload16(1, q_));        \
  const float scale = het_load_half(w_, 0), less = 0
#define DOT_q8_0(x)                                   \
  (het_dot2(low, convert_short16(vload16(0, (x)))) +  \
   het_dot2(high, convert_short16(vload16(1, (x)))))
#define OFFSET_q8_0 0

#define LOAD_q4_0(row, b)                                                     \
  Row w_ = (row) + (b) * 18;                                                  \
  const uchar16 bytes_ = vload16(0, w_ + 2);                                  \
  const uint8 nibbles = het_uint8(as_uint4(bytes_ & het_uchar16(15)),              \
                                as_uint4(bytes_ >> het_uchar16(4)));             \
  const float scale = het_load_half(w_, 0), less = 8 * scale
#define DOT_q4_0(x) het_dot4(nibbles, vload8(0, (HET_GLOBAL const int*)(x)))
#define OFFSET_q4_0 1

#define LOAD_MINIMUM_(CODES, row, b, bytes)                            \
  Row w_ = (row) + (ulong)((b) / 8) * bytes;                           \
  const uint j_ = (b) % 8;                                             \
  CODES(w_, j_);                                                       \
  const uint8 codes = het_uint8(as_uint4(c0_), as_uint4(c1_));           \
  const float2 s_ = k_scale(w_, j_);                                   \
  const float scale = s_.x, less = s_.y
#define LOAD_q4_k(row, b) LOAD_MINIMUM_(CODES_q4_k, row, b, 144)
#define LOAD_q5_k(row, b) LOAD_MINIMUM_(CODES_q5_k, row, b, 176)
#define DOT_q4_k(x) het_dot4(codes, vload8(0, (HET_GLOBAL const int*)(x)))
#define DOT_q5_k(x) DOT_q4_k(x)
#define OFFSET_q4_k 1
#define OFFSET_q5_k 1

// The first four sums belong to the first run of 16, the others to the second.
#define LOAD_q6_k(row, b)                                                        \
  Row w_ = (row) + (ulong)((b) / 8) * 210;                                       \
  const uint j_ = (b) % 8;                                                       \
  CODES_q6_k(w_, j_);                                                            \
  const uint8 codes = het_uint8(as_uint4(c0_), as_uint4(c1_));                     \
  HET_GLOBAL const char* sc_ = (HET_GLOBAL const char*)w_ + 192 + 2 * j_;         \
  const float less = 0;                                                          \
  const float8 scale = het_load_half(w_, 104) *                                  \
                       het_float8(het_float4((float)sc_[0]), het_float4((float)sc_[1]))
#define DOT_q6_k(x)                                              \
  (het_dot4(codes, vload8(0, (HET_GLOBAL const int*)(x))) -      \
   32 * het_dot4(het_uint8(0x01010101), vload8(0, (HET_GLOBAL const int*)(x))))
#define OFFSET_q6_k 0

HET_DEVICE int sum_q8(HET_GLOBAL const char* x) {
  const int8 sums = het_dot4(het_uint8(0x01010101), vload8(0, (HET_GLOBAL const int*)x));
  const int4 four = sums.lo + sums.hi;
  return four.x + four.y + four.z + four.w;
}
HET_DEVICE float total(float8 v) {
  const float4 four = v.lo + v.hi;
  const float2 two = four.lo + four.hi;
  return two.x + two.y;
}
#endif

#define SCALES(r) ((HET_GLOBAL const float*)(x + (ulong)(r)*x_bytes))
#define BYTES(r) ((HET_GLOBAL const char*)(x + (ulong)(r)*x_bytes + blocks * 4))
#define PUT(r, sum)                                   \
  {                                                   \
    HET_GLOBAL float* to = y + (ulong)(r)*n_out + o;   \
    *to = add ? *to + (sum) : (sum);                  \
  }

HET_KERNEL HET_GROUP_SIZE(64) void PASTE(PASTE(matmul, FORMAT), q8)(HET_BUFFER(0), HET_BUFFER(1),
                                                                   HET_BUFFER(2),
                                                                   struct MatmulParams p) {
  Row weights = HET_PTR(const uchar, 0);
  Row x = HET_PTR(const uchar, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2);
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, blocks = n_in / 32;
  const uint x_bytes = X_ROW_BYTES(n_in);
  const bool add = p.accumulate != 0;
  // Two items share an output: they take turns at the rows.
  const uint o = het_group_id(0) * FEW_OUTPUTS + het_local_id(0) % FEW_OUTPUTS;
  const uint row_end = min(rows, (het_group_id(1) + 1) * TILE_ROWS);
  if (o >= n_out) return;
  Row row = weights + o * PASTE(ROW_BYTES, FORMAT)(n_in);
  for (uint r = het_group_id(1) * TILE_ROWS + het_local_id(0) / FEW_OUTPUTS; r < row_end;
       r += ITEMS / FEW_OUTPUTS) {
    float8 sums = het_float8(0.0f);
    float correction = 0;
    for (uint b = 0; b < blocks; ++b) {
      PASTE(LOAD, FORMAT)(row, b);
      HET_GLOBAL const char* q = BYTES(r) + b * 32;
      const float x_scale = SCALES(r)[b];
      sums += convert_float8(PASTE(DOT, FORMAT)(q)) * (scale * x_scale);
      if (PASTE(OFFSET, FORMAT) != 0) correction -= less * x_scale * (float)sum_q8(q);
    }
    const float sum = total(sums) + correction;
    PUT(r, sum)
  }
}
#undef SCALES
#undef BYTES
#undef PUT
