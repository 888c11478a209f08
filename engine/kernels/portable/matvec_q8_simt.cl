// matvec (matvec_simt.cl) with x quantised by quantize_q8 (row r of x: n_in/32 float scales, then n_in int8): products of
// bytes, summed as integers within a piece, which is what an item takes of a row of W at a time.

#ifndef HETLLM_MATVEC_Q8_COMMON
#define HETLLM_MATVEC_Q8_COMMON
// Of each format: PIECE_ELEMENTS_; PIECE_RUNS_, the blocks of 32 columns that a piece has a part of; X_AT_, the column of
// word w (four columns) of piece i; PIECE_<format>(row, i, codes, scale, less), the piece's codes as words of four bytes,
// and for each run what their sum is to be multiplied by and, times the sum of x, is too large by.
#define PIECE_ELEMENTS_q4_0 8
#define PIECE_RUNS_q4_0 1
#define X_AT_q4_0(i, w) ((i) / 4 * 32 + (i) % 4 * 4 + (w) * 16)
#define PIECE_ELEMENTS_q8_0 8
#define PIECE_RUNS_q8_0 1
#define X_AT_q8_0(i, w) ((i) * 8 + (w) * 4)
#define PIECE_ELEMENTS_q4_k 32
#define PIECE_RUNS_q4_k 2
#define X_AT_q4_k(i, w) ((i) / 2 * 64 + (i) % 2 * 16 + (w) / 4 * 32 + (w) % 4 * 4)
#define PIECE_ELEMENTS_q5_k 32
#define PIECE_RUNS_q5_k 2
#define X_AT_q5_k(i, w) X_AT_q4_k(i, w)
#define PIECE_ELEMENTS_q6_k 32
#define PIECE_RUNS_q6_k 2
#define X_AT_q6_k(i, w) ((i) / 4 * 128 + (i) % 4 * 16 + (w) / 4 * 64 + (w) % 4 * 4)

#define NIBBLES4 0x0f0f0f0fu
// A word at an even address.
HET_DEVICE uint word_at(Row p) {
  HET_GLOBAL const ushort* halves = (HET_GLOBAL const ushort*)p;
  return halves[0] | (uint)halves[1] << 16;
}

HET_DEVICE void piece_q4_0(Row row, uint i, uint* codes, float* scale, float* less) {
  Row block = row + i / 4 * 18;
  const uint word = word_at(block + 2 + i % 4 * 4);
  codes[0] = word & NIBBLES4;
  codes[1] = word >> 4 & NIBBLES4;
  scale[0] = het_load_half(block, 0);
  less[0] = 8.0f * scale[0];
}

HET_DEVICE void piece_q8_0(Row row, uint i, uint* codes, float* scale, float* less) {
  Row block = row + i / 4 * 34;
  codes[0] = word_at(block + 2 + i % 4 * 8);
  codes[1] = word_at(block + 6 + i % 4 * 8);
  scale[0] = het_load_half(block, 0);
  less[0] = 0.0f;
}

// Scale and minimum of runs 2*pair and the next of a block of q4_k or q5_k, whose first 16 bytes are `head`.
HET_DEVICE void piece_scales_k(Row block, uint4 head, uint pair, float* scale, float* less) {
  const float d = het_load_half(block, 0), least = het_load_half(block, 1);
HET_UNROLL
  for (uint r = 0; r < 2; ++r) {
    const uint shift = 8 * (pair % 2 * 2 + r), s = head.y >> shift, m = head.z >> shift, rest = head.w >> shift;
    const uint its_scale = pair < 2 ? s & 63u : (rest & 15u) | (s >> 6 & 3u) << 4;
    const uint its_least = pair < 2 ? m & 63u : (rest >> 4 & 15u) | (m >> 6 & 3u) << 4;
    scale[r] = d * (float)its_scale;
    less[r] = least * (float)its_least;
  }
}

HET_DEVICE void piece_q4_k(Row row, uint i, uint* codes, float* scale, float* less) {
  Row block = row + (ulong)(i / 8) * 144;
  const uint4 head = het_load_words4(block), words = het_load_words4(block + 16 + i % 8 * 16);
  const uint w[4] = {words.x, words.y, words.z, words.w};
HET_UNROLL
  for (uint j = 0; j < 4; ++j) {
    codes[j] = w[j] & NIBBLES4;
    codes[4 + j] = w[j] >> 4 & NIBBLES4;
  }
  piece_scales_k(block, head, i % 8 / 2, scale, less);
}

HET_DEVICE void piece_q5_k(Row row, uint i, uint* codes, float* scale, float* less) {
  Row block = row + (ulong)(i / 8) * 176;
  const uint pair = i % 8 / 2;
  const uint4 head = het_load_words4(block), words = het_load_words4(block + 48 + i % 8 * 16),
              fifths = het_load_words4(block + 16 + i % 2 * 16);
  const uint w[4] = {words.x, words.y, words.z, words.w}, f[4] = {fifths.x, fifths.y, fifths.z, fifths.w};
HET_UNROLL
  for (uint j = 0; j < 4; ++j) {
    codes[j] = (w[j] & NIBBLES4) | (f[j] >> 2 * pair & 0x01010101u) << 4;
    codes[4 + j] = (w[j] >> 4 & NIBBLES4) | (f[j] >> (2 * pair + 1) & 0x01010101u) << 4;
  }
  piece_scales_k(block, head, pair, scale, less);
}

