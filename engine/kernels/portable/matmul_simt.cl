// y[r][o] = sum_k x[r][k] * W[o][k] where the items of a group are the lanes of a SIMT processor: neighbouring items read
// neighbouring elements, and meet in local memory. Instantiated once per FORMAT.

#ifndef HETLLM_SIMT_COMMON
#define HETLLM_SIMT_COMMON
#define FEW_AT_ONCE 4              // outputs whose sums are in flight
#define STEP_K 16                  // columns of a step of matmul_many
#define STEP_ROWS 64               // rows of a pass of matmul_many
#define PITCH (STEP_K + 1)         // one more, so that columns fall on different banks
#define SCRATCH_FLOATS (TILE_OUTPUTS * PITCH + STEP_ROWS * PITCH)

// The sum of what the items put into part[0..ITEMS), to all of them.
HET_DEVICE float sum_of_group(HET_LOCAL float* part, uint item) {
  for (uint step = ITEMS / 2; step > 0; step /= 2) {
    HET_BARRIER();
    if (item < step) part[item] += part[item + step];
  }
  HET_BARRIER();
  return part[0];
}
#endif

// Few rows: the group goes over its outputs, the items over the columns.
HET_DEVICE void PASTE(matmul_few, FORMAT)(Row weights, HET_GLOBAL const float* x,
                                          HET_GLOBAL float* y, const struct MatmulParams p,
                                          HET_LOCAL float* scratch) {
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, item = het_local_id(0);
  const bool accumulate = p.accumulate != 0;
  const uint begin = het_group_id(0) * FEW_OUTPUTS, end = min(n_out, begin + FEW_OUTPUTS);
  const ulong row_bytes = PASTE(ROW_BYTES, FORMAT)(n_in);
  for (uint r = 0; r < rows; ++r) {
    HET_GLOBAL const float* xr = x + (ulong)r * n_in;
    for (uint o = begin; o < end; o += FEW_AT_ONCE) {
      Row w0 = weights + o * row_bytes, w1 = weights + min(o + 1, n_out - 1) * row_bytes,
          w2 = weights + min(o + 2, n_out - 1) * row_bytes,
          w3 = weights + min(o + 3, n_out - 1) * row_bytes;
      float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (uint k = item; k < n_in; k += ITEMS) {
        const float v = xr[k];
        s0 += v * PASTE(element, FORMAT)(w0, k);
        s1 += v * PASTE(element, FORMAT)(w1, k);
        s2 += v * PASTE(element, FORMAT)(w2, k);
        s3 += v * PASTE(element, FORMAT)(w3, k);
      }
      scratch[item] = s0;
      scratch[ITEMS + item] = s1;
      scratch[2 * ITEMS + item] = s2;
      scratch[3 * ITEMS + item] = s3;
      for (uint step = ITEMS / 2; step > 0; step /= 2) {
        HET_BARRIER();
        if (item < step) {
          for (uint i = 0; i < FEW_AT_ONCE; ++i)
            scratch[i * ITEMS + item] += scratch[i * ITEMS + item + step];
        }
      }
      HET_BARRIER();
      if (item < FEW_AT_ONCE && o + item < end) {
        HET_GLOBAL float* to = y + (ulong)r * n_out + o + item;
        const float sum = scratch[item * ITEMS];
        *to = accumulate ? *to + sum : sum;
      }
      HET_BARRIER();
    }
  }
}

// Many rows: 64 outputs by 64 rows at a time, 8 by 8 of them in the registers of each item. ITEMS is 64.
HET_DEVICE void PASTE(matmul_many, FORMAT)(Row weights, HET_GLOBAL const float* x,
                                           HET_GLOBAL float* y, const struct MatmulParams p,
                                           HET_LOCAL float* scratch) {
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, item = het_local_id(0);
  const bool accumulate = p.accumulate != 0;
  const uint outputs = het_group_id(0) * TILE_OUTPUTS, item_o = item % 8, item_r = item / 8;
  const ulong row_bytes = PASTE(ROW_BYTES, FORMAT)(n_in);
  HET_LOCAL float* w_tile = scratch;
  HET_LOCAL float* x_tile = scratch + TILE_OUTPUTS * PITCH;
  for (uint pass = 0; pass < TILE_ROWS; pass += STEP_ROWS) {
    const uint first = het_group_id(1) * TILE_ROWS + pass;
    float sums[64];
    for (uint i = 0; i < 64; ++i) sums[i] = 0;
    for (uint k0 = 0; k0 < n_in; k0 += STEP_K) {
      for (uint i = item; i < TILE_OUTPUTS * STEP_K; i += ITEMS) {
        const uint line = i / STEP_K, k = i % STEP_K;
        const bool inside = k0 + k < n_in;
        w_tile[line * PITCH + k] =
            inside && outputs + line < n_out
                ? PASTE(element, FORMAT)(weights + (outputs + line) * row_bytes, k0 + k)
                : 0.0f;
        x_tile[line * PITCH + k] =
            inside && first + line < rows ? x[(ulong)(first + line) * n_in + k0 + k] : 0.0f;
      }
      HET_BARRIER();
      for (uint k = 0; k < STEP_K; ++k) {
        float ws[8], xs[8];
        for (uint i = 0; i < 8; ++i) {
          ws[i] = w_tile[(item_o + 8 * i) * PITCH + k];
          xs[i] = x_tile[(item_r + 8 * i) * PITCH + k];
        }
        for (uint r = 0; r < 8; ++r) {
          for (uint o = 0; o < 8; ++o) sums[r * 8 + o] += xs[r] * ws[o];
        }
      }
      HET_BARRIER();
    }
    for (uint r = 0; r < 8; ++r) {
      const uint row = first + item_r + 8 * r;
      for (uint o = 0; o < 8; ++o) {
        const uint output = outputs + item_o + 8 * o;
        if (row < rows && output < n_out) {
          HET_GLOBAL float* to = y + (ulong)row * n_out + output;
          *to = accumulate ? *to + sums[r * 8 + o] : sums[r * 8 + o];
        }
      }
    }
  }
}
