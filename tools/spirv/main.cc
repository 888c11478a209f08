// het-spirv: makes SPIR-V modules of portable kernels at build time, into the folder where the
// Level Zero backend looks for them.
//
//   het-spirv --out DIR [--options "-DX=1"] FILE...   each FILE is the text of one program
//   het-spirv --out DIR --yardstick                   the kernels that het-probe measures with
//   het-spirv --check                                 0 when clang and llvm-spirv are there
#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/files.h"
#include "base/status.h"
#include "devices/spirv/modules.h"
#include "tools/probe/yardstick.h"

namespace het {
namespace {

absl::Status Make(const std::string& folder, const std::string& text, const std::string& options) {
  HET_ASSIGN_OR_RETURN(const std::string module, spirv::Compile(text, options));
  return spirv::Store(folder, text, options, module);
}

int Fail(const absl::Status& status, const std::string& what) {
  std::fprintf(stderr, "het-spirv: %s: %s\n", what.c_str(), std::string(status.message()).c_str());
  return 1;
}

int Main(int argc, char** argv) {
  std::string folder, options;
  std::vector<std::string> files;
  bool yardstick = false, check = false;
  CLI::App app("Makes SPIR-V modules of portable kernels");
  app.add_option("--out", folder, "where they go");
  app.add_option("--options", options, "-D options they are built with");
  app.add_option("FILE", files, "texts of programs")->check(CLI::ExistingFile);
  app.add_flag("--yardstick", yardstick, "the kernels that het-probe measures with");
  app.add_flag("--check", check, "only say whether the tools are there");
  CLI11_PARSE(app, argc, argv);
  if (check) return spirv::Compile("", "").ok() ? 0 : 1;
  if (folder.empty()) return Fail(absl::InvalidArgumentError("no --out"), "usage");
  if (yardstick) {
    if (const absl::Status made = Make(folder, probe::YardstickSource(), options); !made.ok()) {
      return Fail(made, "yardstick");
    }
  }
  for (const std::string& file : files) {
    const auto text = ReadFile(file);
    const absl::Status made = text.ok() ? Make(folder, *text, options) : text.status();
    if (!made.ok()) return Fail(made, file);
  }
  return 0;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) { return het::Main(argc, argv); }
