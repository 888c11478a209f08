// Kernels over rows of activations, one group per row.

// y[r][i] = x[r][i] / sqrt(mean_i(x[r][i]^2) + eps) * weight[i].
HET_KERNEL HET_GROUP_SIZE(64) void rmsnorm(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                          struct RmsNormParams p) {
  const uint cols = p.cols, r = het_group_id(0);
  const float eps = p.eps;
  HET_GLOBAL const float* x = HET_PTR(const float, 0) + (ulong)r * cols;
  HET_GLOBAL const float* weight = HET_PTR(const float, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2) + (ulong)r * cols;
#if HET_WIDE_ITEMS
  if (het_local_id(0) != 0) return;
  float8 squares = het_float8(0.0f);
  const uint vectors = cols / 8;
  for (uint i = 0; i < vectors; ++i) squares += vload8(i, x) * vload8(i, x);
  const float4 four = squares.lo + squares.hi;
  float sum = four.x + four.y + four.z + four.w;
  for (uint k = vectors * 8; k < cols; ++k) sum += x[k] * x[k];
  const float factor = 1.0f / sqrt(sum / (float)cols + eps);
  for (uint i = 0; i < vectors; ++i) vstore8(vload8(i, x) * factor * vload8(i, weight), i, y);
  for (uint k = vectors * 8; k < cols; ++k) y[k] = x[k] * factor * weight[k];
#else
  HET_LOCAL_ARRAY float part[ITEMS];
  const uint item = het_local_id(0);
  float squares = 0;
  for (uint k = item; k < cols; k += ITEMS) squares += x[k] * x[k];
  part[item] = squares;
  const float sum = sum_of_group(part, item);
  const float factor = 1.0f / sqrt(sum / (float)cols + eps);
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

// Per row n_in/32 scales amax/127, then n_in int8. An item takes a block of 32.
HET_KERNEL HET_GROUP_SIZE(64) void quantize_q8(HET_BUFFER(0), HET_BUFFER(1), struct QuantizeParams p) {
  const uint n_in = p.n_in, r = het_group_id(1), b = het_global_id(0), blocks = n_in / 32;
  if (b >= blocks) return;
  HET_GLOBAL const float* x = HET_PTR(const float, 0) + (ulong)r * n_in + b * 32;
  HET_GLOBAL uchar* row = HET_PTR(uchar, 1) + (ulong)r * (blocks * 4 + n_in);
  const float8 v0 = vload8(0, x), v1 = vload8(1, x), v2 = vload8(2, x), v3 = vload8(3, x);
  const float8 high = fmax(fmax(fabs(v0), fabs(v1)), fmax(fabs(v2), fabs(v3)));
  const float4 four = fmax(high.lo, high.hi);
  const float amax = fmax(fmax(four.x, four.y), fmax(four.z, four.w));
  ((HET_GLOBAL float*)row)[b] = amax / 127.0f;
  const float factor = amax > 0 ? 127.0f / amax : 0.0f;
  HET_GLOBAL char* q = (HET_GLOBAL char*)row + blocks * 4 + b * 32;
  vstore8(convert_char8_sat(rint(v0 * factor)), 0, q);
  vstore8(convert_char8_sat(rint(v1 * factor)), 1, q);
  vstore8(convert_char8_sat(rint(v2 * factor)), 2, q);
  vstore8(convert_char8_sat(rint(v3 * factor)), 3, q);
}
