#include "devices/hip/compile.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "devices/kernels/prelude.h"

namespace het::hip {
namespace {

// Deletes the program in the end.
class Program {
 public:
  Program(const Hiprtc& hiprtc, hiprtcProgram handle) : hiprtc_(hiprtc), handle_(handle) {}
  ~Program() { hiprtc_.hiprtcDestroyProgram(&handle_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  hiprtcProgram handle() const { return handle_; }

  std::string Text(hiprtcResult (*size)(hiprtcProgram, size_t*),
                   hiprtcResult (*get)(hiprtcProgram, char*)) const {
    size_t bytes = 0;
    if (size(handle_, &bytes) != HIPRTC_SUCCESS || bytes == 0) return "";
    std::string text(bytes, '\0');
    return get(handle_, text.data()) == HIPRTC_SUCCESS ? text : "";
  }

 private:
  const Hiprtc& hiprtc_;
  hiprtcProgram handle_;
};

}  // namespace

std::vector<std::string> CodeEntries(absl::string_view code) {
  constexpr absl::string_view kSuffix(".kd\0", 4);
  std::vector<std::string> names;
  for (size_t at = code.find(kSuffix); at != absl::string_view::npos;
       at = code.find(kSuffix, at + 1)) {
    size_t begin = at;
    while (begin > 0 && (absl::ascii_isalnum(static_cast<unsigned char>(code[begin - 1])) ||
                         code[begin - 1] == '_' || code[begin - 1] == '$')) {
      --begin;
    }
    std::string name(code.substr(begin, at - begin));
    // The name stands in two string tables and in the metadata.
    if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(std::move(name));
  }
  return names;
}

absl::StatusOr<streams::Code> CompileProgram(const Hiprtc& hiprtc, const ProgramSource& source,
                                             absl::string_view architecture,
                                             absl::string_view device) {
  const std::string text = kIncludePrelude + source.portable;
  const std::string prelude(CxxPrelude());
  const char* header = prelude.c_str();
  const char* header_name = kCxxPreludeName;
  hiprtcProgram handle = nullptr;
  hiprtcResult error = hiprtc.hiprtcCreateProgram(&handle, text.c_str(), source.name.c_str(), 1,
                                                  &header, &header_name);
  if (error != HIPRTC_SUCCESS) {
    return absl::InternalError(absl::StrCat("program ", source.name, ": ", hiprtc.library, ": ",
                                            hiprtc.hiprtcGetErrorString(error)));
  }
  const Program program(hiprtc, handle);
  std::vector<std::string> options = {"-std=c++17", "-O3"};
  if (!architecture.empty()) {
    options.push_back(absl::StrCat("--gpu-architecture=", architecture));
  }
  for (absl::string_view option : absl::StrSplit(source.options, ' ', absl::SkipEmpty())) {
    options.emplace_back(option);
  }
  std::vector<const char*> pointers;
  for (const std::string& option : options) pointers.push_back(option.c_str());
  error = hiprtc.hiprtcCompileProgram(program.handle(), static_cast<int>(pointers.size()),
                                      pointers.data());
  if (error != HIPRTC_SUCCESS) {
    const std::string log =
        program.Text(hiprtc.hiprtcGetProgramLogSize, hiprtc.hiprtcGetProgramLog);
    return absl::InvalidArgumentError(absl::StrCat(
        "program ", source.name, " does not build for ", device, " (", hiprtc.library, ": ",
        hiprtc.hiprtcGetErrorString(error), "):\n", absl::StripAsciiWhitespace(log.c_str())));
  }
  streams::Code code;
  code.image = program.Text(hiprtc.hiprtcGetCodeSize, hiprtc.hiprtcGetCode);
  code.kernels = CodeEntries(code.image);
  return code;
}

}  // namespace het::hip
