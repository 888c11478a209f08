// y[r][k] = element k of row r of W, as a half; for a vendor's matrix library. Instantiated once per FORMAT.
HET_KERNEL HET_GROUP_SIZE(64) void PASTE(dequantize, FORMAT)(HET_BUFFER(0), HET_BUFFER(1), struct DequantizeParams p) {
  const uint n_in = p.n_in, r = het_group_id(1);
  Row row = HET_PTR(const uchar, 0) + r * PASTE(ROW_BYTES, FORMAT)(n_in);
  HET_GLOBAL ushort* y = HET_PTR(ushort, 1) + (ulong)r * n_in;
  const uint base = het_group_id(0) * ITEMS * ELEMENTS_PER_ITEM + het_local_id(0);
  for (uint k = base; k < min(n_in, base + ITEMS * ELEMENTS_PER_ITEM); k += ITEMS)
    het_store_half(PASTE(element, FORMAT)(row, k), y, k);
}
