#include "daemon/process_watch.h"

#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::daemon {

struct ProcessWatch::Entry {
  uv_poll_t poll;
  ProcessWatch* watch;
  ProcessId process;
  int pidfd;
};

absl::Status ProcessWatch::Watch(const ProcessId& process) {
  if (entries_.contains(process)) return absl::OkStatus();
  HET_ASSIGN_OR_RETURN(const int pidfd, OpenProcess(process));
  auto* entry = new Entry{{}, this, process, pidfd};
  const int error = uv_poll_init(loop_, &entry->poll, pidfd);
  if (error != 0) {
    close(pidfd);
    delete entry;
    return absl::InternalError(absl::StrCat("cannot watch a process: ", uv_strerror(error)));
  }
  entry->poll.data = entry;
  uv_poll_start(&entry->poll, UV_READABLE, OnReadable);
  entries_.emplace(process, entry);
  return absl::OkStatus();
}

void ProcessWatch::OnReadable(uv_poll_t* handle, int /*status*/, int /*events*/) {
  auto* entry = static_cast<Entry*>(handle->data);
  ProcessWatch* const watch = entry->watch;
  const ProcessId process = entry->process;
  watch->entries_.erase(process);
  watch->Drop(entry);
  watch->on_end_(process);
}

void ProcessWatch::Drop(Entry* entry) {
  uv_poll_stop(&entry->poll);
  close(entry->pidfd);
  uv_close(reinterpret_cast<uv_handle_t*>(&entry->poll),
           [](uv_handle_t* handle) { delete static_cast<Entry*>(handle->data); });
}

void ProcessWatch::ForgetUnless(const std::function<bool(const ProcessId&)>& keep) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (keep(it->first)) {
      ++it;
      continue;
    }
    Drop(it->second);
    it = entries_.erase(it);
  }
}

}  // namespace het::daemon
