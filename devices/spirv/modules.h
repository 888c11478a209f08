// Modules: portable kernels as SPIR-V, for drivers that take no source text. A module is made from
// the OpenCL prelude, a program's text and its -D options by clang and llvm-spirv, and is known by
// a key over these three, which also stands inside it (an OpSourceExtension), so that a module says
// what it was made from.
//
// Modules are made at build time (tools/spirv) into lib/het/spirv beside the programs: <key>.spv,
// with the text as <key>.cl. What is not there is made at run time where the two tools are
// installed, and kept in the user's cache.
//
// Threads: all functions may be called from any thread, and processes may race for the cache.
#ifndef HET_DEVICES_SPIRV_MODULES_H_
#define HET_DEVICES_SPIRV_MODULES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace het::spirv {

// 32 hexadecimal digits.
std::string KeyOf(absl::string_view text, absl::string_view options);

// The module of that text: found, or made now. InvalidArgument with the compiler's log when the
// text does not build; Unavailable, naming what to install, when it is not there and cannot be
// made.
absl::StatusOr<std::string> ModuleFor(absl::string_view text, absl::string_view options);

// Makes it, whether it is there or not. Errors as above.
absl::StatusOr<std::string> Compile(absl::string_view text, absl::string_view options);

// Writes <key>.spv and <key>.cl into `folder`.
absl::Status Store(const std::string& folder, absl::string_view text, absl::string_view options,
                   absl::string_view module);

// Where modules are looked for, in order: $HET_SPIRV_DIR, lib/het/spirv beside the program or
// libhet, and the user's cache (the last; empty where there is no home).
std::vector<std::string> Folders();

// Text and options a module was made from, found by the key inside it in Folders(). NotFound for a
// module that is not het's.
struct Source {
  std::string text;
  std::string options;
};
absl::StatusOr<Source> SourceOf(absl::string_view module);

// Names of the entry points; InvalidArgument for what is no SPIR-V.
absl::StatusOr<std::vector<std::string>> EntryPoints(absl::string_view module);

}  // namespace het::spirv

#endif  // HET_DEVICES_SPIRV_MODULES_H_
