// y[r][o] = sum_k x[r][k] * W[o][k] where an item is a SIMD thread (HET_WIDE_ITEMS): the first item of a group does all of
// it, with vectors along k, so that both operands are read as they lie in memory. Instantiated once per FORMAT.

#ifndef HETLLM_WIDE_COMMON
#define HETLLM_WIDE_COMMON
#define BLOCK_K 512  // columns whose unpacked weights stay in the cache
#define SCRATCH_FLOATS (4 * BLOCK_K)

HET_DEVICE float sum8(float8 v) {
  const float4 four = v.lo + v.hi;
  const float2 two = four.lo + four.hi;
  return two.x + two.y;
}

HET_DEVICE void put4(HET_GLOBAL float* y, float4 sums, uint outputs, bool add) {
  if (outputs == 4) {
    vstore4(add ? vload4(0, y) + sums : sums, 0, y);
    return;
  }
  y[0] = add ? y[0] + sums.x : sums.x;
  if (outputs > 1) y[1] = add ? y[1] + sums.y : sums.y;
  if (outputs > 2) y[2] = add ? y[2] + sums.z : sums.z;
}

// A tile: three rows of x (or one) by four outputs, over n columns, a multiple of 8. The twelve accumulators stay in
// registers: 12 multiply-adds for 7 loads.
#define STEP_OUTPUT(o)                                       \
  {                                                          \
    const float8 v = vload8(0, w + o * BLOCK_K + k);          \
    a##o += v * x0;                                          \
    b##o += v * x1;                                          \
    c##o += v * x2;                                          \
  }
HET_DEVICE void tile3(HET_LOCAL const float* w, HET_GLOBAL const float* x, uint stride, uint n,
                      HET_GLOBAL float* y, uint y_stride, uint outputs, bool add) {
  const float8 zero = het_float8(0.0f);
  float8 a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  float8 b0 = zero, b1 = zero, b2 = zero, b3 = zero;
  float8 c0 = zero, c1 = zero, c2 = zero, c3 = zero;
  for (uint k = 0; k < n; k += 8) {
    const float8 x0 = vload8(0, x + k), x1 = vload8(0, x + stride + k),
                 x2 = vload8(0, x + 2 * stride + k);
    STEP_OUTPUT(0) STEP_OUTPUT(1) STEP_OUTPUT(2) STEP_OUTPUT(3)
  }
  put4(y, het_float4(sum8(a0), sum8(a1), sum8(a2), sum8(a3)), outputs, add);
  put4(y + y_stride, het_float4(sum8(b0), sum8(b1), sum8(b2), sum8(b3)), outputs, add);
  put4(y + 2 * y_stride, het_float4(sum8(c0), sum8(c1), sum8(c2), sum8(c3)), outputs, add);
}
#undef STEP_OUTPUT
HET_DEVICE void tile1(HET_LOCAL const float* w, HET_GLOBAL const float* x, uint n,
                      HET_GLOBAL float* y, uint outputs, bool add) {
  float8 a0 = het_float8(0.0f), a1 = a0, a2 = a0, a3 = a0;
  for (uint k = 0; k < n; k += 8) {
    const float8 x0 = vload8(0, x + k);
    a0 += vload8(0, w + k) * x0;
    a1 += vload8(0, w + BLOCK_K + k) * x0;
    a2 += vload8(0, w + 2 * BLOCK_K + k) * x0;
    a3 += vload8(0, w + 3 * BLOCK_K + k) * x0;
  }
  put4(y, het_float4(sum8(a0), sum8(a1), sum8(a2), sum8(a3)), outputs, add);
}
#endif

// One row of W times up to four rows of x: the weights are unpacked once for them.
#define DOT(x) (w0 * vload8(0, x) + w1 * vload8(1, x) + w2 * vload8(2, x) + w3 * vload8(3, x))
#define TAIL(x) for (uint k = blocks * 32; k < n_in; ++k) sum += PASTE(element, FORMAT)(row, k) * (x)[k]
#define PUT(r, vector)                                    \
  {                                                       \
    float sum = sum8(vector);                             \
    TAIL(x + (r)*n_in);                                   \
    HET_GLOBAL float* to = y + (r)*n_out + o;              \
    *to = accumulate ? *to + sum : sum;                   \
  }

