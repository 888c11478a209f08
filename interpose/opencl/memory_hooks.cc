// Every function that makes or frees device memory. The bytes are booked in the lease first; what
// the lease has no room for is CL_MEM_OBJECT_ALLOCATION_FAILURE (SVM: a null pointer), and the
// driver is not asked.
#include <algorithm>
#include <vector>

#include "interpose/opencl/allocating.h"
#include "interpose/opencl/hooks.h"
#include "interpose/opencl/layer.h"

namespace het::interpose::hook {
namespace {

cl_image_desc Description(cl_mem_object_type type, size_t width, size_t height, size_t depth) {
  cl_image_desc description = {};
  description.image_type = type;
  description.image_width = width;
  description.image_height = height;
  description.image_depth = depth;
  return description;
}

}  // namespace

cl_mem CL_API_CALL clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size,
                                  void* host_ptr, cl_int* error_ret) {
  return Allocate(size, true, error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateBuffer(context, flags, size, host_ptr, error);
  });
}

cl_mem CL_API_CALL clCreateBufferWithProperties(cl_context context,
                                                const cl_mem_properties* properties,
                                                cl_mem_flags flags, size_t size, void* host_ptr,
                                                cl_int* error_ret) {
  return Allocate(size, false, error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateBufferWithProperties(context, properties, flags, size,
                                                             host_ptr, error);
  });
}

cl_mem CL_API_CALL clCreateImage(cl_context context, cl_mem_flags flags,
                                 const cl_image_format* format, const cl_image_desc* description,
                                 void* host_ptr, cl_int* error_ret) {
  const auto create = [&](cl_int* error) {
    return Layer::Get()->next().clCreateImage(context, flags, format, description, host_ptr, error);
  };
  // An image over another object's memory takes none of its own.
  const bool shares = description != nullptr && description->mem_object != nullptr;
  return Allocate(ImageBytes(format, description), shares, error_ret, create);
}

cl_mem CL_API_CALL clCreateImageWithProperties(cl_context context,
                                               const cl_mem_properties* properties,
                                               cl_mem_flags flags, const cl_image_format* format,
                                               const cl_image_desc* description, void* host_ptr,
                                               cl_int* error_ret) {
  const bool shares = description != nullptr && description->mem_object != nullptr;
  return Allocate(ImageBytes(format, description), shares, error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateImageWithProperties(context, properties, flags, format,
                                                            description, host_ptr, error);
  });
}

cl_mem CL_API_CALL clCreateImage2D(cl_context context, cl_mem_flags flags,
                                   const cl_image_format* format, size_t width, size_t height,
                                   size_t row_pitch, void* host_ptr, cl_int* error_ret) {
  const cl_image_desc description = Description(CL_MEM_OBJECT_IMAGE2D, width, height, 1);
  return Allocate(ImageBytes(format, &description), false, error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateImage2D(context, flags, format, width, height, row_pitch,
                                                host_ptr, error);
  });
}

cl_mem CL_API_CALL clCreateImage3D(cl_context context, cl_mem_flags flags,
                                   const cl_image_format* format, size_t width, size_t height,
                                   size_t depth, size_t row_pitch, size_t slice_pitch,
                                   void* host_ptr, cl_int* error_ret) {
  const cl_image_desc description = Description(CL_MEM_OBJECT_IMAGE3D, width, height, depth);
  return Allocate(ImageBytes(format, &description), false, error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateImage3D(context, flags, format, width, height, depth,
                                                row_pitch, slice_pitch, host_ptr, error);
  });
}

cl_mem CL_API_CALL clCreatePipe(cl_context context, cl_mem_flags flags, cl_uint packet_size,
                                cl_uint most_packets, const cl_pipe_properties* properties,
                                cl_int* error_ret) {
  return Allocate(uint64_t{packet_size} * most_packets, false, error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreatePipe(context, flags, packet_size, most_packets, properties,
                                             error);
  });
}

cl_int CL_API_CALL clReleaseMemObject(cl_mem object) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return CL_INVALID_MEM_OBJECT;
  return layer.memory().Release(object);
}

void* CL_API_CALL clSVMAlloc(cl_context context, cl_svm_mem_flags flags, size_t size,
                             cl_uint alignment) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr || !layer.memory().Reserve(size)) return nullptr;
  void* pointer = layer.next().clSVMAlloc(context, flags, size, alignment);
  if (pointer == nullptr) {
    layer.memory().GiveBack(size);
  } else {
    layer.memory().AdoptPointer(pointer, size);
  }
  return pointer;
}

