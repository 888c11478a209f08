// attention (attention_simt.cl) of many rows, on matrix units: one group per head and 64 rows. Scores are products of 16 rows
// by 16 positions, and their weights' products with the values others; operands are halves, sums are f32. A position
// that a row does not see weighs nothing, so rows need not be neighbours; but each slot among them costs a pass over its
// cache. Heads of more than TILES_MOST elements are not for this kernel.
#if HET_TILE_LANES
#define TILES_KEYS 32  // positions at a time
#define TILES_LOG2_E 1.44269504f  // in the scores, so that weights are powers of two
// Words from row to row of what lies in local memory, for its banks, which are 32 where that matters: four more than a
// multiple of eight, so that the lanes that load a tile are at different ones; odd, where each lane has a row.
#define HEAD_STRIDE (TILES_MOST / 2 + 4)
#define KEYS_STRIDE (TILES_KEYS / 2 + 4)
#define SCORES_STRIDE (TILES_KEYS + 5)
#define WARP_TILES (HET_TILE_LANES / 16)  // of 16 rows

// Two elements as halves. What is too large for one becomes the largest there is, and NaN as well: it must stay within its
// slot, and zero times infinity, or times NaN, would not.
HET_DEVICE float tiles_clamp(float x) { return fmin(fmax(x, -65504.0f), 65504.0f); }
HET_DEVICE uint tiles_pair(float low, float high) { return het_pack_halves(tiles_clamp(low), tiles_clamp(high)); }

// `rows` rows of n floats, `stride` apart, times scale, as `most` rows of pairs of halves; zeros where there are none. Items
// side by side read a row; each has eight pairs on the way at a time.
HET_DEVICE void tiles_stage(HET_LOCAL uint* to, uint most, HET_GLOBAL const float* x, ulong stride, uint rows, uint n,
                            float scale) {
  const uint item = het_local_id(0), of_row = n > 64 ? 64 : n > 32 ? 32 : n > 16 ? 16 : 8, step = ITEMS / of_row;
  const uint i0 = item % of_row * 2, i1 = i0 + 1;
  for (uint row0 = item / of_row; row0 < most; row0 += 8 * step) {
    uint words[8];
HET_UNROLL
    for (uint i = 0; i < 8; ++i) {
      const uint row = row0 + i * step, its_n = row < rows ? n : 0;
      HET_GLOBAL const float* from = x + row * stride;
      words[i] = tiles_pair(i0 < its_n ? from[i0] * scale : 0.0f, i1 < its_n ? from[i1] * scale : 0.0f);
    }
HET_UNROLL
    for (uint i = 0; i < 8; ++i) {
      const uint row = row0 + i * step;
      if (row < most) to[row * HEAD_STRIDE + item % of_row] = words[i];
    }
  }
}

