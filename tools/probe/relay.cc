#include "tools/probe/relay.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "base/json.h"
#include "base/status.h"

namespace het::probe {
namespace {

constexpr size_t kMostBytes = size_t{64} << 10;

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t wrote = write(fd, data, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    data += wrote;
    size -= static_cast<size_t>(wrote);
  }
  return true;
}

}  // namespace

void EndWithReader(int descriptor) {
  std::thread([descriptor] {
    // The end of the other side is told without being asked for. A file or a terminal has none.
    pollfd reader = {descriptor, 0, 0};
    while (poll(&reader, 1, -1) < 0 && errno == EINTR) {
    }
    _exit(1);
  }).detach();
}

int AskService(const std::string& socket_path, const std::vector<std::string>& arguments) {
  EndWithReader(STDOUT_FILENO);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_path.size() >= sizeof(address.sun_path) || fd < 0) return 1;
  memcpy(address.sun_path, socket_path.data(), socket_path.size());
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    std::fprintf(stderr, "het-probe: no probe service at %s: %s\n", socket_path.c_str(),
                 strerror(errno));
    return 1;
  }
  const std::string line = PrintJson(Json(arguments)) + "\n";
  if (!WriteAll(fd, line.data(), line.size())) return 1;
  bool any = false;
  char block[16384];
  while (true) {
    const ssize_t got = read(fd, block, sizeof(block));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0 && any ? 0 : 1;
    any = true;
    if (!WriteAll(STDOUT_FILENO, block, static_cast<size_t>(got))) return 1;
  }
}

absl::StatusOr<std::vector<std::string>> TakeArguments() {
  std::string line;
  char c = 0;
  while (line.size() < kMostBytes) {
    const ssize_t got = read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || c == '\n') break;
    line += c;
  }
  HET_ASSIGN_OR_RETURN(const Json json, ParseJson(line, 4));
  std::vector<std::string> arguments;
  if (!json.is_array()) return absl::InvalidArgumentError("the arguments are no list");
  for (const Json& argument : json) {
    if (!argument.is_string()) return absl::InvalidArgumentError("an argument is no text");
    arguments.push_back(argument.get<std::string>());
  }
  return arguments;
}

}  // namespace het::probe
