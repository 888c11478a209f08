// Entry points: every function of OpenCL's dispatch table, and what the layer does with it. Two
// lists, so that a test can compare them with the table in the installed CL/cl_icd.h: a function
// of a later OpenCL that is in neither list fails the test until somebody decides.
//
// hooked: the layer's own function stands in the table (hook::NAME, one per name).
// passed: the driver's function is called directly; the reason stands beside it.
#ifndef HET_INTERPOSE_OPENCL_ENTRY_POINTS_H_
#define HET_INTERPOSE_OPENCL_ENTRY_POINTS_H_

#include "interpose/opencl/cl.h"

// clang-format off
#define HET_LAYER_HOOKED(X)                                                                  \
  /* which device the program sees, and how large it is */                                   \
  X(clGetPlatformIDs) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext)                 \
  X(clCreateContextFromType) X(clRetainDevice) X(clReleaseDevice) X(clCreateSubDevices)       \
  X(clRetainDeviceEXT) X(clReleaseDeviceEXT) X(clCreateSubDevicesEXT)                         \
  X(clGetGLContextInfoKHR)                                                                   \
  /* device memory */                                                                        \
  X(clCreateBuffer) X(clCreateBufferWithProperties) X(clCreateImage)                          \
  X(clCreateImageWithProperties) X(clCreateImage2D) X(clCreateImage3D) X(clCreatePipe)        \
  X(clReleaseMemObject) X(clSVMAlloc) X(clSVMFree) X(clEnqueueSVMFree)                        \
  X(clCreateFromGLBuffer) X(clCreateFromGLTexture) X(clCreateFromGLTexture2D)                 \
  X(clCreateFromGLTexture3D) X(clCreateFromGLRenderbuffer) X(clCreateFromEGLImageKHR)         \
  /* work for the device */                                                                  \
  X(clEnqueueNDRangeKernel) X(clEnqueueTask) X(clEnqueueNativeKernel) X(clEnqueueReadBuffer)  \
  X(clEnqueueWriteBuffer) X(clEnqueueReadBufferRect) X(clEnqueueWriteBufferRect)              \
  X(clEnqueueCopyBuffer) X(clEnqueueCopyBufferRect) X(clEnqueueReadImage)                     \
  X(clEnqueueWriteImage) X(clEnqueueCopyImage) X(clEnqueueCopyImageToBuffer)                  \
  X(clEnqueueCopyBufferToImage) X(clEnqueueFillBuffer) X(clEnqueueFillImage)                  \
  X(clEnqueueMigrateMemObjects) X(clEnqueueMapBuffer) X(clEnqueueMapImage)                    \
  X(clEnqueueUnmapMemObject) X(clEnqueueSVMMemcpy) X(clEnqueueSVMMemFill) X(clEnqueueSVMMap)  \
  X(clEnqueueSVMUnmap) X(clEnqueueSVMMigrateMem)                                              \
  /* which kernel it is, for estimates */                                                    \
  X(clCreateKernel) X(clCreateKernelsInProgram) X(clCloneKernel)                              \
  /* order, and what waits for what */                                                       \
  X(clCreateCommandQueue) X(clCreateCommandQueueWithProperties) X(clSetCommandQueueProperty)  \
  X(clReleaseCommandQueue) X(clFinish) X(clWaitForEvents) X(clGetEventInfo)                   \
  X(clSetEventCallback) X(clCreateUserEvent) X(clSetUserEventStatus) X(clEnqueueMarker)       \
  X(clEnqueueMarkerWithWaitList) X(clEnqueueBarrier) X(clEnqueueBarrierWithWaitList)          \
  X(clEnqueueWaitForEvents)                                                                  \
  /* extension entry points launch and allocate too */                                       \
  X(clGetExtensionFunctionAddress) X(clGetExtensionFunctionAddressForPlatform)

