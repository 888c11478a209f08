#include "devices/cuda/compile.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "devices/kernels/prelude.h"

namespace het::cuda {
namespace {

// Deletes the program in the end.
class Program {
 public:
  Program(const Nvrtc& nvrtc, nvrtcProgram handle) : nvrtc_(nvrtc), handle_(handle) {}
  ~Program() { nvrtc_.nvrtcDestroyProgram(&handle_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  nvrtcProgram handle() const { return handle_; }

  using Size = nvrtcResult (*)(nvrtcProgram, size_t*);
  using Get = nvrtcResult (*)(nvrtcProgram, char*);
  // One of the program's texts; empty where it has none.
  std::string Text(Size size, Get get) const {
    size_t bytes = 0;
    if (size(handle_, &bytes) != NVRTC_SUCCESS || bytes == 0) return "";
    std::string text(bytes, '\0');
    return get(handle_, text.data()) == NVRTC_SUCCESS ? text : "";
  }

 private:
  const Nvrtc& nvrtc_;
  nvrtcProgram handle_;
};

// "sm_90" where the compiler knows it, else "compute_<the newest that is older>".
std::string Architecture(const Nvrtc& nvrtc, int capability) {
  int count = 0;
  nvrtc.nvrtcGetNumSupportedArchs(&count);
  std::vector<int> known(std::max(0, count));
  if (count > 0) nvrtc.nvrtcGetSupportedArchs(known.data());
  if (std::find(known.begin(), known.end(), capability) != known.end()) {
    return absl::StrCat("sm_", capability);
  }
  int newest = 0;
  for (int one : known) {
    if (one < capability) newest = std::max(newest, one);
  }
  return newest != 0 ? absl::StrCat("compute_", newest) : absl::StrCat("sm_", capability);
}

}  // namespace

std::vector<std::string> PtxEntries(absl::string_view ptx) {
  constexpr absl::string_view kEntry = ".entry";
  std::vector<std::string> names;
  size_t at = ptx.find(kEntry);
  while (at != absl::string_view::npos) {
    absl::string_view rest = absl::StripLeadingAsciiWhitespace(ptx.substr(at + kEntry.size()));
    const auto end = std::find_if_not(rest.begin(), rest.end(), [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$';
    });
    names.emplace_back(rest.begin(), end);
    at = ptx.find(kEntry, at + kEntry.size());
  }
  return names;
}

absl::StatusOr<streams::Code> CompileProgram(const Nvrtc& nvrtc, const ProgramSource& source,
                                             int capability, absl::string_view device) {
  const std::string text = kIncludePrelude + source.portable;
  const std::string prelude(CxxPrelude());
  const char* header = prelude.c_str();
  const char* header_name = kCxxPreludeName;
  nvrtcProgram handle = nullptr;
  nvrtcResult error = nvrtc.nvrtcCreateProgram(&handle, text.c_str(), source.name.c_str(), 1,
                                               &header, &header_name);
  if (error != NVRTC_SUCCESS) {
    return absl::InternalError(absl::StrCat("program ", source.name, ": ", nvrtc.library, ": ",
                                            nvrtc.nvrtcGetErrorString(error)));
  }
  const Program program(nvrtc, handle);
  std::vector<std::string> options = {
      absl::StrCat("--gpu-architecture=", Architecture(nvrtc, capability)), "--std=c++17"};
  for (absl::string_view option : absl::StrSplit(source.options, ' ', absl::SkipEmpty())) {
    options.emplace_back(option);
  }
  std::vector<const char*> pointers;
  for (const std::string& option : options) pointers.push_back(option.c_str());
  error = nvrtc.nvrtcCompileProgram(program.handle(), static_cast<int>(pointers.size()),
                                    pointers.data());
  if (error != NVRTC_SUCCESS) {
    const std::string log = program.Text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog);
    return absl::InvalidArgumentError(absl::StrCat("program ", source.name, " does not build for ",
                                                   device, " (", nvrtc.library, ", ", options[0],
                                                   ": ", nvrtc.nvrtcGetErrorString(error), "):\n",
                                                   absl::StripAsciiWhitespace(log.c_str())));
  }
  streams::Code code;
  const std::string ptx = program.Text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX);
  code.kernels = PtxEntries(ptx);
  code.image = program.Text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN);
  if (code.image.empty()) code.image = ptx;
  return code;
}

}  // namespace het::cuda
