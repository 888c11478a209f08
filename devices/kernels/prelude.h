// The prelude of the portable kernel dialect: the text that goes before a ProgramSource's portable
// text, one for each GPU API. devices/kernels/README.md describes the dialect. Constant data.
#ifndef HET_DEVICES_KERNELS_PRELUDE_H_
#define HET_DEVICES_KERNELS_PRELUDE_H_

#include "absl/strings/string_view.h"

namespace het {

// For clBuildProgram, OpenCL C 1.2 and later.
absl::string_view OpenClPrelude();

}  // namespace het

#endif  // HET_DEVICES_KERNELS_PRELUDE_H_