HET_DEVICE void PASTE(matmul_few, FORMAT)(Row weights, HET_GLOBAL const float* x,
                                          HET_GLOBAL float* y, const struct MatmulParams p,
                                          HET_LOCAL float* scratch) {
  (void)scratch;
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, blocks = n_in / 32;
  const bool accumulate = p.accumulate != 0;
  const uint begin = het_group_id(0) * FEW_OUTPUTS, end = min(n_out, begin + FEW_OUTPUTS);
  if (het_local_id(0) != 0) return;
  for (uint o = begin; o < end; ++o) {
    Row row = weights + o * PASTE(ROW_BYTES, FORMAT)(n_in);
    uint r = 0;
    for (; r + 4 <= rows; r += 4) {
      HET_GLOBAL const float* xr = x + r * n_in;
      float8 s0 = het_float8(0.0f), s1 = s0, s2 = s0, s3 = s0;
      for (uint b = 0; b < blocks; ++b) {
        PASTE(UNPACK, FORMAT)(row, b);
        HET_GLOBAL const float* xb = xr + b * 32;
        s0 += PASTE(SCALED, FORMAT)(DOT(xb));
        s1 += PASTE(SCALED, FORMAT)(DOT(xb + n_in));
        s2 += PASTE(SCALED, FORMAT)(DOT(xb + 2 * n_in));
        s3 += PASTE(SCALED, FORMAT)(DOT(xb + 3 * n_in));
      }
      PUT(r, s0) PUT(r + 1, s1) PUT(r + 2, s2) PUT(r + 3, s3)
    }
    for (; r < rows; ++r) {
      HET_GLOBAL const float* xr = x + r * n_in;
      float8 s0 = het_float8(0.0f), s1 = s0, s2 = s0, s3 = s0;
      for (uint b = 0; b < blocks; ++b) {
        PASTE(UNPACK, FORMAT)(row, b);
        PASTE(ADD_PRODUCTS, FORMAT)(xr + b * 32)
      }
      PUT(r, (s0 + s1) + (s2 + s3))
    }
  }
}
#undef DOT
#undef TAIL
#undef PUT

// Many rows: for every four outputs and BLOCK_K columns the weights are unpacked into the cache, and multiplied with
// all rows of the group, three at a time. `unpacked` is the scratch: four lines of BLOCK_K.
HET_DEVICE void PASTE(matmul_many, FORMAT)(Row weights, HET_GLOBAL const float* x,
                                           HET_GLOBAL float* y, const struct MatmulParams p,
                                           HET_LOCAL float* unpacked) {
  const uint n_in = p.n_in, n_out = p.n_out;
  const bool accumulate = p.accumulate != 0;
  const uint begin = het_group_id(0) * TILE_OUTPUTS, end = min(n_out, begin + TILE_OUTPUTS);
  const uint row_begin = het_group_id(1) * TILE_ROWS, row_end = min(p.rows, row_begin + TILE_ROWS);
  if (het_local_id(0) != 0) return;
  for (uint k0 = 0; k0 < n_in; k0 += BLOCK_K) {
    const uint n = min((uint)BLOCK_K, n_in - k0);
    const bool add = accumulate || k0 > 0;
    for (uint o = begin; o < end; o += 4) {
      const uint outputs = min(4u, end - o);
      for (uint i = 0; i < 4; ++i) {
        Row row = weights + min(o + i, n_out - 1) * PASTE(ROW_BYTES, FORMAT)(n_in);
        HET_LOCAL float* to = unpacked + i * BLOCK_K;
        for (uint b = 0; b < n / 32; ++b) {
          PASTE(UNPACK, FORMAT)(row, k0 / 32 + b);
          vstore8(PASTE(SCALED, FORMAT)(w0), 4 * b, to);
          vstore8(PASTE(SCALED, FORMAT)(w1), 4 * b + 1, to);
          vstore8(PASTE(SCALED, FORMAT)(w2), 4 * b + 2, to);
          vstore8(PASTE(SCALED, FORMAT)(w3), 4 * b + 3, to);
        }
        for (uint k = n & ~31u; k < n; ++k) to[k] = PASTE(element, FORMAT)(row, k0 + k);
      }
      const uint vectors = n & ~7u;
      uint r = row_begin;
      for (; r + 3 <= row_end; r += 3) {
        tile3(unpacked, x + (ulong)r * n_in + k0, n_in, vectors, y + (ulong)r * n_out + o, n_out,
              outputs, add);
      }
      for (; r < row_end; ++r) {
        tile1(unpacked, x + (ulong)r * n_in + k0, vectors, y + (ulong)r * n_out + o, outputs, add);
      }
      if (vectors < n) {
        for (r = row_begin; r < row_end; ++r) {
          for (uint i = 0; i < outputs; ++i) {
            float sum = 0;
            for (uint k = vectors; k < n; ++k)
              sum += unpacked[i * BLOCK_K + k] * x[(ulong)r * n_in + k0 + k];
            y[(ulong)r * n_out + o + i] += sum;
          }
        }
      }
    }
  }
}
