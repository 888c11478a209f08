// Every function that puts work on the device, in a turn of the slice.
#include "interpose/opencl/hooks.h"
#include "interpose/opencl/launching.h"
#include "interpose/opencl/layer.h"

namespace het::interpose::hook {
namespace {

// A pixel's size where asking the driver would cost more than the estimate is worth.
constexpr uint64_t kPixel = 4;

const cl_icd_dispatch& Next() { return Layer::Get()->next(); }

// A map returns the pointer instead of the error.
template <typename Call>
void* Mapped(cl_command_queue queue, uint64_t key, cl_bool blocking, cl_uint waits,
             const cl_event* wait_list, cl_event* event, cl_int* error_ret, Call call) {
  void* mapped = nullptr;
  const cl_int error =
      Launched(queue, key, blocking, waits, wait_list, event, [&](cl_event* where) {
        cl_int result = CL_SUCCESS;
        mapped = call(where, &result);
        return result;
      });
  if (error_ret != nullptr) *error_ret = error;
  return mapped;
}

}  // namespace

cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel,
                                          cl_uint dimensions, const size_t* offset,
                                          const size_t* global_size, const size_t* local_size,
                                          cl_uint waits, const cl_event* wait_list,
                                          cl_event* event) {
  return Launched(queue, WorkKey(kernel, dimensions, global_size), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueNDRangeKernel(queue, kernel, dimensions, offset,
                                                         global_size, local_size, waits, wait_list,
                                                         where);
                  });
}

