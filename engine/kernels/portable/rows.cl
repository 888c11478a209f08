// Kernels over rows of activations, one group per row. Where items are lanes, a group is alone with the wait for its reads: many
// of them are on their way at a time.

// 1 / sqrt(mean_i(x[i]^2) + eps), by the first item of a group or by all.
#if HET_WIDE_ITEMS
HET_DEVICE float rms_factor(HET_GLOBAL const float* x, uint cols, float eps) {
  float8 squares = het_float8(0.0f);
  const uint vectors = cols / 8;
  for (uint i = 0; i < vectors; ++i) squares += vload8(i, x) * vload8(i, x);
  const float4 four = squares.lo + squares.hi;
  float sum = four.x + four.y + four.z + four.w;
  for (uint k = vectors * 8; k < cols; ++k) sum += x[k] * x[k];
  return 1.0f / sqrt(sum / (float)cols + eps);
}
#else
HET_DEVICE float rms_factor(HET_GLOBAL const float* x, uint cols, float eps, HET_LOCAL float* part, uint item) {
  float squares = 0;
HET_UNROLL_BY(16)
  for (uint k = item; k < cols; k += ITEMS) squares += x[k] * x[k];
  part[item] = squares;
  return 1.0f / sqrt(sum_of_group(part, item) / (float)cols + eps);
}
#endif

// y[r][i] = x[r][i] / sqrt(mean_i(x[r][i]^2) + eps) * weight[i].
HET_KERNEL HET_GROUP_SIZE(64) void rmsnorm(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                          struct RmsNormParams p) {
  const uint cols = p.cols, r = het_group_id(0), item = het_local_id(0);
  const float eps = p.eps;
  HET_GLOBAL const float* x = HET_PTR(const float, 0) + (ulong)r * cols;
  HET_GLOBAL const float* weight = HET_PTR(const float, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2) + (ulong)r * cols;
#if HET_WIDE_ITEMS
  if (item != 0) return;
  const float factor = rms_factor(x, cols, eps);
  const uint vectors = cols / 8;
  for (uint i = 0; i < vectors; ++i) vstore8(vload8(i, x) * factor * vload8(i, weight), i, y);
  for (uint k = vectors * 8; k < cols; ++k) y[k] = x[k] * factor * weight[k];
#else
  HET_LOCAL_ARRAY float part[ITEMS];
  const float factor = rms_factor(x, cols, eps, part, item);
HET_UNROLL_BY(16)
  for (uint k = item; k < cols; k += ITEMS) y[k] = x[k] * factor * weight[k];
#endif
}

// ids[r] = the first index of the largest of x[r][0..cols).
HET_KERNEL HET_GROUP_SIZE(64) void argmax(HET_BUFFER(0), HET_BUFFER(1), struct ArgmaxParams p) {
  HET_LOCAL_ARRAY float best_values[ITEMS];
  HET_LOCAL_ARRAY uint best_ids[ITEMS];
  const uint cols = p.cols, r = het_group_id(0), item = het_local_id(0);
  HET_GLOBAL const float* x = HET_PTR(const float, 0) + (ulong)r * cols;
  HET_GLOBAL int* ids = HET_PTR(int, 1) + r;
#if HET_WIDE_ITEMS
  // The largest first, by vectors; then where it is.
  if (item != 0) return;
  float largest = x[0];
  const uint vectors = cols / 8;
  if (vectors > 0) {
    float8 high = vload8(0, x);
    for (uint i = 1; i < vectors; ++i) {
      const float8 v = vload8(i, x);
      high = v > high ? v : high;
    }
    const float4 four = fmax(high.lo, high.hi);
    largest = fmax(fmax(four.x, four.y), fmax(four.z, four.w));
  }
  for (uint k = vectors * 8; k < cols; ++k) largest = fmax(largest, x[k]);
  uint id = 0;
  while (id + 1 < cols && x[id] != largest) ++id;
  *ids = x[id] == largest ? (int)id : 0;
  best_values[0] = largest;
  best_ids[0] = id;
#else
  float largest = -INFINITY;
  uint id = 0;
HET_UNROLL_BY(16)
  for (uint k = item; k < cols; k += ITEMS) {
    const float v = x[k];
    if (v > largest) {
      largest = v;
      id = k;
    }
  }
  best_values[item] = largest;
  best_ids[item] = id;
  for (uint step = ITEMS / 2; step > 0; step /= 2) {
    HET_BARRIER();
    if (item < step) {
      const float other = best_values[item + step];
      const uint other_id = best_ids[item + step];
      if (other > best_values[item] ||
          (other == best_values[item] && other_id < best_ids[item])) {
        best_values[item] = other;
        best_ids[item] = other_id;
      }
    }
  }
  if (item == 0) *ids = (int)best_ids[0];
#endif
}