void CL_API_CALL clSVMFree(cl_context context, void* pointer) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return;
  // Forgotten first: once it is free, another thread may be given the same address.
  const uint64_t bytes = layer.memory().ForgetPointer(pointer);
  layer.next().clSVMFree(context, pointer);
  layer.memory().GiveBack(bytes);
}

// With a function of the program's own to free them, that one comes back through clSVMFree.
// Without one the driver frees the pointers when the command runs.
cl_int CL_API_CALL clEnqueueSVMFree(cl_command_queue queue, cl_uint count, void** pointers,
                                    void(CL_CALLBACK* free_function)(cl_command_queue, cl_uint,
                                                                     void**, void*),
                                    void* user_data, cl_uint waits, const cl_event* wait_list,
                                    cl_event* event) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return CL_INVALID_COMMAND_QUEUE;
  const cl_icd_dispatch& next = layer.next();
  if (free_function != nullptr || pointers == nullptr) {
    return next.clEnqueueSVMFree(queue, count, pointers, free_function, user_data, waits, wait_list,
                                 event);
  }
  MemoryAccount& memory = layer.memory();
  std::vector<uint64_t> each(count);
  uint64_t bytes = 0;
  for (cl_uint i = 0; i < count; ++i) bytes += each[i] = memory.ForgetPointer(pointers[i]);
  cl_event done = nullptr;
  const cl_int error =
      next.clEnqueueSVMFree(queue, count, pointers, nullptr, nullptr, waits, wait_list, &done);
  if (error != CL_SUCCESS) {
    for (cl_uint i = 0; i < count; ++i) {
      if (each[i] > 0) memory.AdoptPointer(pointers[i], each[i]);
    }
    return error;
  }
  auto* freed = new uint64_t(bytes);
  const auto give_back = [](cl_event, cl_int, void* of) {
    const uint64_t* bytes = static_cast<uint64_t*>(of);
    Layer::Get()->memory().GiveBack(*bytes);
    delete bytes;
  };
  // Without a callback the bytes stay booked until the program ends.
  if (next.clSetEventCallback(done, CL_COMPLETE, give_back, freed) != CL_SUCCESS) delete freed;
  if (event != nullptr) {
    *event = done;
  } else {
    next.clReleaseEvent(done);
  }
  return CL_SUCCESS;
}

cl_mem CL_API_CALL clCreateFromGLBuffer(cl_context context, cl_mem_flags flags, cl_GLuint object,
                                        cl_int* error_ret) {
  return Import(error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateFromGLBuffer(context, flags, object, error);
  });
}

cl_mem CL_API_CALL clCreateFromGLTexture(cl_context context, cl_mem_flags flags, cl_GLenum target,
                                         cl_GLint level, cl_GLuint texture, cl_int* error_ret) {
  return Import(error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateFromGLTexture(context, flags, target, level, texture,
                                                      error);
  });
}

cl_mem CL_API_CALL clCreateFromGLTexture2D(cl_context context, cl_mem_flags flags, cl_GLenum target,
                                           cl_GLint level, cl_GLuint texture, cl_int* error_ret) {
  return Import(error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateFromGLTexture2D(context, flags, target, level, texture,
                                                        error);
  });
}

cl_mem CL_API_CALL clCreateFromGLTexture3D(cl_context context, cl_mem_flags flags, cl_GLenum target,
                                           cl_GLint level, cl_GLuint texture, cl_int* error_ret) {
  return Import(error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateFromGLTexture3D(context, flags, target, level, texture,
                                                        error);
  });
}

cl_mem CL_API_CALL clCreateFromGLRenderbuffer(cl_context context, cl_mem_flags flags,
                                              cl_GLuint renderbuffer, cl_int* error_ret) {
  return Import(error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateFromGLRenderbuffer(context, flags, renderbuffer, error);
  });
}

cl_mem CL_API_CALL clCreateFromEGLImageKHR(cl_context context, CLeglDisplayKHR display,
                                           CLeglImageKHR image, cl_mem_flags flags,
                                           const cl_egl_image_properties_khr* properties,
                                           cl_int* error_ret) {
  return Import(error_ret, [&](cl_int* error) {
    return Layer::Get()->next().clCreateFromEGLImageKHR(context, display, image, flags, properties,
                                                        error);
  });
}

}  // namespace het::interpose::hook
