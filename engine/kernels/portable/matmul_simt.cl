// y[r][o] = sum_k x[r][k] * W[o][k] where the items of a group are the lanes of a SIMT processor: neighbouring items read
// neighbouring elements, and meet in local memory. Instantiated once per FORMAT.

#ifndef HETLLM_SIMT_COMMON
#define HETLLM_SIMT_COMMON
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

// Element i of `sums` belongs to output + 8*i of the row.
HET_DEVICE void put_sums(HET_GLOBAL float* y, float8 sums, uint row, uint output, uint rows,
                         uint n_out, bool accumulate) {
  if (row >= rows) return;
  HET_GLOBAL float* to = y + (ulong)row * n_out;
#define PUT(i, part) \
  if (output + 8 * i < n_out) to[output + 8 * i] = part + (accumulate ? to[output + 8 * i] : 0.0f);
  PUT(0, sums.s0)
  PUT(1, sums.s1)
  PUT(2, sums.s2)
  PUT(3, sums.s3)
  PUT(4, sums.s4)
  PUT(5, sums.s5)
  PUT(6, sums.s6)
  PUT(7, sums.s7)
#undef PUT
}
#endif

// Many rows: 64 outputs by 64 rows at a time, 8 by 8 of them in the registers of each item. ITEMS is 64.
// (Vectors with names, because some compilers put private arrays into memory.)
#define W(i) w_tile[(item_o + 8 * (i)) * PITCH + k]
#define X(i) x_tile[(item_r + 8 * (i)) * PITCH + k]
HET_DEVICE void PASTE(matmul_many, FORMAT)(Row weights, HET_GLOBAL const float* x,
                                           HET_GLOBAL float* y, const struct MatmulParams p,
                                           HET_LOCAL float* scratch) {
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, item = het_local_id(0);
  const bool accumulate = p.accumulate != 0;
  const uint outputs = het_group_id(0) * TILE_OUTPUTS, item_o = item % 8, item_r = item / 8;
  const ulong row_bytes = PASTE(ROW_BYTES, FORMAT)(n_in);
  HET_LOCAL float* w_tile = scratch;
  HET_LOCAL float* x_tile = scratch + TILE_OUTPUTS * PITCH;
  const uint row_end = min(rows, (het_group_id(1) + 1) * TILE_ROWS);
  for (uint first = het_group_id(1) * TILE_ROWS; first < row_end; first += STEP_ROWS) {
    float8 s0 = het_float8(0.0f), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
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
        const float8 ws = het_float8(W(0), W(1), W(2), W(3), W(4), W(5), W(6), W(7));
        s0 += X(0) * ws;
        s1 += X(1) * ws;
        s2 += X(2) * ws;
        s3 += X(3) * ws;
        s4 += X(4) * ws;
        s5 += X(5) * ws;
        s6 += X(6) * ws;
        s7 += X(7) * ws;
      }
      HET_BARRIER();
    }
    const uint row = first + item_r, output = outputs + item_o;
    put_sums(y, s0, row, output, rows, n_out, accumulate);
    put_sums(y, s1, row + 8, output, rows, n_out, accumulate);
    put_sums(y, s2, row + 16, output, rows, n_out, accumulate);
    put_sums(y, s3, row + 24, output, rows, n_out, accumulate);
    put_sums(y, s4, row + 32, output, rows, n_out, accumulate);
    put_sums(y, s5, row + 40, output, rows, n_out, accumulate);
    put_sums(y, s6, row + 48, output, rows, n_out, accumulate);
    put_sums(y, s7, row + 56, output, rows, n_out, accumulate);
  }
}
#undef W
#undef X