cl_int CL_API_CALL clEnqueueTask(cl_command_queue queue, cl_kernel kernel, cl_uint waits,
                                 const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(kernel, 0, nullptr), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueTask(queue, kernel, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueNativeKernel(cl_command_queue queue, void(CL_CALLBACK* function)(void*),
                                         void* args, size_t args_bytes, cl_uint objects,
                                         const cl_mem* object_list, const void** object_args,
                                         cl_uint waits, const cl_event* wait_list,
                                         cl_event* event) {
  const uint64_t key = CostEstimate::Key(reinterpret_cast<uintptr_t>(function), 1);
  return Launched(queue, key, false, waits, wait_list, event, [&](cl_event* where) {
    return Next().clEnqueueNativeKernel(queue, function, args, args_bytes, objects, object_list,
                                        object_args, waits, wait_list, where);
  });
}

cl_int CL_API_CALL clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                       size_t offset, size_t size, void* to, cl_uint waits,
                                       const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kRead, size), blocking, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueReadBuffer(queue, buffer, blocking, offset, size, to,
                                                      waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                        size_t offset, size_t size, const void* from, cl_uint waits,
                                        const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kWrite, size), blocking, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueWriteBuffer(queue, buffer, blocking, offset, size, from,
                                                       waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueReadBufferRect(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                           const size_t* buffer_origin, const size_t* host_origin,
                                           const size_t* region, size_t buffer_row,
                                           size_t buffer_slice, size_t host_row, size_t host_slice,
                                           void* to, cl_uint waits, const cl_event* wait_list,
                                           cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kRead, RegionBytes(region, 1)), blocking, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueReadBufferRect(
                        queue, buffer, blocking, buffer_origin, host_origin, region, buffer_row,
                        buffer_slice, host_row, host_slice, to, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueWriteBufferRect(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                            const size_t* buffer_origin, const size_t* host_origin,
                                            const size_t* region, size_t buffer_row,
                                            size_t buffer_slice, size_t host_row, size_t host_slice,
                                            const void* from, cl_uint waits,
                                            const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kWrite, RegionBytes(region, 1)), blocking, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueWriteBufferRect(
                        queue, buffer, blocking, buffer_origin, host_origin, region, buffer_row,
                        buffer_slice, host_row, host_slice, from, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueCopyBuffer(cl_command_queue queue, cl_mem from, cl_mem to,
                                       size_t from_offset, size_t to_offset, size_t size,
                                       cl_uint waits, const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, size), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueCopyBuffer(queue, from, to, from_offset, to_offset, size,
                                                      waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueCopyBufferRect(cl_command_queue queue, cl_mem from, cl_mem to,
                                           const size_t* from_origin, const size_t* to_origin,
                                           const size_t* region, size_t from_row, size_t from_slice,
                                           size_t to_row, size_t to_slice, cl_uint waits,
                                           const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, RegionBytes(region, 1)), false, waits, wait_list,
                  event, [&](cl_event* where) {
                    return Next().clEnqueueCopyBufferRect(queue, from, to, from_origin, to_origin,
                                                          region, from_row, from_slice, to_row,
                                                          to_slice, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueReadImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                      const size_t* origin, const size_t* region, size_t row,
                                      size_t slice, void* to, cl_uint waits,
                                      const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kRead, RegionBytes(region, kPixel)), blocking, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueReadImage(queue, image, blocking, origin, region, row,
                                                     slice, to, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueWriteImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                       const size_t* origin, const size_t* region, size_t row,
                                       size_t slice, const void* from, cl_uint waits,
                                       const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kWrite, RegionBytes(region, kPixel)), blocking, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueWriteImage(queue, image, blocking, origin, region, row,
                                                      slice, from, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueCopyImage(cl_command_queue queue, cl_mem from, cl_mem to,
                                      const size_t* from_origin, const size_t* to_origin,
                                      const size_t* region, cl_uint waits,
                                      const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, RegionBytes(region, kPixel)), false, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueCopyImage(queue, from, to, from_origin, to_origin,
                                                     region, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueCopyImageToBuffer(cl_command_queue queue, cl_mem from, cl_mem to,
                                              const size_t* origin, const size_t* region,
                                              size_t to_offset, cl_uint waits,
                                              const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, RegionBytes(region, kPixel)), false, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueCopyImageToBuffer(queue, from, to, origin, region,
                                                             to_offset, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueCopyBufferToImage(cl_command_queue queue, cl_mem from, cl_mem to,
                                              size_t from_offset, const size_t* origin,
                                              const size_t* region, cl_uint waits,
                                              const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, RegionBytes(region, kPixel)), false, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueCopyBufferToImage(queue, from, to, from_offset, origin,
                                                             region, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueFillBuffer(cl_command_queue queue, cl_mem buffer, const void* pattern,
                                       size_t pattern_size, size_t offset, size_t size,
                                       cl_uint waits, const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kFill, size), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueFillBuffer(queue, buffer, pattern, pattern_size, offset,
                                                      size, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueFillImage(cl_command_queue queue, cl_mem image, const void* color,
                                      const size_t* origin, const size_t* region, cl_uint waits,
                                      const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kFill, RegionBytes(region, kPixel)), false, waits,
                  wait_list, event, [&](cl_event* where) {
                    return Next().clEnqueueFillImage(queue, image, color, origin, region, waits,
                                                     wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueMigrateMemObjects(cl_command_queue queue, cl_uint objects,
                                              const cl_mem* object_list,
                                              cl_mem_migration_flags flags, cl_uint waits,
                                              const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kMigrate, objects), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueMigrateMemObjects(queue, objects, object_list, flags,
                                                             waits, wait_list, where);
                  });
}

void* CL_API_CALL clEnqueueMapBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking,
                                     cl_map_flags flags, size_t offset, size_t size, cl_uint waits,
                                     const cl_event* wait_list, cl_event* event,
                                     cl_int* error_ret) {
  return Mapped(queue, WorkKey(Transfer::kMap, size), blocking, waits, wait_list, event, error_ret,
                [&](cl_event* where, cl_int* error) {
                  return Next().clEnqueueMapBuffer(queue, buffer, blocking, flags, offset, size,
                                                   waits, wait_list, where, error);
                });
}

void* CL_API_CALL clEnqueueMapImage(cl_command_queue queue, cl_mem image, cl_bool blocking,
                                    cl_map_flags flags, const size_t* origin, const size_t* region,
                                    size_t* row, size_t* slice, cl_uint waits,
                                    const cl_event* wait_list, cl_event* event, cl_int* error_ret) {
  return Mapped(queue, WorkKey(Transfer::kMap, RegionBytes(region, kPixel)), blocking, waits,
                wait_list, event, error_ret, [&](cl_event* where, cl_int* error) {
                  return Next().clEnqueueMapImage(queue, image, blocking, flags, origin, region,
                                                  row, slice, waits, wait_list, where, error);
                });
}

cl_int CL_API_CALL clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem object, void* mapped,
                                           cl_uint waits, const cl_event* wait_list,
                                           cl_event* event) {
  return Launched(
      queue, WorkKey(Transfer::kUnmap, 0), false, waits, wait_list, event, [&](cl_event* where) {
        return Next().clEnqueueUnmapMemObject(queue, object, mapped, waits, wait_list, where);
      });
}

cl_int CL_API_CALL clEnqueueSVMMemcpy(cl_command_queue queue, cl_bool blocking, void* to,
                                      const void* from, size_t size, cl_uint waits,
                                      const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kCopy, size), blocking, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueSVMMemcpy(queue, blocking, to, from, size, waits,
                                                     wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueSVMMemFill(cl_command_queue queue, void* pointer, const void* pattern,
                                       size_t pattern_size, size_t size, cl_uint waits,
                                       const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kFill, size), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueSVMMemFill(queue, pointer, pattern, pattern_size, size,
                                                      waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueSVMMap(cl_command_queue queue, cl_bool blocking, cl_map_flags flags,
                                   void* pointer, size_t size, cl_uint waits,
                                   const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kMap, size), blocking, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueSVMMap(queue, blocking, flags, pointer, size, waits,
                                                  wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueSVMUnmap(cl_command_queue queue, void* pointer, cl_uint waits,
                                     const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kUnmap, 0), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueSVMUnmap(queue, pointer, waits, wait_list, where);
                  });
}

cl_int CL_API_CALL clEnqueueSVMMigrateMem(cl_command_queue queue, cl_uint count,
                                          const void** pointers, const size_t* sizes,
                                          cl_mem_migration_flags flags, cl_uint waits,
                                          const cl_event* wait_list, cl_event* event) {
  return Launched(queue, WorkKey(Transfer::kMigrate, count), false, waits, wait_list, event,
                  [&](cl_event* where) {
                    return Next().clEnqueueSVMMigrateMem(queue, count, pointers, sizes, flags,
                                                         waits, wait_list, where);
                  });
}

cl_kernel CL_API_CALL clCreateKernel(cl_program program, const char* name, cl_int* error_ret) {
  const cl_kernel kernel = Next().clCreateKernel(program, name, error_ret);
  if (kernel != nullptr && name != nullptr) NameKernel(kernel, program, name);
  return kernel;
}

cl_int CL_API_CALL clCreateKernelsInProgram(cl_program program, cl_uint room, cl_kernel* kernels,
                                            cl_uint* count) {
  cl_uint made = 0;
  const cl_int error = Next().clCreateKernelsInProgram(program, room, kernels, &made);
  if (count != nullptr) *count = made;
  for (cl_uint i = 0; error == CL_SUCCESS && kernels != nullptr && i < made; ++i) {
    char name[256] = {};
    if (Next().clGetKernelInfo(kernels[i], CL_KERNEL_FUNCTION_NAME, sizeof(name) - 1, name,
                               nullptr) == CL_SUCCESS) {
      NameKernel(kernels[i], program, name);
    }
  }
  return error;
}

cl_kernel CL_API_CALL clCloneKernel(cl_kernel kernel, cl_int* error_ret) {
  const cl_kernel clone = Next().clCloneKernel(kernel, error_ret);
  if (clone != nullptr) CopyKernelName(kernel, clone);
  return clone;
}

}  // namespace het::interpose::hook
