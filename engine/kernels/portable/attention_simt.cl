// attention where the items of a group are the lanes of a SIMT processor, for every row by itself: sixteen items side by
// side read a position's key, and all of them a position's value. Online softmax: the sums so far are rescaled when a
// larger score comes. One group per head and row; or per head, row and one of `parts` parts of the positions, so that few
// rows keep a device busy, whose results attention_join puts together.

#define ATTEND_KEYS ITEMS                  // positions at a time
#define ATTEND_LANES 16                    // items of a position's key
#define ATTEND_AT_ONCE (ITEMS / ATTEND_LANES)
#define ATTEND_SPAN (4 * ITEMS)            // elements of a head that are summed at a time; larger heads go over the scores again
#define ATTEND_SCRATCH (ITEMS * (ATTEND_LANES + 1) + ITEMS)  // floats

// Part `part` of `parts`. Element d of the sums goes to y[d], divided by the weight of all where `parts` is 1; otherwise
// the largest score and the weight follow behind the head's elements.
HET_DEVICE void attend(HET_GLOBAL const float* q, HET_GLOBAL const float* all_keys, HET_GLOBAL const float* all_values,
                       HET_GLOBAL const int* positions, HET_GLOBAL const int* slots, HET_GLOBAL float* y, uint head_of_y,
                       const struct AttentionParams p, uint part, uint parts, HET_LOCAL float* scratch) {
  const uint heads = p.heads, head_dim = p.head_dim, context = p.context, kv_dim = p.kv_heads * head_dim;
  const uint item = het_local_id(0), lane = item % ATTEND_LANES, of_four = item / ATTEND_LANES;
  const uint h = het_group_id(0), r = het_group_id(1);
  const uint count = (uint)positions[r] + 1, first = p.window != 0 && count > p.window ? count - p.window : 0;
  const uint part_keys = ((count - first + parts - 1) / parts + ATTEND_KEYS - 1) / ATTEND_KEYS * ATTEND_KEYS;
  const uint from = min(count, first + part * part_keys), to = min(count, from + part_keys);
  const ulong cache = (ulong)slots[r] * context * kv_dim + h / (heads / p.kv_heads) * head_dim;
  HET_GLOBAL const float* keys = all_keys + cache;
  HET_GLOBAL const float* values = all_values + cache;
  HET_LOCAL float* scores = scratch + ITEMS * (ATTEND_LANES + 1);
  q += ((ulong)r * heads + h) * head_dim;
  y += (ulong)head_of_y * (parts == 1 ? head_dim : head_dim + 2);
  float largest, weight;
  for (uint d0 = 0; d0 < head_dim; d0 += ATTEND_SPAN) {
    float sums[ATTEND_SPAN / ITEMS];
HET_UNROLL
    for (uint i = 0; i < ATTEND_SPAN / ITEMS; ++i) sums[i] = 0.0f;
    largest = -INFINITY;
    weight = 0.0f;
    for (uint begin = from; begin < to; begin += ATTEND_KEYS) {
      const uint n = min((uint)ATTEND_KEYS, to - begin);
      float dots[ATTEND_KEYS / ATTEND_AT_ONCE];
HET_UNROLL
      for (uint i = 0; i < ATTEND_KEYS / ATTEND_AT_ONCE; ++i) dots[i] = 0.0f;
      for (uint d = lane; d < head_dim; d += ATTEND_LANES) {
        const float of_q = q[d];
HET_UNROLL
        for (uint i = 0; i < ATTEND_KEYS / ATTEND_AT_ONCE; ++i) {
          const uint at = begin + min(i * ATTEND_AT_ONCE + of_four, n - 1);
          dots[i] += of_q * keys[(ulong)at * kv_dim + d];
        }
      }
HET_UNROLL
      for (uint i = 0; i < ATTEND_KEYS / ATTEND_AT_ONCE; ++i)
        scratch[(i * ATTEND_AT_ONCE + of_four) * (ATTEND_LANES + 1) + lane] = dots[i];
      HET_BARRIER();
      float score = 0.0f;
HET_UNROLL
      for (uint i = 0; i < ATTEND_LANES; ++i) score += scratch[item * (ATTEND_LANES + 1) + i];
      score = item < n ? score * p.scale : -INFINITY;
      scores[item] = score;
      HET_BARRIER();
      float high = largest;
      for (uint i = 0; i < ATTEND_KEYS; ++i) high = fmax(high, scores[i]);
      const float rescale = exp(largest - high);
      largest = high;
      HET_BARRIER();
      scores[item] = exp(score - high);
      HET_BARRIER();
      weight *= rescale;
      for (uint i = 0; i < ATTEND_KEYS; ++i) weight += scores[i];
HET_UNROLL
      for (uint i = 0; i < ATTEND_SPAN / ITEMS; ++i) {
        const uint d = d0 + i * ITEMS + item;
        if (d >= head_dim) continue;
        float sum = sums[i] * rescale;
        HET_GLOBAL const float* value = values + (ulong)begin * kv_dim + d;
HET_UNROLL_BY(16)
        for (uint k = 0; k < n; ++k) sum += scores[k] * value[(ulong)k * kv_dim];
        sums[i] = sum;
      }
      HET_BARRIER();
    }
HET_UNROLL
    for (uint i = 0; i < ATTEND_SPAN / ITEMS; ++i) {
      const uint d = d0 + i * ITEMS + item;
      if (d < head_dim) y[d] = parts == 1 ? sums[i] / weight : sums[i];
    }
  }
  if (parts != 1 && item == 0) {
    y[head_dim] = largest;
    y[head_dim + 1] = weight;
  }
}