HET_KERNEL HET_GROUP_SIZE(64) void attention_tiles(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), HET_BUFFER(3),
                                                  HET_BUFFER(4), HET_BUFFER(5), struct AttentionParams p) {
  HET_LOCAL_ARRAY uint queries[TILES_ROWS * HEAD_STRIDE];
  HET_LOCAL_ARRAY uint keys[TILES_KEYS * HEAD_STRIDE];
  HET_LOCAL_ARRAY uint values[TILES_MOST * KEYS_STRIDE];     // transposed: a row is an element of the head
  HET_LOCAL_ARRAY float scores[TILES_ROWS * SCORES_STRIDE];  // then, as halves in the same rows, their weights
  HET_LOCAL_ARRAY float factors[TILES_ROWS];
  HET_LOCAL_ARRAY uint begins[TILES_ROWS], ends[TILES_ROWS];  // of the pass that the slot's first row stands for
  const uint heads = p.heads, head_dim = p.head_dim, context = p.context, kv_dim = p.kv_heads * head_dim;
  const uint item = het_local_id(0), lane = item % HET_TILE_LANES, warp_row = item / HET_TILE_LANES * HET_TILE_LANES;
  const uint h = het_group_id(0), r0 = het_group_id(1) * TILES_ROWS, rows = min((uint)TILES_ROWS, p.rows - r0);
  const uint columns = (head_dim + 15) / 16;
  HET_GLOBAL const int* positions = HET_PTR(const int, 3) + r0;
  HET_GLOBAL const int* slots = HET_PTR(const int, 4) + r0;
  HET_GLOBAL const float* q = HET_PTR(const float, 0) + ((ulong)r0 * heads + h) * head_dim;
  HET_GLOBAL float* y = HET_PTR(float, 5) + ((ulong)r0 * heads + h) * head_dim;
  const ulong q_row = (ulong)heads * head_dim;

  tiles_stage(queries, TILES_ROWS, q, q_row, rows, head_dim, p.scale * TILES_LOG2_E);

  // Row `item` of the group, in the softmax.
  const int slot = item < rows ? slots[item] : -1;
  const uint to = item < rows ? (uint)positions[item] + 1 : 0;
  const uint from = p.window != 0 && to > p.window ? to - p.window : 0;
  uint begin = context, end = 0, earlier = 0;
  for (uint i = 0; i < rows; ++i) {
    if (slots[i] != slot) continue;
    const uint its_to = (uint)positions[i] + 1;
    begin = min(begin, p.window != 0 && its_to > p.window ? its_to - p.window : 0u);
    end = max(end, its_to);
    earlier += i < item ? 1u : 0u;
  }
  begins[item] = begin;
  ends[item] = earlier == 0 ? end : 0;
  HET_BARRIER();

  float sums[WARP_TILES][TILES_MOST / 16][HET_TILE_PART];
HET_UNROLL
  for (uint w = 0; w < WARP_TILES; ++w) {
HET_UNROLL
    for (uint j = 0; j < TILES_MOST / 16; ++j) {
HET_UNROLL
      for (uint i = 0; i < HET_TILE_PART; ++i) sums[w][j][i] = 0.0f;
    }
  }
  float largest = -INFINITY, weight = 0.0f;

  for (uint first = 0; first < rows; ++first) {
    const uint pass_end = ends[first];
    const ulong cache = (ulong)slots[first] * context * kv_dim + h / (heads / p.kv_heads) * head_dim;
    const bool mine = slot == slots[first];
    for (uint k0 = begins[first]; k0 < pass_end; k0 += TILES_KEYS) {
      HET_GLOBAL const float* k = HET_PTR(const float, 1) + cache + (ulong)k0 * kv_dim;
      HET_GLOBAL const float* v = HET_PTR(const float, 2) + cache + (ulong)k0 * kv_dim;
      const uint count = min((uint)TILES_KEYS, pass_end - k0);
      tiles_stage(keys, TILES_KEYS, k, kv_dim, count, head_dim, 1.0f);
      for (uint d = item; d < columns * 16; d += ITEMS) {
HET_UNROLL
        for (uint four = 0; four < TILES_KEYS / 2; four += 4) {
          uint words[4];
HET_UNROLL
          for (uint i = 0; i < 4; ++i) {
            const uint at = 2 * (four + i);
            words[i] = tiles_pair(d < head_dim && at < count ? v[(ulong)at * kv_dim + d] : 0.0f,
                                  d < head_dim && at + 1 < count ? v[(ulong)(at + 1) * kv_dim + d] : 0.0f);
          }
          vstore4(het_uint4(words[0], words[1], words[2], words[3]), 0, values + d * KEYS_STRIDE + four);
        }
      }
      HET_BARRIER();

      // scores = queries keys'.
      float c[WARP_TILES][TILES_KEYS / 16][HET_TILE_PART];
HET_UNROLL
      for (uint w = 0; w < WARP_TILES; ++w) {
HET_UNROLL
        for (uint n = 0; n < TILES_KEYS / 16; ++n) {
HET_UNROLL
          for (uint i = 0; i < HET_TILE_PART; ++i) c[w][n][i] = 0.0f;
        }
      }
      for (uint j = 0; j < columns; ++j) {
        het_tile a[WARP_TILES];
HET_UNROLL
        for (uint w = 0; w < WARP_TILES; ++w)
          a[w] = het_tile_load(queries + (warp_row + w * 16) * HEAD_STRIDE + j * 8, HEAD_STRIDE, lane);
HET_UNROLL
        for (uint n = 0; n < TILES_KEYS / 16; ++n) {
          const het_tile b = het_tile_load(keys + n * 16 * HEAD_STRIDE + j * 8, HEAD_STRIDE, lane);
HET_UNROLL
          for (uint w = 0; w < WARP_TILES; ++w) het_tile_multiply(c[w][n], a[w], b, lane);
        }
      }
HET_UNROLL
      for (uint w = 0; w < WARP_TILES; ++w) {
HET_UNROLL
        for (uint n = 0; n < TILES_KEYS / 16; ++n) {
HET_UNROLL
          for (uint i = 0; i < HET_TILE_PART; ++i)
            scores[(warp_row + w * 16 + het_tile_row(lane, i)) * SCORES_STRIDE + n * 16 + het_tile_column(lane, i)] = c[w][n][i];
        }
      }
      HET_BARRIER();

      // Online softmax, an item a row, which ends as its weights.
      HET_LOCAL float* row = scores + item * SCORES_STRIDE;
      float of[TILES_KEYS];
      float high = largest;
HET_UNROLL
      for (uint i = 0; i < TILES_KEYS; ++i) {
        of[i] = mine && k0 + i >= from && k0 + i < to ? row[i] : -INFINITY;
        high = fmax(high, of[i]);
      }
      const float base = high == -INFINITY ? 0.0f : high;  // nothing seen yet: all weights are exp2(-INFINITY)
      const float rescale = exp2(largest - base);
      largest = high;
      weight *= rescale;
HET_UNROLL
      for (uint i = 0; i < TILES_KEYS; i += 2) {
        const float w0 = exp2(of[i] - base), w1 = exp2(of[i + 1] - base);
        weight += w0 + w1;
        ((HET_LOCAL uint*)row)[i / 2] = het_pack_halves(w0, w1);
      }
      factors[item] = rescale;
      HET_BARRIER();

      // sums = rescale * sums + weights values.
      het_tile a[WARP_TILES][TILES_KEYS / 16];
HET_UNROLL
      for (uint w = 0; w < WARP_TILES; ++w) {
        HET_LOCAL const uint* weights = (HET_LOCAL const uint*)(scores + (warp_row + w * 16) * SCORES_STRIDE);
HET_UNROLL
        for (uint n = 0; n < TILES_KEYS / 16; ++n) a[w][n] = het_tile_load(weights + n * 8, SCORES_STRIDE, lane);
HET_UNROLL
        for (uint i = 0; i < HET_TILE_PART; ++i) {
          const float factor = factors[warp_row + w * 16 + het_tile_row(lane, i)];
HET_UNROLL
          for (uint j = 0; j < TILES_MOST / 16; ++j) sums[w][j][i] *= factor;
        }
      }
HET_UNROLL
      for (uint j = 0; j < TILES_MOST / 16; ++j) {
        if (j >= columns) continue;
HET_UNROLL
        for (uint n = 0; n < TILES_KEYS / 16; ++n) {
          const het_tile b = het_tile_load(values + j * 16 * KEYS_STRIDE + n * 8, KEYS_STRIDE, lane);
HET_UNROLL
          for (uint w = 0; w < WARP_TILES; ++w) het_tile_multiply(sums[w][j], a[w][n], b, lane);
        }
      }
      HET_BARRIER();
    }
  }

  factors[item] = 1.0f / weight;
  HET_BARRIER();
HET_UNROLL
  for (uint w = 0; w < WARP_TILES; ++w) {
HET_UNROLL
    for (uint i = 0; i < HET_TILE_PART; ++i) {
      const uint at = warp_row + w * 16 + het_tile_row(lane, i);
      const float factor = factors[at];
HET_UNROLL
      for (uint j = 0; j < TILES_MOST / 16; ++j) {
        const uint d = j * 16 + het_tile_column(lane, i);
        if (at < rows && d < head_dim) y[at * q_row + d] = sums[w][j][i] * factor;
      }
    }
  }
}
#endif
