// Hooks: the layer's functions in place of OpenCL's, one per name in HET_LAYER_HOOKED, declared
// with the type that the dispatch table has for it. They keep OpenCL's contract for the program:
// every error is one that the specification allows for that function.
#ifndef HET_INTERPOSE_OPENCL_HOOKS_H_
#define HET_INTERPOSE_OPENCL_HOOKS_H_

#include <type_traits>

#include "interpose/opencl/cl.h"
#include "interpose/opencl/entry_points.h"

namespace het::interpose::hook {

#define HET_LAYER_DECLARE(name) std::remove_pointer_t<decltype(cl_icd_dispatch::name)> name;
HET_LAYER_HOOKED(HET_LAYER_DECLARE)
#undef HET_LAYER_DECLARE

// The layer's function for an extension's entry point, or null when the layer does not know it.
void* ExtensionHook(const char* name, void* drivers_own);

}  // namespace het::interpose::hook

#endif  // HET_INTERPOSE_OPENCL_HOOKS_H_