HET_KERNEL HET_GROUP_SIZE(64) void attention(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), HET_BUFFER(3),
                                            HET_BUFFER(4), HET_BUFFER(5), struct AttentionParams p) {
  HET_LOCAL_ARRAY float scratch[ATTEND_SCRATCH];
  attend(HET_PTR(const float, 0), HET_PTR(const float, 1), HET_PTR(const float, 2), HET_PTR(const int, 3),
         HET_PTR(const int, 4), HET_PTR(float, 5), het_group_id(1) * p.heads + het_group_id(0), p, 0, 1, scratch);
}

HET_KERNEL HET_GROUP_SIZE(64) void attention_part(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), HET_BUFFER(3),
                                                 HET_BUFFER(4), HET_BUFFER(5), struct AttentionParams p) {
  HET_LOCAL_ARRAY float scratch[ATTEND_SCRATCH];
  const uint part = het_group_id(2), parts = het_num_groups(2);
  attend(HET_PTR(const float, 0), HET_PTR(const float, 1), HET_PTR(const float, 2), HET_PTR(const int, 3),
         HET_PTR(const int, 4), HET_PTR(float, 5),
         (het_group_id(1) * p.heads + het_group_id(0)) * parts + part, p, part, parts, scratch);
}

HET_KERNEL HET_GROUP_SIZE(64) void attention_join(HET_BUFFER(0), HET_BUFFER(1), struct AttentionJoinParams p) {
  const uint head_dim = p.head_dim, parts = p.parts;
  HET_GLOBAL const float* from = HET_PTR(const float, 0) + (ulong)het_group_id(0) * parts * (head_dim + 2);
  HET_GLOBAL float* y = HET_PTR(float, 1) + (ulong)het_group_id(0) * head_dim;
  float largest = -INFINITY, weight = 0.0f;
  for (uint i = 0; i < parts; ++i) largest = fmax(largest, from[i * (head_dim + 2) + head_dim]);
  for (uint i = 0; i < parts; ++i)
    weight += from[i * (head_dim + 2) + head_dim + 1] * exp(from[i * (head_dim + 2) + head_dim] - largest);
  for (uint d = het_local_id(0); d < head_dim; d += ITEMS) {
    float sum = 0.0f;
    for (uint i = 0; i < parts; ++i) sum += from[i * (head_dim + 2) + d] * exp(from[i * (head_dim + 2) + head_dim] - largest);
    y[d] = sum / weight;
  }
}
