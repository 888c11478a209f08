// Allocating: what every hook that makes a memory object has in common: book, ask the driver, tie
// the bytes to the object's life. A refusal is CL_MEM_OBJECT_ALLOCATION_FAILURE, the driver not
// asked.
#ifndef HET_INTERPOSE_OPENCL_ALLOCATING_H_
#define HET_INTERPOSE_OPENCL_ALLOCATING_H_

#include <cstdint>

#include "interpose/opencl/cl.h"
#include "interpose/opencl/layer.h"

namespace het::interpose {

inline cl_mem FailMemory(cl_int error, cl_int* error_ret) {
  if (error_ret != nullptr) *error_ret = error;
  return nullptr;
}

// Books `bytes`, makes the object with `create(error)`, and ties the bytes to it. `exact`: the
// object takes what was asked for, no more.
template <typename Create>
cl_mem Allocate(uint64_t bytes, bool exact, cl_int* error_ret, Create create) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return FailMemory(CL_INVALID_CONTEXT, error_ret);
  MemoryAccount& memory = layer.memory();
  if (!memory.Reserve(bytes)) return FailMemory(CL_MEM_OBJECT_ALLOCATION_FAILURE, error_ret);
  cl_int error = CL_SUCCESS;
  const cl_mem object = create(&error);
  if (object == nullptr) {
    memory.GiveBack(bytes);
    return FailMemory(error, error_ret);
  }
  if (!memory.Adopt(object, bytes, exact)) {
    return FailMemory(CL_MEM_OBJECT_ALLOCATION_FAILURE, error_ret);
  }
  FailMemory(CL_SUCCESS, error_ret);
  return object;
}

// An object over memory that GL or EGL owns: counted, because the program reaches it through the
// slice. Its size is known only afterwards.
template <typename Create>
cl_mem Import(cl_int* error_ret, Create create) {
  return Allocate(0, false, error_ret, create);
}

}  // namespace het::interpose

#endif  // HET_INTERPOSE_OPENCL_ALLOCATING_H_