// The runs are the lower and the higher nibbles' here, of 16 columns each.
HET_DEVICE void piece_q6_k(Row row, uint i, uint* codes, float* scale, float* less) {
  Row block = row + (ulong)(i / 8) * 210;
  const uint half_block = i % 8 / 4, t = i % 4, shift = t / 2 * 2;
  Row low = block + i % 8 * 16, high = block + 128 + half_block * 32 + t % 2 * 16;
HET_UNROLL
  for (uint j = 0; j < 4; ++j) {
    const uint nibbles = word_at(low + 4 * j), pairs = word_at(high + 4 * j);
    codes[j] = (nibbles & NIBBLES4) | (pairs >> shift & 0x03030303u) << 4;
    codes[4 + j] = (nibbles >> 4 & NIBBLES4) | (pairs >> (shift + 4) & 0x03030303u) << 4;
  }
  const float d = het_load_half(block, 104);
  HET_GLOBAL const char* scales = (HET_GLOBAL const char*)block + 192 + half_block * 8 + t;
  scale[0] = d * (float)scales[0];
  scale[1] = d * (float)scales[4];
  less[0] = 32.0f * scale[0];
  less[1] = 32.0f * scale[1];
}
#endif

#define RUNS PASTE(PIECE_RUNS, FORMAT)
#define WORDS (PASTE(PIECE_ELEMENTS, FORMAT) / 4)
HET_DEVICE void PASTE(PASTE(matvec_pass, FORMAT), q8)(Row weights, Row x, const struct MatmulParams p, const uint pass,
                                                      uint row, uint row_end,
                                                      float sums[MATVEC_PASS][MATVEC_OUTPUTS]) {
  const uint n_in = p.n_in, x_bytes = n_in / 32 * 4 + n_in, output = het_group_id(0) * MATVEC_OUTPUTS;
  const ulong row_bytes = PASTE(ROW_BYTES, FORMAT)(n_in);
HET_UNROLL
  for (uint r = 0; r < pass; ++r) {
HET_UNROLL
    for (uint o = 0; o < MATVEC_OUTPUTS; ++o) sums[r][o] = 0.0f;
  }
  Row of[MATVEC_OUTPUTS];
HET_UNROLL
  for (uint o = 0; o < MATVEC_OUTPUTS; ++o) of[o] = weights + min(output + o, p.n_out - 1) * row_bytes;
HET_UNROLL_BY(2)
  for (uint i = het_local_id(0); i < n_in / PASTE(PIECE_ELEMENTS, FORMAT); i += ITEMS) {
    uint codes[MATVEC_OUTPUTS][WORDS];
    float scale[MATVEC_OUTPUTS][RUNS], less[MATVEC_OUTPUTS][RUNS];
HET_UNROLL
    for (uint o = 0; o < MATVEC_OUTPUTS; ++o)
      PASTE(piece, FORMAT)(of[o], i, codes[o], scale[o], less[o]);
HET_UNROLL
    for (uint r = 0; r < pass; ++r) {
      Row its = x + (ulong)min(row + r, row_end - 1) * x_bytes;
HET_UNROLL
      for (uint run = 0; run < RUNS; ++run) {
        uint words[WORDS / RUNS];
        int all = 0;
HET_UNROLL
        for (uint w = 0; w < WORDS / RUNS; ++w) {
          words[w] = *(HET_GLOBAL const uint*)(its + n_in / 32 * 4 + PASTE(X_AT, FORMAT)(i, run * (WORDS / RUNS) + w));
          all = het_dot4_add(0x01010101u, words[w], all);
        }
        const float x_scale = ((HET_GLOBAL const float*)its)[PASTE(X_AT, FORMAT)(i, run * (WORDS / RUNS)) / 32];
HET_UNROLL
        for (uint o = 0; o < MATVEC_OUTPUTS; ++o) {
          int dot = 0;
HET_UNROLL
          for (uint w = 0; w < WORDS / RUNS; ++w) dot = het_dot4_add(codes[o][run * (WORDS / RUNS) + w], words[w], dot);
          sums[r][o] += x_scale * (scale[o][run] * (float)dot - less[o][run] * (float)all);
        }
      }
    }
  }
}
#undef RUNS
#undef WORDS

HET_KERNEL HET_GROUP_SIZE(64) void PASTE(PASTE(matvec, FORMAT), q8)(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                                                   struct MatmulParams p) {
  HET_LOCAL_ARRAY float scratch[2 * MATVEC_SCRATCH];
  MATVEC_PASSES(PASTE(PASTE(matvec_pass, FORMAT), q8), HET_PTR(const uchar, 1))
}
