// A run-time compiler's program as the soft NVRTC and hiprtc have it: the text is compiled for
// real, by PoCL, so that a wrong one gets a compiler's log; the code it gives is a ModuleText.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_COMPILER_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_COMPILER_H_

#include <string>
#include <string_view>
#include <vector>

#include "devices/kernels/prelude.h"
#include "tests/soft_drivers/common/module_text.h"
#include "tests/soft_drivers/common/runner.h"

namespace het::soft {

class RtcProgram {
 public:
  // `text` includes the C++ prelude, which the OpenCL one takes the place of.
  explicit RtcProgram(std::string_view text) : text_(text) {
    const std::string_view include = kIncludePrelude;
    const size_t at = text_.find(include);
    if (at != std::string::npos) text_.erase(at, include.size());
  }

  // Of the options only -D counts here.
  bool Compile(int count, const char* const* options) {
    std::string defines = "-DHET_EMULATE_TILES=1 ";  // the soft cards are of kinds that have them
    for (int i = 0; i < count; ++i) {
      if (std::string_view(options[i]).starts_with("-D")) defines += std::string(options[i]) + " ";
    }
    log_.clear();
    code_.clear();
    const auto program = Program::Build(text_, defines, log_);
    if (program == nullptr) return false;
    std::vector<std::string> names;
    for (const KernelShape& kernel : program->kernels()) names.push_back(kernel.name);
    code_ = ModuleText{defines, text_}.Print(names);
    return true;
  }

  const std::string& log() const { return log_; }
  const std::string& code() const { return code_; }

 private:
  std::string text_;
  std::string log_;
  std::string code_;
};

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_COMPILER_H_
