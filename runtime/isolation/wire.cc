#include "runtime/isolation/wire.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"

namespace het::runtime::isolation {
namespace {

struct Header {
  uint64_t id = 0;
  uint32_t verb = 0;
  uint32_t code = 0;
  uint32_t reason_bytes = 0;
  uint32_t payload_bytes = 0;
  uint32_t has_descriptor = 0;
  uint32_t unused = 0;
};

absl::Status WriteAll(int socket, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(socket, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return absl::UnavailableError("the other end is gone");
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return absl::OkStatus();
}

absl::Status ReadAll(int socket, char* data, size_t size) {
  while (size > 0) {
    const ssize_t got = recv(socket, data, size, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::UnavailableError("the other end is gone");
    data += got;
    size -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

// The header, with a descriptor beside its first byte where there is one.
absl::Status SendHeader(int socket, const Header& header, int descriptor) {
  iovec part = {const_cast<Header*>(&header), sizeof(header)};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  }
  ssize_t sent = 0;
  while ((sent = sendmsg(socket, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR) {
  }
  if (sent <= 0) return absl::UnavailableError("the other end is gone");
  return WriteAll(socket, reinterpret_cast<const char*>(&header) + sent,
                  sizeof(header) - static_cast<size_t>(sent));
}

absl::StatusOr<std::pair<Header, int>> ReceiveHeader(int socket) {
  Header header;
  iovec part = {&header, sizeof(header)};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (got <= 0) return absl::UnavailableError("the other end is gone");
  int descriptor = -1;
  const cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&descriptor, CMSG_DATA(rights), sizeof(int));
  }
  const absl::Status rest = ReadAll(socket, reinterpret_cast<char*>(&header) + got,
                                    sizeof(header) - static_cast<size_t>(got));
  if (!rest.ok()) {
    if (descriptor >= 0) close(descriptor);
    return rest;
  }
  return std::make_pair(header, descriptor);
}

}  // namespace

absl::Status Send(int socket, const Message& message) {
  Header header;
  header.id = message.id;
  header.verb = message.verb;
  header.code = static_cast<uint32_t>(message.status.code());
  header.reason_bytes = static_cast<uint32_t>(message.status.message().size());
  header.payload_bytes = static_cast<uint32_t>(message.payload.size());
  header.has_descriptor = message.descriptor >= 0;
  if (message.payload.size() > kMaxPayload || message.status.message().size() > kMaxPayload) {
    return absl::InvalidArgumentError("a message to a worker is too long");
  }
  HET_RETURN_IF_ERROR(SendHeader(socket, header, message.descriptor));
  const absl::string_view reason = message.status.message();
  HET_RETURN_IF_ERROR(WriteAll(socket, reason.data(), reason.size()));
  return WriteAll(socket, message.payload.data(), message.payload.size());
}

absl::StatusOr<Message> Receive(int socket) {
  HET_ASSIGN_OR_RETURN(const auto head, ReceiveHeader(socket));
  const Header& header = head.first;
  Message message;
  message.descriptor = head.second;
  message.id = header.id;
  message.verb = header.verb;
  std::string reason;
  absl::Status read;
  if (header.reason_bytes > kMaxPayload || header.payload_bytes > kMaxPayload ||
      (header.has_descriptor != 0) != (message.descriptor >= 0)) {
    read = absl::InvalidArgumentError("nonsense from the other end");
  }
  if (read.ok()) {
    reason.resize(header.reason_bytes);
    read = ReadAll(socket, reason.data(), reason.size());
  }
  if (read.ok()) {
    message.payload.resize(header.payload_bytes);
    read = ReadAll(socket, message.payload.data(), message.payload.size());
  }
  if (!read.ok()) {
    if (message.descriptor >= 0) close(message.descriptor);
    return read;
  }
  message.status = absl::Status(static_cast<absl::StatusCode>(header.code), reason);
  return message;
}

}  // namespace het::runtime::isolation
