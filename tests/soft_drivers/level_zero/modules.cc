// Modules and kernels: a SPIR-V module of het's says by its key which text it was made from, and
// PoCL, which takes no SPIR-V, builds that text.
#include "devices/spirv/modules.h"

#include <cstring>

#include "tests/soft_drivers/level_zero/state.h"

namespace het::soft::ze {
namespace {

Module& Of(ze_module_handle_t handle) { return *reinterpret_cast<Module*>(handle); }
Kernel& Of(ze_kernel_handle_t handle) { return *reinterpret_cast<Kernel*>(handle); }

ze_result_t CreateModule(ze_context_handle_t, ze_device_handle_t device,
                         const ze_module_desc_t* desc, ze_module_handle_t* module,
                         ze_module_build_log_handle_t* log) {
  const Device& own = *reinterpret_cast<Device*>(device);
  if (const ze_result_t due = Due("zeModuleCreate", own.card)) return due;
  if (desc->format != ZE_MODULE_FORMAT_IL_SPIRV || CardAt(own.card).npu) {
    return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
  }
  std::string text;
  std::shared_ptr<const Program> program;
  const auto source =
      spirv::SourceOf({reinterpret_cast<const char*>(desc->pInputModule), desc->inputSize});
  if (TheSettings().Text("modules", "", own.card) == "refused") {
    text = "soft driver: refused by its settings";
  } else if (source.ok()) {
    program = Program::Build(source->text, source->options, text);
  } else {
    text = std::string(source.status().message());
  }
  if (log != nullptr) {
    *log = reinterpret_cast<ze_module_build_log_handle_t>(new BuildLog{text});
  }
  if (program == nullptr) return ZE_RESULT_ERROR_MODULE_BUILD_FAILURE;
  *module = reinterpret_cast<ze_module_handle_t>(new Module{own, std::move(program)});
  return ZE_RESULT_SUCCESS;
}

ze_result_t DestroyModule(ze_module_handle_t module) {
  delete &Of(module);
  return ZE_RESULT_SUCCESS;
}

ze_result_t LogString(ze_module_build_log_handle_t log, size_t* bytes, char* text) {
  const std::string& own = reinterpret_cast<BuildLog*>(log)->text;
  if (text != nullptr) memcpy(text, own.c_str(), std::min(*bytes, own.size() + 1));
  *bytes = own.size() + 1;
  return ZE_RESULT_SUCCESS;
}

ze_result_t DestroyLog(ze_module_build_log_handle_t log) {
  delete reinterpret_cast<BuildLog*>(log);
  return ZE_RESULT_SUCCESS;
}

ze_result_t CreateKernel(ze_module_handle_t module, const ze_kernel_desc_t* desc,
                         ze_kernel_handle_t* kernel) {
  const KernelShape* shape = Of(module).program->Find(desc->pKernelName);
  if (shape == nullptr) return ZE_RESULT_ERROR_INVALID_KERNEL_NAME;
  auto* made = new Kernel;
  made->module = &Of(module);
  made->shape = shape;
  made->arguments.resize(shape->OffsetOf(shape->arguments.size()));
  *kernel = reinterpret_cast<ze_kernel_handle_t>(made);
  return ZE_RESULT_SUCCESS;
}

ze_result_t DestroyKernel(ze_kernel_handle_t kernel) {
  delete &Of(kernel);
  return ZE_RESULT_SUCCESS;
}

ze_result_t KernelProperties(ze_kernel_handle_t kernel, ze_kernel_properties_t* properties) {
  properties->numKernelArgs = static_cast<uint32_t>(Of(kernel).shape->arguments.size());
  return ZE_RESULT_SUCCESS;
}

ze_result_t SetGroupSize(ze_kernel_handle_t kernel, uint32_t x, uint32_t y, uint32_t z) {
  if (x == 0 || y == 0 || z == 0 || uint64_t{x} * y * z > 1024) {
    return ZE_RESULT_ERROR_INVALID_GROUP_SIZE_DIMENSION;
  }
  Of(kernel).group_size[0] = x;
  Of(kernel).group_size[1] = y;
  Of(kernel).group_size[2] = z;
  return ZE_RESULT_SUCCESS;
}

ze_result_t SetArgument(ze_kernel_handle_t handle, uint32_t index, size_t bytes,
                        const void* value) {
  Kernel& kernel = Of(handle);
  if (index >= kernel.shape->arguments.size()) {
    return ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_INDEX;
  }
  const ArgumentShape& shape = kernel.shape->arguments[index];
  if (bytes != shape.bytes) return ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_SIZE;
  memcpy(kernel.arguments.data() + kernel.shape->OffsetOf(index), value, bytes);
  return ZE_RESULT_SUCCESS;
}

}  // namespace

void FillModules(ze_module_dditable_t& modules, ze_module_build_log_dditable_t& logs,
                 ze_kernel_dditable_t& kernels) {
  modules.pfnCreate = CreateModule;
  modules.pfnDestroy = DestroyModule;
  logs.pfnGetString = LogString;
  logs.pfnDestroy = DestroyLog;
  kernels.pfnCreate = CreateKernel;
  kernels.pfnDestroy = DestroyKernel;
  kernels.pfnGetProperties = KernelProperties;
  kernels.pfnSetGroupSize = SetGroupSize;
  kernels.pfnSetArgumentValue = SetArgument;
}

}  // namespace het::soft::ze
