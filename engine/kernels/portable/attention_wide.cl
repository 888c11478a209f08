// y[r][h] = softmax over positions 0..positions[r] (or the last `window` of them) of slot slots[r] of q.k*scale, times v; one
// group per row and head. Online softmax: the sums so far are rescaled when a larger score comes. Here an item is a SIMD
// thread (HET_WIDE_ITEMS), and the first of a group does all of it.

#define CHUNK ITEMS    // positions at a time
#define SPAN 256       // elements of a head that are summed at a time; larger heads go over the scores again

HET_DEVICE float dot_head(HET_GLOBAL const float* a, HET_GLOBAL const float* b, uint n) {
  float8 sums = het_float8(0.0f);
  uint i = 0;
  for (; i + 8 <= n; i += 8) sums += vload8(0, a + i) * vload8(0, b + i);
  const float4 four = sums.lo + sums.hi;
  float sum = four.x + four.y + four.z + four.w;
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

HET_KERNEL HET_GROUP_SIZE(64) void attention(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), HET_BUFFER(3),
                                            HET_BUFFER(4), HET_BUFFER(5), struct AttentionParams p) {
  HET_LOCAL_ARRAY float scores[CHUNK];
  HET_LOCAL_ARRAY float sums[SPAN];
  const uint heads = p.heads, head_dim = p.head_dim, context = p.context, item = het_local_id(0);
  const float scale = p.scale;
  const uint h = het_group_id(0), r = het_group_id(1), kv_dim = p.kv_heads * head_dim;
  const uint count = (uint)HET_PTR(const int, 3)[r] + 1;
  const uint from = p.window != 0 && count > p.window ? count - p.window : 0;
  const ulong cache = (ulong)HET_PTR(const int, 4)[r] * context * kv_dim + h / (heads / p.kv_heads) * head_dim;
  HET_GLOBAL const float* q = HET_PTR(const float, 0) + ((ulong)r * heads + h) * head_dim;
  HET_GLOBAL const float* keys = HET_PTR(const float, 1) + cache;
  HET_GLOBAL const float* values = HET_PTR(const float, 2) + cache;
  HET_GLOBAL float* y = HET_PTR(float, 5) + ((ulong)r * heads + h) * head_dim;
  if (item != 0) return;
  for (uint d0 = 0; d0 < head_dim; d0 += SPAN) {
    const uint span = min((uint)SPAN, head_dim - d0), vectors = span / 8;
    for (uint d = 0; d < span; ++d) sums[d] = 0;
    float largest = -INFINITY, weight = 0;
    for (uint begin = from; begin < count; begin += CHUNK) {
      const uint n = min((uint)CHUNK, count - begin);
      float high = largest;
      for (uint i = 0; i < n; ++i) {
        scores[i] = dot_head(q, keys + (ulong)(begin + i) * kv_dim, head_dim) * scale;
        high = fmax(high, scores[i]);
      }
      for (uint i = n; i < ((n + 7) & ~7u); ++i) scores[i] = -INFINITY;
      for (uint i = 0; i < n; i += 8) vstore8(exp(vload8(0, scores + i) - high), 0, scores + i);
      const float rescale = exp(largest - high);
      largest = high;
      weight *= rescale;
      for (uint i = 0; i < n; ++i) weight += scores[i];
      for (uint v = 0; v < vectors; ++v) {
        float8 sum = vload8(v, sums) * rescale;
        HET_GLOBAL const float* from = values + (ulong)begin * kv_dim + d0 + v * 8;
        for (uint i = 0; i < n; ++i) sum += scores[i] * vload8(0, from + (ulong)i * kv_dim);
        vstore8(sum, v, sums);
      }
      for (uint d = vectors * 8; d < span; ++d) {
        float sum = sums[d] * rescale;
        for (uint i = 0; i < n; ++i) sum += scores[i] * values[(ulong)(begin + i) * kv_dim + d0 + d];
        sums[d] = sum;
      }
    }
    for (uint d = 0; d < span; ++d) y[d0 + d] = sums[d] / weight;
  }
}
