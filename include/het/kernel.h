/* The native kernel: how a CPU runs one launch. Plain C, shared by the public API and the backends.
 *
 * A native kernel is the CPU twin of a portable kernel (OpenCL C subset). The launch's grid is
 * `groups` work groups; the CPU backend cuts the flattened range of groups into a few contiguous
 * pieces per worker thread of the slice and calls the function once per piece, concurrently; a
 * launch of one group is one call. The function must do exactly the groups [group_begin, group_end)
 * and must not block. No two calls that run at the same time on a device have the same worker.
 */
#ifndef HET_KERNEL_H_
#define HET_KERNEL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct het_native_call {
  size_t struct_size;
  void* const* buffers; /* one address per buffer argument, its offset already added */
  uint32_t buffer_count;
  uint32_t params_bytes;
  const void* params; /* the plain parameter struct of the launch, 16-byte aligned */
  uint32_t groups[3]; /* the whole grid; flattened index = (z * groups[1] + y) * groups[0] + x */
  uint32_t group_size[3];
  uint64_t group_begin; /* flattened range of this call */
  uint64_t group_end;
  uint32_t worker;  /* this call's worker, 0 .. workers-1 */
  uint32_t workers; /* worker threads of the slice */
} het_native_call;

typedef void (*het_native_fn)(const het_native_call* call);

#ifdef __cplusplus
}
#endif

#endif /* HET_KERNEL_H_ */