#define HET_LAYER_PASSED(X)                                                                  \
  X(clGetPlatformInfo, "says nothing of the slice")                                          \
  X(clRetainContext, "a context's devices were chosen when it was made")                     \
  X(clReleaseContext, "memory objects tell themselves when they go")                         \
  X(clGetContextInfo, "its devices are the slice's")                                         \
  X(clSetContextDestructorCallback, "neither launches nor allocates on the device")          \
  X(clRetainCommandQueue, "the queue stays what it is")                                      \
  X(clGetCommandQueueInfo, "says nothing of the slice")                                      \
  X(clSetDefaultDeviceCommandQueue, "launches from the device end with the kernel's turn")   \
  X(clCreateSubBuffer, "a part of a buffer that is booked, and keeps it")                    \
  X(clRetainMemObject, "the destructor callback counts the end, not the references")         \
  X(clSetMemObjectDestructorCallback, "the program's own, beside the layer's")               \
  X(clGetSupportedImageFormats, "says nothing of the slice")                                 \
  X(clGetMemObjectInfo, "says nothing of the slice")                                         \
  X(clGetImageInfo, "says nothing of the slice")                                             \
  X(clGetPipeInfo, "says nothing of the slice")                                              \
  X(clCreateSampler, "no device memory to speak of")                                         \
  X(clCreateSamplerWithProperties, "no device memory to speak of")                           \
  X(clRetainSampler, "no device memory to speak of")                                         \
  X(clReleaseSampler, "no device memory to speak of")                                        \
  X(clGetSamplerInfo, "no device memory to speak of")                                        \
  X(clCreateProgramWithSource, "the compiler is the host's work")                            \
  X(clCreateProgramWithBinary, "the compiler is the host's work")                            \
  X(clCreateProgramWithIL, "the compiler is the host's work")                                \
  X(clCreateProgramWithBuiltInKernels, "its kernels are launched like others")               \
  X(clRetainProgram, "the compiler is the host's work")                                      \
  X(clReleaseProgram, "the compiler is the host's work")                                     \
  X(clBuildProgram, "the compiler is the host's work")                                       \
  X(clCompileProgram, "the compiler is the host's work")                                     \
  X(clLinkProgram, "the compiler is the host's work")                                        \
  X(clSetProgramReleaseCallback, "the compiler is the host's work")                          \
  X(clSetProgramSpecializationConstant, "the compiler is the host's work")                   \
  X(clUnloadCompiler, "the compiler is the host's work")                                     \
  X(clUnloadPlatformCompiler, "the compiler is the host's work")                             \
  X(clGetProgramInfo, "says nothing of the slice")                                           \
  X(clGetProgramBuildInfo, "says nothing of the slice")                                      \
  X(clRetainKernel, "the kernel stays what it is")                                           \
  X(clReleaseKernel, "its name is overwritten when the handle is used again")                \
  X(clSetKernelArg, "memory is used when it is launched")                                    \
  X(clSetKernelArgSVMPointer, "memory is used when it is launched")                          \
  X(clSetKernelExecInfo, "memory is used when it is launched")                               \
  X(clGetKernelInfo, "says nothing of the slice")                                            \
  X(clGetKernelArgInfo, "says nothing of the slice")                                         \
  X(clGetKernelWorkGroupInfo, "says nothing of the slice")                                   \
  X(clGetKernelSubGroupInfo, "says nothing of the slice")                                    \
  X(clGetKernelSubGroupInfoKHR, "says nothing of the slice")                                 \
  X(clRetainEvent, "an event stays what it is")                                              \
  X(clReleaseEvent, "one that work waits for is retained")                                   \
  X(clGetEventProfilingInfo, "the driver's own times, waiting included")                     \
  X(clFlush, "no launch; a turn ends by itself")                                             \
  X(clGetDeviceAndHostTimer, "reads a clock")                                                \
  X(clGetHostTimer, "reads a clock")                                                         \
  X(clGetGLObjectInfo, "says nothing of the slice")                                          \
  X(clGetGLTextureInfo, "says nothing of the slice")                                         \
  X(clEnqueueAcquireGLObjects, "a hand-over between APIs; what GL does is not arbitrated")   \
  X(clEnqueueReleaseGLObjects, "a hand-over between APIs; what GL does is not arbitrated")   \
  X(clCreateEventFromGLsyncKHR, "GL's fence; work that waits for it holds its turn")         \
  X(clEnqueueAcquireEGLObjectsKHR, "a hand-over between APIs")                               \
  X(clEnqueueReleaseEGLObjectsKHR, "a hand-over between APIs")                               \
  X(clCreateEventFromEGLSyncKHR, "EGL's fence; work that waits for it holds its turn")       \
  X(clGetDeviceIDsFromD3D10KHR, "Windows only")                                              \
  X(clCreateFromD3D10BufferKHR, "Windows only")                                              \
  X(clCreateFromD3D10Texture2DKHR, "Windows only")                                           \
  X(clCreateFromD3D10Texture3DKHR, "Windows only")                                           \
  X(clEnqueueAcquireD3D10ObjectsKHR, "Windows only")                                         \
  X(clEnqueueReleaseD3D10ObjectsKHR, "Windows only")                                         \
  X(clGetDeviceIDsFromD3D11KHR, "Windows only")                                              \
  X(clCreateFromD3D11BufferKHR, "Windows only")                                              \
  X(clCreateFromD3D11Texture2DKHR, "Windows only")                                           \
  X(clCreateFromD3D11Texture3DKHR, "Windows only")                                           \
  X(clCreateFromDX9MediaSurfaceKHR, "Windows only")                                          \
  X(clEnqueueAcquireD3D11ObjectsKHR, "Windows only")                                         \
  X(clEnqueueReleaseD3D11ObjectsKHR, "Windows only")                                         \
  X(clGetDeviceIDsFromDX9MediaAdapterKHR, "Windows only")                                    \
  X(clEnqueueAcquireDX9MediaSurfacesKHR, "Windows only")                                     \
  X(clEnqueueReleaseDX9MediaSurfacesKHR, "Windows only")
// clang-format on

#endif  // HET_INTERPOSE_OPENCL_ENTRY_POINTS_H_
