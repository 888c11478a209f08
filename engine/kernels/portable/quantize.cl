// Kernels that leave activations in 8 bits: per row n_in/32 scales amax/127, then n_in int8. Behind rows.cl and
// elementwise.cl, whose arithmetic they repeat.

#define Q8_ROW(i, r, n) (HET_PTR(uchar, i) + (ulong)(r) * ((n) / 32 * 4 + (n)))
#define Q8_SCALES(row) ((HET_GLOBAL float*)(row))
#define Q8_CODES(row, n) ((HET_GLOBAL char*)(row) + (n) / 32 * 4)

HET_DEVICE float largest8(float8 v) {
  const float8 high = fabs(v);
  const float4 four = fmax(high.lo, high.hi);
  return fmax(fmax(four.x, four.y), fmax(four.z, four.w));
}
HET_DEVICE void store_codes8(float8 v, float amax, HET_GLOBAL char* codes) {
  const float factor = amax > 0 ? 127.0f / amax : 0.0f;
  vstore8(convert_char8_sat(rint(v * factor)), 0, codes);
}

// Block b of a row of n.
HET_DEVICE void store_block(float8 v0, float8 v1, float8 v2, float8 v3, HET_GLOBAL uchar* row, uint n, uint b) {
  const float amax = largest8(fmax(fmax(fabs(v0), fabs(v1)), fmax(fabs(v2), fabs(v3))));
  HET_GLOBAL char* codes = Q8_CODES(row, n) + b * 32;
  Q8_SCALES(row)[b] = amax / 127.0f;
  store_codes8(v0, amax, codes);
  store_codes8(v1, amax, codes + 8);
  store_codes8(v2, amax, codes + 16);
  store_codes8(v3, amax, codes + 24);
}

// An item takes a block of 32.
HET_KERNEL HET_GROUP_SIZE(64) void quantize_q8(HET_BUFFER(0), HET_BUFFER(1), struct QuantizeParams p) {
  const uint n_in = p.n_in, r = het_group_id(1), b = het_global_id(0);
  if (b >= n_in / 32) return;
  HET_GLOBAL const float* x = HET_PTR(const float, 0) + (ulong)r * n_in + b * 32;
  store_block(vload8(0, x), vload8(1, x), vload8(2, x), vload8(3, x), Q8_ROW(1, r, n_in), n_in, b);
}

// quantize_q8 of rmsnorm. A group takes a row.
HET_KERNEL HET_GROUP_SIZE(64) void rmsnorm_q8(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), struct RmsNormParams p) {
  const uint cols = p.cols, r = het_group_id(0), item = het_local_id(0);
  const float eps = p.eps;
  HET_GLOBAL const float* x = HET_PTR(const float, 0) + (ulong)r * cols;
  HET_GLOBAL const float* weight = HET_PTR(const float, 1);
  HET_GLOBAL uchar* row = Q8_ROW(2, r, cols);
#if HET_WIDE_ITEMS
  if (item != 0) return;
  const float factor = rms_factor(x, cols, eps);
  const uint step = 1;
#else
  HET_LOCAL_ARRAY float part[ITEMS];
  const float factor = rms_factor(x, cols, eps, part, item);
  const uint step = ITEMS;
#endif
#define NORMED(i) (vload8(4 * b + (i), x) * factor * vload8(4 * b + (i), weight))
  for (uint b = item; b < cols / 32; b += step)
    store_block(NORMED(0), NORMED(1), NORMED(2), NORMED(3), row, cols, b);
#undef NORMED
}

// quantize_q8 of silu_mul. A group takes ITEMS * ELEMENTS_PER_ITEM elements of a row; where items are lanes, four have a
// block of 32.
HET_KERNEL HET_GROUP_SIZE(64) void silu_mul_q8(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), struct SiluMulQ8Params p) {
  const uint n_in = p.n_in, r = het_group_id(1), item = het_local_id(0);
  HET_GLOBAL const float* gate = HET_PTR(const float, 0) + (ulong)r * n_in;
  HET_GLOBAL const float* up = HET_PTR(const float, 1) + (ulong)r * n_in;
  HET_GLOBAL uchar* row = Q8_ROW(2, r, n_in);
#if HET_WIDE_ITEMS
  if (item != 0) return;
  const uint most = ITEMS * ELEMENTS_PER_ITEM / 32, first = het_group_id(0) * most;
#define GATED(i) silu_mul8(vload8(4 * b + (i), gate), vload8(4 * b + (i), up))
  for (uint b = first; b < min(n_in / 32, first + most); ++b)
    store_block(GATED(0), GATED(1), GATED(2), GATED(3), row, n_in, b);
#undef GATED
#else
  HET_LOCAL_ARRAY float part[ITEMS];
  const uint i = het_global_id(0) * 8;
  float8 v = het_float8(0.0f);
  if (i < n_in) {
#define GATED(k) silu_mul1(gate[i + (k)], up[i + (k)])
    v = het_float8(GATED(0), GATED(1), GATED(2), GATED(3), GATED(4), GATED(5), GATED(6), GATED(7));
#undef GATED
  }
  part[item] = largest8(v);
  HET_BARRIER();
  if (i >= n_in) return;
  HET_LOCAL const float* four = part + item / 4 * 4;
  const float amax = fmax(fmax(four[0], four[1]), fmax(four[2], four[3]));
  if (item % 4 == 0) Q8_SCALES(row)[i / 32] = amax / 127.0f;
  store_codes8(v, amax, Q8_CODES(row, n_in) + i);
#endif
}
