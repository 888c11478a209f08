// Kernels without sums. `base` is the first of an item's ELEMENTS_PER_ITEM elements; SIMT items take every
// ITEMS-th instead, so that neighbours read neighbours.

#if HET_WIDE_ITEMS
#define ELEMENTWISE(count, VECTOR, SCALAR)                                             \
  const uint base = het_global_id(0) * ELEMENTS_PER_ITEM;                              \
  if (base + ELEMENTS_PER_ITEM <= count) {                                             \
    VECTOR(base)                                                                       \
  } else {                                                                             \
    for (uint i = base; i < count; ++i) SCALAR(i)                                      \
  }
#else
#define ELEMENTWISE(count, VECTOR, SCALAR)                                             \
  const uint base = het_group_id(0) * ITEMS * ELEMENTS_PER_ITEM + het_local_id(0);     \
  for (uint i = base; i < min(count, base + ITEMS * ELEMENTS_PER_ITEM); i += ITEMS) SCALAR(i)
#endif

// y = silu(gate) * up; silu(x) = x / (1 + exp(-x)).
HET_DEVICE float silu_mul1(float gate, float up) { return gate / (1.0f + exp(-gate)) * up; }
#if HET_WIDE_ITEMS
HET_DEVICE float8 silu_mul8(float8 gate, float8 up) { return gate / (1.0f + exp(-gate)) * up; }
#endif
#define SILU_VECTOR(i) vstore8(silu_mul8(vload8(0, gate + i), vload8(0, up + i)), 0, y + i);
#define SILU_SCALAR(i) y[i] = silu_mul1(gate[i], up[i]);
HET_KERNEL HET_GROUP_SIZE(64) void silu_mul(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                           struct ElementwiseParams p) {
  HET_GLOBAL const float* gate = HET_PTR(const float, 0);
  HET_GLOBAL const float* up = HET_PTR(const float, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2);
  const uint count = p.count;
  ELEMENTWISE(count, SILU_VECTOR, SILU_SCALAR)
}

// y = a + b.
#define ADD_VECTOR(i) vstore8(vload8(0, a + i) + vload8(0, b + i), 0, y + i);
#define ADD_SCALAR(i) y[i] = a[i] + b[i];
HET_KERNEL HET_GROUP_SIZE(64) void add(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                      struct ElementwiseParams p) {
  HET_GLOBAL const float* a = HET_PTR(const float, 0);
  HET_GLOBAL const float* b = HET_PTR(const float, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2);
  const uint count = p.count;
  ELEMENTWISE(count, ADD_VECTOR, ADD_SCALAR)
}

// y = x as halves; what is too large for one becomes the largest there is.
HET_KERNEL HET_GROUP_SIZE(64) void to_half(HET_BUFFER(0), HET_BUFFER(1), struct ElementwiseParams p) {
  HET_GLOBAL const float* x = HET_PTR(const float, 0);
  HET_GLOBAL ushort* y = HET_PTR(ushort, 1);
  const uint count = p.count, base = het_group_id(0) * ITEMS * ELEMENTS_PER_ITEM + het_local_id(0);
  for (uint i = base; i < min(count, base + ITEMS * ELEMENTS_PER_ITEM); i += ITEMS)
    het_store_half(x[i] > 65504.0f ? 65504.0f : x[i] < -65504.0f ? -65504.0f : x[i], y, i);
}

// y[r][c] += bias[c].
HET_KERNEL HET_GROUP_SIZE(64) void add_bias(HET_BUFFER(0), HET_BUFFER(1), struct AddBiasParams p) {
  const uint cols = p.cols, c = het_global_id(0), r = het_group_id(1);
  if (c < cols) HET_PTR(float, 0)[(ulong)r * cols + c] += HET_PTR(const float, 1)[c];
}

// Rotates pair i of every head of row r by position * frequency. An item takes one pair of all heads, so that sine and
// cosine are computed once. The product is exact in two floats; its small one turns the result of the large one.
HET_KERNEL HET_GROUP_SIZE(64) void rope(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), struct RopeParams p) {
  const uint heads = p.heads, head_dim = p.head_dim, half_dim = p.rope_dim / 2, pairing = p.pairing;
  const float magnitude = p.magnitude;
  const uint i = het_global_id(0), r = het_group_id(1);
  if (i >= half_dim) return;
  HET_GLOBAL const float* frequency = HET_PTR(const float, 2) + 2 * i;
  const float position = (float)HET_PTR(const int, 1)[r];
  const float angle = position * frequency[0];
  const float rest = fma(position, frequency[0], -angle) + position * frequency[1];
  const float c0 = cos(angle), s0 = sin(angle);
  const float c = (c0 - rest * s0) * magnitude, s = (s0 + rest * c0) * magnitude;
  const uint first = pairing == 0 ? 2 * i : i, second = pairing == 0 ? 2 * i + 1 : i + half_dim;
  HET_GLOBAL float* x = HET_PTR(float, 0) + (ulong)r * heads * head_dim;
  for (uint h = 0; h < heads; ++h) {
    const float a = x[h * head_dim + first], b = x[h * head_dim + second];
    x[h * head_dim + first] = a * c - b * s;
    x[h * head_dim + second] = a * s + b * c;
  }
}

// k_cache[slots[r]*context + positions[r]][:] = k[r][:], and of v.
HET_KERNEL HET_GROUP_SIZE(64) void kv_append(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2), HET_BUFFER(3),
                                            HET_BUFFER(4), HET_BUFFER(5), struct KvAppendParams p) {
  const uint kv_dim = p.kv_dim, context = p.context, r = het_group_id(1), i = het_global_id(0);
  if (i >= kv_dim) return;
  const ulong row = (ulong)HET_PTR(const int, 3)[r] * context + (ulong)HET_PTR(const int, 2)[r];
  const ulong from = (ulong)r * kv_dim + i, to = row * kv_dim + i;
  HET_PTR(float, 4)[to] = HET_PTR(const float, 0)[from];
  HET_PTR(float, 5)[to] = HET_PTR(const float, 1)[from];
}
