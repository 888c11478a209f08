// The soft libnvrtc.so.13: NVRTC's entry points over PoCL's compiler.
#include <cstring>
#include <memory>

#include "devices/cuda/abi.h"
#include "tests/soft_drivers/common/compiler.h"

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::cuda {

struct nvrtcProgramOpaque {
  explicit nvrtcProgramOpaque(const char* text) : program(text) {}
  soft::RtcProgram program;
};

#define HET_DECLARE(name, result, arguments) HET_EXPORT result name arguments;
HET_NVRTC_REQUIRED(HET_DECLARE)
#undef HET_DECLARE

namespace {

nvrtcResult Size(const std::string& text, size_t* bytes) {
  *bytes = text.empty() ? 0 : text.size() + 1;
  return NVRTC_SUCCESS;
}
nvrtcResult Copy(const std::string& text, char* to) {
  std::memcpy(to, text.c_str(), text.size() + 1);
  return NVRTC_SUCCESS;
}

}  // namespace

HET_EXPORT nvrtcResult nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return NVRTC_SUCCESS;
}
HET_EXPORT const char* nvrtcGetErrorString(nvrtcResult error) {
  return error == NVRTC_SUCCESS             ? "NVRTC_SUCCESS"
         : error == NVRTC_ERROR_COMPILATION ? "NVRTC_ERROR_COMPILATION"
                                            : "NVRTC error";
}
HET_EXPORT nvrtcResult nvrtcGetNumSupportedArchs(int* count) {
  *count = 2;
  return NVRTC_SUCCESS;
}
HET_EXPORT nvrtcResult nvrtcGetSupportedArchs(int* architectures) {
  architectures[0] = 80;
  architectures[1] = 90;
  return NVRTC_SUCCESS;
}
HET_EXPORT nvrtcResult nvrtcCreateProgram(nvrtcProgram* program, const char* text, const char*, int,
                                          const char* const*, const char* const*) {
  *program = new nvrtcProgramOpaque(text);
  return NVRTC_SUCCESS;
}
HET_EXPORT nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
  delete *program;
  *program = nullptr;
  return NVRTC_SUCCESS;
}
HET_EXPORT nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int count,
                                           const char* const* options) {
  return program->program.Compile(count, options) ? NVRTC_SUCCESS : NVRTC_ERROR_COMPILATION;
}
HET_EXPORT nvrtcResult nvrtcGetPTXSize(nvrtcProgram program, size_t* bytes) {
  return Size(program->program.code(), bytes);
}
HET_EXPORT nvrtcResult nvrtcGetPTX(nvrtcProgram program, char* text) {
  return Copy(program->program.code(), text);
}
HET_EXPORT nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, size_t* bytes) {
  return Size(program->program.code(), bytes);
}
HET_EXPORT nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* image) {
  return Copy(program->program.code(), image);
}
HET_EXPORT nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram program, size_t* bytes) {
  return Size(program->program.log(), bytes);
}
HET_EXPORT nvrtcResult nvrtcGetProgramLog(nvrtcProgram program, char* log) {
  return Copy(program->program.log(), log);
}

}  // namespace het::cuda
