// Failpoints: named places at which a test makes the program do something, such as die. A place
// costs one relaxed load while nobody asks for it.
//
//   Failpoint("commit.written");
//
// Threads: any; OnFailpoint before the threads that pass the places are started.
#ifndef HET_BASE_FAILPOINT_H_
#define HET_BASE_FAILPOINT_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace het {

namespace failpoint_internal {
extern std::atomic<bool> armed;
void Pass(absl::string_view name);
}  // namespace failpoint_internal

inline void Failpoint(absl::string_view name) {
  if (failpoint_internal::armed.load(std::memory_order_relaxed)) failpoint_internal::Pass(name);
}

// `action` is called with the name of every place that is passed; null: nothing is.
void OnFailpoint(std::function<void(absl::string_view)> action);

// "name" or "name:3": SIGKILL to this process when it passes the place for the third time.
// "name@path": when it passes the place and there is a file `path`. False: the text is none of
// these.
bool DieAtFailpoint(absl::string_view text);

}  // namespace het

#endif  // HET_BASE_FAILPOINT_H_
