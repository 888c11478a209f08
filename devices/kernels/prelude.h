// The prelude of the portable kernel dialect: the text that goes before a ProgramSource's portable
// text, one for each GPU API. devices/kernels/README.md describes the dialect. Constant data.
#ifndef HET_DEVICES_KERNELS_PRELUDE_H_
#define HET_DEVICES_KERNELS_PRELUDE_H_

#include "absl/strings/string_view.h"

namespace het {

// For clBuildProgram, OpenCL C 1.2 and later.
absl::string_view OpenClPrelude();

// For NVRTC and hiprtc, C++17. It is handed to the compiler as a header, and the program's text
// begins with kIncludePrelude: so the compiler's messages count the lines of the text alone.
absl::string_view CxxPrelude();
inline constexpr char kCxxPreludeName[] = "het_prelude.h";
inline constexpr char kIncludePrelude[] = "#include \"het_prelude.h\"\n#line 1 \"program\"\n";

}  // namespace het

#endif  // HET_DEVICES_KERNELS_PRELUDE_H_
