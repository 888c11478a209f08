#include "base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/numbers.h"

namespace het {
namespace {

std::function<void(absl::string_view)>& Action() {
  static auto* const action = new std::function<void(absl::string_view)>();
  return *action;
}

}  // namespace

namespace failpoint_internal {

std::atomic<bool> armed{false};

void Pass(absl::string_view name) { Action()(name); }

}  // namespace failpoint_internal

void OnFailpoint(std::function<void(absl::string_view)> action) {
  Action() = std::move(action);
  failpoint_internal::armed = Action() != nullptr;
}

bool DieAtFailpoint(absl::string_view text) {
  if (const size_t at = text.find('@'); at != absl::string_view::npos) {
    if (at == 0 || at + 1 == text.size()) return false;
    OnFailpoint([name = std::string(text.substr(0, at)),
                 path = std::string(text.substr(at + 1))](absl::string_view passed) {
      if (passed == name && access(path.c_str(), F_OK) == 0) raise(SIGKILL);
    });
    return true;
  }
  const size_t colon = text.find(':');
  int count = 1;
  if (colon != absl::string_view::npos &&
      (!absl::SimpleAtoi(text.substr(colon + 1), &count) || count < 1)) {
    return false;
  }
  if (text.empty() || colon == 0) return false;
  OnFailpoint([name = std::string(text.substr(0, colon)),
               left = std::make_shared<std::atomic<int>>(count)](absl::string_view passed) {
    if (passed == name && --*left == 0) raise(SIGKILL);
  });
  return true;
}

}  // namespace het
