// y = x * W^T with x quantised by quantize_q8, where an item is a SIMD thread (HET_WIDE_ITEMS): the first item of a group does
// all of it, a row of W at a time, with up to four rows of x. Instantiated once per FORMAT of W; behind matmul_wide.cl.
//
// Codes are multiplied as unsigned bytes by the signed bytes of x and summed in 16, then 32 bits. What a code is too large
// by (32 in q6_k, the minimums of q4_k and q5_k) is taken off again by the sums of x, `less`, which are the same for all
// outputs: computed once per four rows and chunk.

#ifndef HETLLM_Q8_WIDE_COMMON
#define HETLLM_Q8_WIDE_COMMON
#define X_ROW_BYTES(n) ((n) / 32 * 4 + (n))
#define CHUNK_BLOCKS 512  // blocks of 32 whose `less` is kept

HET_DEVICE uint8 codes32(Row from) { return het_uint8(as_uint4(vload16(0, from)), as_uint4(vload16(1, from))); }
#define SAME4(byte) het_uint8((uint)(byte)*0x01010101u)
HET_DEVICE float sum4_q8(int4 v) { return (float)(v.x + v.y + v.z + v.w); }
HET_DEVICE void fill_less(HET_LOCAL float* less, HET_GLOBAL const char* x, HET_GLOBAL const float* scales, uint blocks,
                          uint values, float offset) {
  if (values == 0) return;
  for (uint b = 0; b < blocks; ++b) {
    const int8 sums = het_dot4(SAME4(1), vload8(0, (HET_GLOBAL const int*)(x + b * 32)));
    if (values == 1) {
      less[b] = -offset * scales[b] * sum4_q8(sums.lo + sums.hi);
    } else {
      less[2 * b] = -offset * scales[b] * sum4_q8(sums.lo);
      less[2 * b + 1] = -offset * scales[b] * sum4_q8(sums.hi);
    }
  }
}

HET_DEVICE void put_q8(HET_GLOBAL float* y, float8 sums, bool add) { *y = add ? *y + sum8(sums) : sum8(sums); }

// Of each format: LESS_, the values of `less` per 32 columns (0: the codes are signed), and OFFSET_, how much of a sum one is.
#define LESS_q8_0 0
#define LESS_q4_k 1
#define LESS_q5_k 1
#define LESS_q6_k 2
#define OFFSET_q8_0 0
#define OFFSET_q4_k 1
#define OFFSET_q5_k 1
#define OFFSET_q6_k 32

// RUNS_<format>: the blocks of 32 columns that a block of W has. BEGIN_<format>(row, b) declares what the block of W at b, a
// multiple of RUNS, has for all of them. RUN_<format>(j) declares the codes of run j. DOT_<format>(at, j) are their products with
// 32 bytes at `at`, times the scale of the run where that is an integer. END_<format>(sum, less) is what a sum of those, times
// the scales of x, is worth.
#define RUNS_q8_0 1
#define BEGIN_q8_0(row, b) Row w_ = (row) + (b)*34; const float8 d_ = het_load_half_to8(w_, 0)
#define RUN_q8_0(j)                                             \
  HET_GLOBAL const char* k_ = (HET_GLOBAL const char*)w_ + 2;    \
  const short16 k0_ = convert_short16(vload16(0, k_)), k1_ = convert_short16(vload16(1, k_))
#define DOT_q8_0(at, j) \
  (het_dot2(k0_, convert_short16(vload16(0, (at)))) + het_dot2(k1_, convert_short16(vload16(1, (at)))))
#define END_q8_0(sum, less) (sum * d_)

// Scales and minimums of the eight runs of q4_k and q5_k, from three words of 6-bit parts.
#define BEGIN_K_(row, b, bytes)                                                                              \
  Row w_ = (row) + (b) / 8 * bytes;                                                                          \
  HET_GLOBAL const uint* u_ = (HET_GLOBAL const uint*)(w_ + 4);                                                \
  const uint u0_ = u_[0], u1_ = u_[1], u2_ = u_[2];                                                          \
  const short8 scales_ = convert_short8(                                                                     \
      as_uchar8((uint2)(u0_ & 0x3f3f3f3fu, (u2_ & 0x0f0f0f0fu) | (u0_ >> 2 & 0x30303030u))));                \
  const float8 least_ = convert_float8(as_uchar8(                                                            \
                            (uint2)(u1_ & 0x3f3f3f3fu, (u2_ >> 4 & 0x0f0f0f0fu) | (u1_ >> 2 & 0x30303030u)))) * \
                        het_load_half_to8(w_, 1);                                                                \
  const float8 d_ = het_load_half_to8(w_, 0)
#define NIBBLES_K_(from, j) (((j) % 2 ? codes32((from) + (j) / 2 * 32) >> 4 : codes32((from) + (j) / 2 * 32)) & SAME4(15))
#define DOT_K_(at, j) het_dot2(het_dot2_bytes(k_, vload8(0, (HET_GLOBAL const int*)(at))), (short16)(scales_.s##j))
#define END_K_(sum, less) ((sum)*d_ + least_ * vload8(0, less))

