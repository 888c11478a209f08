// y[r] = dequantise(table[ids[r]]), one group per row. Instantiated once per FORMAT.
HET_KERNEL HET_GROUP_SIZE(64) void PASTE(get_rows, FORMAT)(HET_BUFFER(0), HET_BUFFER(1),
                                                          HET_BUFFER(2), struct GetRowsParams p) {
  const uint cols = p.cols, table_rows = p.table_rows, r = het_group_id(0);
  const int id = HET_PTR(const int, 1)[r];
  const bool known = id >= 0 && (uint)id < table_rows;
  Row row = HET_PTR(const uchar, 0) + (known ? (ulong)id : 0) * PASTE(ROW_BYTES, FORMAT)(cols);
  HET_GLOBAL float* y = HET_PTR(float, 2) + (ulong)r * cols;
  for (uint k = het_local_id(0); k < cols; k += ITEMS)
    y[k] = known ? PASTE(element, FORMAT)(row, k) : 0.0f;
}
