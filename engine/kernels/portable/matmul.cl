// The entry point of one FORMAT, over matmul_wide.cl or matmul_simt.cl. (Few rows of lanes have their own: matvec_simt.cl.)
HET_KERNEL HET_GROUP_SIZE(64) void PASTE(matmul, FORMAT)(HET_BUFFER(0), HET_BUFFER(1), HET_BUFFER(2),
                                                        struct MatmulParams p) {
  HET_LOCAL_ARRAY float scratch[SCRATCH_FLOATS];
  Row w = HET_PTR(const uchar, 0);
  HET_GLOBAL const float* x = HET_PTR(const float, 1);
  HET_GLOBAL float* y = HET_PTR(float, 2);
#if HET_WIDE_ITEMS
  if (p.rows <= FEW_ROWS) {
    PASTE(matmul_few, FORMAT)(w, x, y, p, scratch);
    return;
  }
#endif
  PASTE(matmul_many, FORMAT)(w, x, y, p, scratch);
}
