// Extension entry points.
#include "interpose/opencl/hooks.h"
#include "interpose/opencl/layer.h"

namespace het::interpose::hook {

void* ExtensionHook(const char* name, void* drivers_own) {
  (void)name;
  return drivers_own;
}

void* CL_API_CALL clGetExtensionFunctionAddress(const char* name) {
  return ExtensionHook(name, Layer::Get()->next().clGetExtensionFunctionAddress(name));
}

void* CL_API_CALL clGetExtensionFunctionAddressForPlatform(cl_platform_id platform,
                                                           const char* name) {
  return ExtensionHook(
      name, Layer::Get()->next().clGetExtensionFunctionAddressForPlatform(platform, name));
}

}  // namespace het::interpose::hook
