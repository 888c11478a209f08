#include "interpose/say.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace het::interpose {

void Say(absl::string_view text) {
  const std::string line = absl::StrCat("het: ", text, "\n");
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nobody listens
}

}  // namespace het::interpose
