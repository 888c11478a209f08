// What the soft NVRTC and hiprtc hand to the soft drivers in place of PTX, CUBIN and code objects:
// a text that carries the portable source and its options through. It begins with the entry points
// as PTX has them.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_MODULE_TEXT_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_MODULE_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

namespace het::soft {

struct ModuleText {
  std::string options;
  std::string portable;

  std::string Print(const std::vector<std::string>& kernels) const {
    std::string text = std::string(kMark) + "\n";
    for (const std::string& kernel : kernels) text += "// .visible .entry " + kernel + "(\n";
    text += kOptions;
    text += options + "\n";
    text += kSource;
    return text + portable;
  }

  // False: it is something else.
  bool Parse(std::string_view text) {
    if (!text.starts_with(kMark)) return false;
    const size_t at = text.find(kOptions), source = text.find(kSource);
    if (at == std::string_view::npos || source == std::string_view::npos) return false;
    const size_t begin = at + kOptions.size();
    options = text.substr(begin, text.find('\n', begin) - begin);
    portable = text.substr(source + kSource.size());
    return true;
  }

 private:
  static constexpr std::string_view kMark = "// soft code for PoCL";
  static constexpr std::string_view kOptions = "// options: ";
  static constexpr std::string_view kSource = "// source:\n";
};

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_MODULE_TEXT_H_
