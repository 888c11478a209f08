// Forwarders: entry points of a library that a shadow stands before and hands on as they are. Each
// is a jump through a pointer (het_slot_NAME), so that arguments of every number and kind go
// through without being known. The shadow fills the pointers when it is loaded.
#ifndef HET_INTERPOSE_FORWARDER_H_
#define HET_INTERPOSE_FORWARDER_H_

#include <string>

#include "absl/status/statusor.h"

// At namespace scope, once per name and library.
#define HET_FORWARDER(name)                                                     \
  extern "C" {                                                                  \
  __attribute__((used, visibility("hidden"))) void* het_slot_##name = nullptr;  \
  }                                                                             \
  asm(".text\n.globl " #name "\n.type " #name ", %function\n.p2align 4\n" #name \
      ":\n" HET_FORWARDER_JUMP("het_slot_" #name) ".size " #name ", . - " #name "\n");

#if defined(__x86_64__)
#define HET_FORWARDER_JUMP(slot) "endbr64\njmpq *" slot "(%rip)\n"
#elif defined(__aarch64__)
#define HET_FORWARDER_JUMP(slot) \
  "hint #34\nadrp x16, " slot "\nldr x16, [x16, :lo12:" slot "]\nbr x16\n"
#else
#error "no forwarders for this processor: CMake leaves the shadows out"
#endif

namespace het::interpose {

// The library that `variable` of the environment names by its full path; InvalidArgument and
// NotFound say what to set, Unavailable why it cannot be opened. Never closed.
absl::StatusOr<void*> OpenShadowed(const char* variable);

}  // namespace het::interpose

#endif  // HET_INTERPOSE_FORWARDER_H_
