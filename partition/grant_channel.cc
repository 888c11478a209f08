#include "partition/grant_channel.h"

#include <errno.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"

namespace het {
namespace {

constexpr uint32_t kMagic = 0x53656174;
constexpr uint32_t kMostRegions = 200;

struct Message {
  uint32_t magic = kMagic;
  uint32_t slot = 0, epoch = 0, lease = 0, region = 0;
  uint32_t others = 0;
  uint32_t other[kMostRegions] = {};
};

constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int) * (kMostRegions + 2));

}  // namespace

absl::Status SendGrant(int socket, const SeatGrant& grant) {
  if (grant.other_regions.size() > kMostRegions) {
    return absl::InvalidArgumentError(absl::StrCat("a grant with ", grant.other_regions.size(),
                                                   " regions; at most ", kMostRegions,
                                                   " go along"));
  }
  Message message;
  message.slot = grant.slot;
  message.epoch = grant.epoch;
  message.lease = grant.lease;
  message.region = grant.region;
  std::vector<int> fds = {grant.control_fd.get(), grant.region_fd.get()};
  for (const auto& [region, fd] : grant.other_regions) {
    message.other[message.others++] = region;
    fds.push_back(fd.get());
  }
  alignas(cmsghdr) char buffer[kControlBytes] = {};
  iovec part = {&message, sizeof(message)};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = buffer;
  header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
  std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  const ssize_t sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  if (sent < 0) return ErrnoStatus(errno, "send a grant");
  return absl::OkStatus();
}

absl::StatusOr<SeatGrant> ReceiveGrant(int socket) {
  Message message;
  message.magic = 0;
  alignas(cmsghdr) char buffer[kControlBytes] = {};
  iovec part = {&message, sizeof(message)};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = buffer;
  header.msg_controllen = sizeof(buffer);
  ssize_t received;
  do {
    received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_WAITALL);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return ErrnoStatus(errno, "receive a grant");
  if (received == 0) return absl::UnavailableError("whoever was to grant a seat is gone");
  std::vector<UniqueFd> fds;
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  if (received != sizeof(message) || message.magic != kMagic || message.others > kMostRegions ||
      fds.size() != message.others + 2) {
    return absl::InvalidArgumentError("a message that is no grant of a seat");
  }
  SeatGrant grant;
  grant.slot = message.slot;
  grant.epoch = message.epoch;
  grant.lease = message.lease;
  grant.region = message.region;
  grant.control_fd = std::move(fds[0]);
  grant.region_fd = std::move(fds[1]);
  for (uint32_t i = 0; i < message.others; ++i) {
    grant.other_regions.emplace_back(message.other[i], std::move(fds[i + 2]));
  }
  return grant;
}

}  // namespace het
