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

#define HET_LAYER_PASSED(X)
// clang-format on

#endif  // HET_INTERPOSE_OPENCL_ENTRY_POINTS_H_
