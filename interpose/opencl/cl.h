// All of OpenCL's declarations as the layer needs them: version 3.0, the deprecated functions (old
// programs call them), and the layer interface.
#ifndef HET_INTERPOSE_OPENCL_CL_H_
#define HET_INTERPOSE_OPENCL_CL_H_

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_0_APIS
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#define CL_USE_DEPRECATED_OPENCL_2_0_APIS
#define CL_USE_DEPRECATED_OPENCL_2_1_APIS
#define CL_USE_DEPRECATED_OPENCL_2_2_APIS
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_icd.h>
#include <CL/cl_layer.h>

#endif  // HET_INTERPOSE_OPENCL_CL_H_