#define RUNS_q4_k 8
#define BEGIN_q4_k(row, b) BEGIN_K_(row, b, 144)
#define RUN_q4_k(j) const uint8 k_ = NIBBLES_K_(w_ + 16, j)
#define DOT_q4_k(at, j) DOT_K_(at, j)
#define END_q4_k(sum, less) END_K_(sum, less)

#define RUNS_q5_k 8
#define BEGIN_q5_k(row, b) BEGIN_K_(row, b, 176); const uint8 h_ = codes32(w_ + 16)
#define RUN_q5_k(j) const uint8 k_ = NIBBLES_K_(w_ + 48, j) | (((j) < 4 ? h_ << (4 - (j)) % 8 : h_ >> ((j)-4) % 8) & SAME4(16))
#define DOT_q5_k(at, j) DOT_K_(at, j)
#define END_q5_k(sum, less) END_K_(sum, less)

#define RUNS_q6_k 8
#define BEGIN_q6_k(row, b)                                                           \
  Row w_ = (row) + (b) / 8 * 210;                                                    \
  const char16 scales_ = vload16(0, (HET_GLOBAL const char*)w_ + 192);                \
  const float8 d_ = het_load_half_to8(w_, 104);                                           \
  const uint8 h0_ = codes32(w_ + 128), h1_ = codes32(w_ + 160)
#define HIGH_(j) ((j) < 4 ? h0_ : h1_)
#define RUN_q6_k(j)                                                                                                   \
  const uint8 n_ = codes32(w_ + (j) / 4 * 64 + (j) % 2 * 32);                                                           \
  const uint8 k_ = (((j) % 4 < 2 ? n_ : n_ >> 4) & SAME4(15)) |                                                       \
                   (((j) % 4 < 2 ? HIGH_(j) << (4 - 2 * ((j) % 4)) % 8 : HIGH_(j) >> (2 * ((j) % 4) - 4) % 8) & SAME4(48))
