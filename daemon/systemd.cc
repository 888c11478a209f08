#include "daemon/systemd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"

namespace het::daemon {
namespace {

constexpr int kFirstDescriptor = 3;  // SD_LISTEN_FDS_START
constexpr int kMostDescriptors = 8192;

struct Inherited {
  std::string name;
  UniqueFd fd;
};

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What was handed over, read once: children must not think that it is theirs.
std::vector<Inherited>& AllInherited() {
  static auto* const all = [] {
    auto* list = new std::vector<Inherited>;
    int64_t pid = 0, count = 0;
    const bool ours = absl::SimpleAtoi(Environment("LISTEN_PID"), &pid) && pid == getpid() &&
                      absl::SimpleAtoi(Environment("LISTEN_FDS"), &count);
    const std::vector<std::string> names = absl::StrSplit(Environment("LISTEN_FDNAMES"), ':');
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
    if (!ours || count <= 0 || count > kMostDescriptors) return list;
    for (int i = 0; i < count; ++i) {
      const int fd = kFirstDescriptor + i;
      const int flags = fcntl(fd, F_GETFD);
      if (flags < 0) continue;
      fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
      const auto at = static_cast<size_t>(i);
      list->push_back({at < names.size() ? names[at] : "", UniqueFd(fd)});
    }
    return list;
  }();
  return *all;
}

void Send(absl::string_view state, int fd) {
  const std::string path = Environment("NOTIFY_SOCKET");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return;
  memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return;
  iovec text = {const_cast<char*>(state.data()), state.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_name = &address;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  if (sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0) {
    Log().warn("the service manager does not hear: {}", strerror(errno));
  }
}

bool ListensAt(int fd, const std::string& path) {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return false;
  sockaddr_un address = {};
  size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.sun_family != AF_UNIX) return false;
  // The manager writes /run where somebody else may write /var/run: compare what is there.
  struct stat there = {}, asked = {};
  return path == address.sun_path ||
         (stat(address.sun_path, &there) == 0 && stat(path.c_str(), &asked) == 0 &&
          there.st_dev == asked.st_dev && there.st_ino == asked.st_ino);
}

}  // namespace

void NotifySystemd(absl::string_view state) { Send(state, -1); }

void KeepDescriptor(const std::string& name, int fd) {
  Send(absl::StrCat("FDSTORE=1\nFDNAME=", name), fd);
}

void ForgetDescriptor(const std::string& name) {
  Send(absl::StrCat("FDSTOREREMOVE=1\nFDNAME=", name), -1);
}

std::map<std::string, UniqueFd> TakeKeptDescriptors(absl::string_view prefix) {
  std::map<std::string, UniqueFd> taken;
  for (Inherited& entry : AllInherited()) {
    if (entry.fd.valid() && absl::StartsWith(entry.name, prefix)) {
      taken.emplace(entry.name, std::move(entry.fd));
    }
  }
  return taken;
}

int TakeInheritedSocket(const std::string& path) {
  for (Inherited& entry : AllInherited()) {
    if (entry.fd.valid() && ListensAt(entry.fd.get(), path)) return entry.fd.Release();
  }
  return -1;
}

int64_t WatchdogMicros() {
  int64_t micros = 0, pid = 0;
  if (!absl::SimpleAtoi(Environment("WATCHDOG_USEC"), &micros) || micros <= 0) return 0;
  const std::string meant = Environment("WATCHDOG_PID");
  if (!meant.empty() && (!absl::SimpleAtoi(meant, &pid) || pid != getpid())) return 0;
  return micros;
}

}  // namespace het::daemon
