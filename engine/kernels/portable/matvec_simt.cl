// y[r][o] = sum_k x[r][k] * W[o][k] of few rows, where the items of a group are the lanes of a SIMT processor. Bound by
// reading W: a group has MATVEC_OUTPUTS rows of it, over whose columns its items go side by side, and there are as many
// groups as that makes, so that enough reads are on their way. Instantiated once per FORMAT.

#ifndef HETLLM_MATVEC_COMMON
#define HETLLM_MATVEC_COMMON
#define MATVEC_PASS 4                                    // rows of x that are read along with a row of W
#define MATVEC_SUMS (MATVEC_PASS * MATVEC_OUTPUTS)
#define MATVEC_SCRATCH (ITEMS * (MATVEC_SUMS + 1) + ITEMS)  // floats

// Every item has sums[row][output] of its columns for `rows` rows, 1 or MATVEC_PASS: adds the items' up, and puts those of
// rows before row_end into y. Passes take turns with two scratches: none waits for the reads of the one before.
HET_DEVICE void matvec_put(float sums[MATVEC_PASS][MATVEC_OUTPUTS], uint rows, uint row, uint row_end,
                           HET_GLOBAL float* y, const struct MatmulParams p, HET_LOCAL float* scratch) {
  const uint item = het_local_id(0), output = het_group_id(0) * MATVEC_OUTPUTS, count = rows * MATVEC_OUTPUTS;
  HET_LOCAL float* parts = scratch + ITEMS * (MATVEC_SUMS + 1);
HET_UNROLL
  for (uint r = 0; r < MATVEC_PASS; ++r) {
HET_UNROLL
    for (uint o = 0; o < MATVEC_OUTPUTS; ++o) {
      if (r < rows) scratch[item * (count + 1) + r * MATVEC_OUTPUTS + o] = sums[r][o];
    }
  }
  HET_BARRIER();
  // `count` items' of one sum to each item, then the rest of it to the first `count` items.
  float part = 0;
  for (uint i = 0; i < count; ++i) part += scratch[(item / count * count + i) * (count + 1) + item % count];
  parts[item] = part;
  HET_BARRIER();
  const uint r = row + item / MATVEC_OUTPUTS, o = output + item % MATVEC_OUTPUTS;
  if (item < count && r < row_end && o < p.n_out) {
    float sum = 0;
    for (uint i = item; i < ITEMS; i += count) sum += parts[i];
    HET_GLOBAL float* to = y + (ulong)r * p.n_out + o;
    *to = p.accumulate != 0 ? *to + sum : sum;
  }
}

// The rows of the group: one, or four at a time, by FUNCTION(weights, x, p, rows, first, end, sums), a constant number for
// either. (No barrier under the condition: PoCL 3.1 compiles those to a race between groups.)
#define MATVEC_PASSES(FUNCTION, x)                                                            \
  const uint end_ = min(p.rows, (het_group_id(1) + 1) * MATVEC_ROWS);                         \
  for (uint row_ = het_group_id(1) * MATVEC_ROWS; row_ < end_; row_ += MATVEC_PASS) {         \
    float sums[MATVEC_PASS][MATVEC_OUTPUTS];                                                  \
    if (p.rows == 1) {                                                                        \
      FUNCTION(HET_PTR(const uchar, 0), x, p, 1, row_, end_, sums);                           \
    } else {                                                                                  \
      FUNCTION(HET_PTR(const uchar, 0), x, p, MATVEC_PASS, row_, end_, sums);                 \
    }                                                                                         \
    matvec_put(sums, p.rows == 1 ? 1 : MATVEC_PASS, row_, end_, HET_PTR(float, 2), p,         \
               scratch + row_ / MATVEC_PASS % 2 * MATVEC_SCRATCH);                            \
  }
#endif

// Of `pass` rows from `row` on, of which those from row_end on are as the last.
HET_DEVICE void PASTE(matvec_pass, FORMAT)(Row weights, HET_GLOBAL const float* x, const struct MatmulParams p,
                                           const uint pass, uint row, uint row_end,
                                           float sums[MATVEC_PASS][MATVEC_OUTPUTS]) {
  const uint n_in = p.n_in, output = het_group_id(0) * MATVEC_OUTPUTS;
  const ulong row_bytes = PASTE(ROW_BYTES, FORMAT)(n_in);
HET_UNROLL
  for (uint r = 0; r < pass; ++r) {
HET_UNROLL
    for (uint o = 0; o < MATVEC_OUTPUTS; ++o) sums[r][o] = 0.0f;
  }
HET_UNROLL_BY(4)
  for (uint k = het_local_id(0); k < n_in; k += ITEMS) {
    float of_x[MATVEC_PASS];
HET_UNROLL
    for (uint r = 0; r < pass; ++r) of_x[r] = x[(ulong)min(row + r, row_end - 1) * n_in + k];
HET_UNROLL
    for (uint o = 0; o < MATVEC_OUTPUTS; ++o) {
      const float w = PASTE(element, FORMAT)(weights + min(output + o, p.n_out - 1) * row_bytes, k);
HET_UNROLL
      for (uint r = 0; r < pass; ++r) sums[r][o] += of_x[r] * w;
    }
  }
}

HET_KERNEL HET_GROUP_SIZE(64) void PASTE(matvec, FORMAT)(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                                        struct MatmulParams p) {
  HET_LOCAL_ARRAY float scratch[2 * MATVEC_SCRATCH];
  MATVEC_PASSES(PASTE(matvec_pass, FORMAT), HET_PTR(const float, 1))
}