#define DOT_q6_k(at, j)                                                    \
  het_dot2(het_dot2_bytes(k_, vload8(0, (HET_GLOBAL const int*)(at))),      \
           (short16)((short8)(PAIR_##j(scales_).x), (short8)(PAIR_##j(scales_).y)))
#define PAIR_0(v) v.s01
#define PAIR_1(v) v.s23
#define PAIR_2(v) v.s45
#define PAIR_3(v) v.s67
#define PAIR_4(v) v.s89
#define PAIR_5(v) v.sab
#define PAIR_6(v) v.scd
#define PAIR_7(v) v.sef
#define END_q6_k(sum, less) \
  ((sum) + convert_float8(scales_.lo) * vload8(0, less) + convert_float8(scales_.hi) * vload8(1, less)) * d_
#endif

#define RUNS PASTE(RUNS, FORMAT)
#define LESS PASTE(LESS, FORMAT)
#define OFFSET PASTE(OFFSET, FORMAT)
#define LESS_VALUES (LESS == 2 ? 2 * CHUNK_BLOCKS : CHUNK_BLOCKS)
#define SCALES(r) ((HET_GLOBAL const float*)(x + (ulong)(r)*x_bytes) + first)
#define BYTES(r) ((HET_GLOBAL const char*)(x + (ulong)(r)*x_bytes + blocks * 4) + first * 32)
#define TERM(q, d, b, j) (convert_float8(PASTE(DOT, FORMAT)(q + (b + j) * 32, j)) * d[b + j])
#define BLOCK_OF_1(b, s)                                      \
  {                                                           \
    PASTE(BEGIN, FORMAT)(row, b);                             \
    PASTE(RUN, FORMAT)(0);                                    \
    s += PASTE(END, FORMAT)(TERM(q0, d0, (b), 0), l0 + (b));  \
  }
#define RUN_OF_1(j)             \
  {                             \
    PASTE(RUN, FORMAT)(j);      \
    t0 += TERM(q0, d0, b, j);   \
  }
#define RUN_OF_4(j)             \
  {                             \
    PASTE(RUN, FORMAT)(j);      \
    t0 += TERM(q0, d0, b, j);   \
    t1 += TERM(q1, d1, b, j);   \
    t2 += TERM(q2, d2, b, j);   \
    t3 += TERM(q3, d3, b, j);   \
  }

HET_KERNEL HET_GROUP_SIZE(64) void PASTE(PASTE(matmul, FORMAT), q8)(HET_BUFFER(0), HET_BUFFER(1),
                                                                   HET_BUFFER(2),
                                                                   struct MatmulParams p) {
  Row weights = HET_PTR(const uchar, 0);
  Row x = HET_PTR(const uchar, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2);
  const uint n_in = p.n_in, n_out = p.n_out, rows = p.rows, blocks = n_in / 32;
  const uint x_bytes = X_ROW_BYTES(n_in);
  HET_LOCAL_ARRAY float less[4 * LESS_VALUES];
  const uint begin = het_group_id(0) * FEW_OUTPUTS, end = min(n_out, begin + FEW_OUTPUTS);
  const uint row_end = min(rows, (het_group_id(1) + 1) * TILE_ROWS);
  if (het_local_id(0) != 0) return;
  for (uint r0 = het_group_id(1) * TILE_ROWS; r0 < row_end; r0 += 4) {
    const uint count = min(4u, row_end - r0);
    // Rows that are not there are the last one again, and not stored.
    const uint r1 = min(r0 + 1, row_end - 1), r2 = min(r0 + 2, row_end - 1), r3 = min(r0 + 3, row_end - 1);
    for (uint first = 0; first < blocks; first += CHUNK_BLOCKS) {
      const uint n = min((uint)CHUNK_BLOCKS, blocks - first);
      const bool add = p.accumulate != 0 || first > 0;
      for (uint i = 0; i < count; ++i)
        fill_less(less + i * LESS_VALUES, BYTES(r0 + i), SCALES(r0 + i), n, LESS, OFFSET);
      HET_LOCAL const float *l0 = less, *l1 = l0 + LESS_VALUES, *l2 = l1 + LESS_VALUES, *l3 = l2 + LESS_VALUES;
      HET_GLOBAL const float *d0 = SCALES(r0), *d1 = SCALES(r1), *d2 = SCALES(r2), *d3 = SCALES(r3);
      HET_GLOBAL const char *q0 = BYTES(r0), *q1 = BYTES(r1), *q2 = BYTES(r2), *q3 = BYTES(r3);
      for (uint o = begin; o < end; ++o) {
        Row row = weights + o * PASTE(ROW_BYTES, FORMAT)(n_in) + PASTE(ROW_BYTES, FORMAT)(first * 32);
        float8 s0 = het_float8(0.0f), s1 = s0, s2 = s0, s3 = s0;
        if (count == 1) {
#if RUNS == 1
          uint b = 0;
          for (; b + 2 <= n; b += 2) {  // two sums, so that one does not wait for the other
            BLOCK_OF_1(b, s0)
            BLOCK_OF_1(b + 1, s1)
          }
          if (b < n) BLOCK_OF_1(b, s0)
          s0 += s1;
#else
          for (uint b = 0; b < n; b += 8) {
            PASTE(BEGIN, FORMAT)(row, b);
            float8 t0 = het_float8(0.0f);
            RUN_OF_1(0) RUN_OF_1(1) RUN_OF_1(2) RUN_OF_1(3) RUN_OF_1(4) RUN_OF_1(5) RUN_OF_1(6) RUN_OF_1(7)
            s0 += PASTE(END, FORMAT)(t0, l0 + b * LESS);
          }
#endif
        } else {
#if RUNS == 1
          for (uint b = 0; b < n; ++b) {
            PASTE(BEGIN, FORMAT)(row, b);
            PASTE(RUN, FORMAT)(0);
            s0 += PASTE(END, FORMAT)(TERM(q0, d0, b, 0), l0 + b);
            s1 += PASTE(END, FORMAT)(TERM(q1, d1, b, 0), l1 + b);
            s2 += PASTE(END, FORMAT)(TERM(q2, d2, b, 0), l2 + b);
            s3 += PASTE(END, FORMAT)(TERM(q3, d3, b, 0), l3 + b);
          }
#else
          for (uint b = 0; b < n; b += 8) {
            PASTE(BEGIN, FORMAT)(row, b);
            float8 t0 = het_float8(0.0f), t1 = t0, t2 = t0, t3 = t0;
            RUN_OF_4(0) RUN_OF_4(1) RUN_OF_4(2) RUN_OF_4(3) RUN_OF_4(4) RUN_OF_4(5) RUN_OF_4(6) RUN_OF_4(7)
            s0 += PASTE(END, FORMAT)(t0, l0 + b * LESS);
            s1 += PASTE(END, FORMAT)(t1, l1 + b * LESS);
            s2 += PASTE(END, FORMAT)(t2, l2 + b * LESS);
            s3 += PASTE(END, FORMAT)(t3, l3 + b * LESS);
          }
#endif
        }
        HET_GLOBAL float* to = y + (ulong)r0 * n_out + o;
        put_q8(to, s0, add);
        if (count > 1) put_q8(to + n_out, s1, add);
        if (count > 2) put_q8(to + 2 * n_out, s2, add);
        if (count > 3) put_q8(to + 3 * n_out, s3, add);
      }
    }
  }
}
#undef RUNS
#undef LESS
#undef OFFSET
#undef LESS_VALUES
#undef SCALES
#undef BYTES
#undef TERM
#undef BLOCK_OF_1
#undef RUN_OF_1
#undef RUN_OF_4
