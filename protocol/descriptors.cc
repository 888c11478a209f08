#include "protocol/descriptors.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace het::protocol {
namespace {

constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int) * (kMaxDescriptors + 3));

}  // namespace

absl::Status SendDescriptors(int socket, const std::string& bytes,
                             const std::vector<UniqueFd>& descriptors) {
  if (bytes.empty() || descriptors.size() > kMaxDescriptors) {
    return absl::InvalidArgumentError(absl::StrCat("cannot send ", descriptors.size(),
                                                   " descriptors with ", bytes.size(), " bytes"));
  }
  alignas(cmsghdr) char control[kControlBytes] = {};
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    for (size_t i = 0; i < descriptors.size(); ++i) {
      const int fd = descriptors[i].get();
      memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
    }
  }
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return ErrnoStatus(errno, "cannot send descriptors");
  if (static_cast<size_t>(sent) < bytes.size()) {
    return absl::UnavailableError("the socket took only a part of the message");
  }
  return absl::OkStatus();
}

ssize_t ReceiveWithDescriptors(int socket, char* bytes, size_t size,
                               std::vector<UniqueFd>& descriptors) {
  alignas(cmsghdr) char control[kControlBytes];
  iovec part = {bytes, size};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got < 0) return got;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      descriptors.emplace_back(fd);
    }
  }
  return got;
}

}  // namespace het::protocol
