#include "interpose/forwarder.h"

#include <dlfcn.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace het::interpose {

absl::StatusOr<void*> OpenShadowed(const char* variable) {
  const char* path = std::getenv(variable);
  if (path == nullptr || path[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat(variable, path == nullptr ? " is not set" : " is no full path",
                     "; it should name the vendor's library that a slice's stands before (hetctl "
                     "run sets it)"));
  }
  // Not deep-bound: that would part it from allocators and sanitizers that the program brings.
  void* library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot open ", variable, ": ", dlerror()));
  }
  if (dlsym(library, "het_is_shadow") != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        variable, "=\"", path, "\" is a slice's library itself, not the vendor's behind it"));
  }
  return library;
}

}  // namespace het::interpose
