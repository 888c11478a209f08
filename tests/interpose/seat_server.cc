#include "tests/interpose/seat_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "partition/grant_channel.h"
#include "partition/process_state.h"

namespace het::interpose {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value, const char* what) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s: %s\n", what, std::string(value.status().message()).c_str());
    std::abort();
  }
  return *std::move(value);
}

ArbiterLease Terms(Share share, uint64_t memory, Policy policy) {
  ArbiterLease lease;
  lease.weight = share;
  lease.policy = policy;
  lease.memory_quota = memory;
  lease.uid = geteuid();
  return lease;
}

}  // namespace

SeatServer::SeatServer(const ArbiterOptions& options)
    : host_(Must(ArbiterHost::Create("device", options), "arbiter")) {
  char name[] = "/tmp/het-seats-XXXXXX";
  if (mkdtemp(name) == nullptr || pipe(wake_) != 0) std::abort();
  directory_ = name;
  thread_ = std::thread(&SeatServer::Serve, this);
}

SeatServer::~SeatServer() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  if (write(wake_[1], "x", 1) != 1) std::abort();
  thread_.join();
  for (const Listener& listener : listeners_) {
    close(listener.fd);
    unlink(listener.path.c_str());
  }
  for (const auto& [fd, slot] : slots_) close(fd);
  rmdir(directory_.c_str());
  close(wake_[0]);
  close(wake_[1]);
}

SeatServer::Offer SeatServer::AddLease(Share share, uint64_t memory, Policy policy) {
  std::lock_guard<std::mutex> lock(mutex_);
  Listener listener;
  listener.lease = Must(host_->AddLease(Terms(share, memory, policy)), "lease");
  listener.path = absl::StrCat(directory_, "/", listener.lease);
  listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, listener.path.c_str(), sizeof(address.sun_path) - 1);
  if (listener.fd < 0 ||
      bind(listener.fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener.fd, 64) != 0) {
    std::perror(listener.path.c_str());
    std::abort();
  }
  listeners_.push_back(listener);
  if (write(wake_[1], "x", 1) != 1) std::abort();
  return {listener.lease, listener.path};
}

void SeatServer::Change(uint32_t lease, Share share, uint64_t memory, Policy policy) {
  std::lock_guard<std::mutex> lock(mutex_);
  const absl::Status changed = host_->ChangeLease(lease, Terms(share, memory, policy));
  if (!changed.ok()) std::fprintf(stderr, "%s\n", std::string(changed.message()).c_str());
}

void SeatServer::RemoveLease(uint32_t lease) {
  std::lock_guard<std::mutex> lock(mutex_);
  const absl::Status removed = host_->RemoveLease(lease);
  if (!removed.ok()) std::fprintf(stderr, "%s\n", std::string(removed.message()).c_str());
}

ArbiterUsage SeatServer::Usage(uint32_t lease) {
  std::lock_guard<std::mutex> lock(mutex_);
  return Must(host_->Usage(lease), "usage");
}

void SeatServer::Seat(const Listener& listener) {
  const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  ucred peer = {};
  socklen_t bytes = sizeof(peer);
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  absl::StatusOr<SeatGrant> grant =
      host_->Seat(listener.lease, peer.pid, StartTimeOfProcess(peer.pid));
  if (!grant.ok() || !SendGrant(fd, *grant).ok()) {
    close(fd);
    return;
  }
  slots_[fd] = grant->slot;
}

void SeatServer::Serve() {
  for (;;) {
    std::vector<pollfd> polled = {{wake_[0], POLLIN, 0}};
    size_t listeners = 0;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) return;
      for (const Listener& listener : listeners_) polled.push_back({listener.fd, POLLIN, 0});
      listeners = listeners_.size();
      for (const auto& [fd, slot] : slots_) polled.push_back({fd, POLLIN, 0});
    }
    poll(polled.data(), polled.size(), 100);
    std::lock_guard<std::mutex> lock(mutex_);
    host_->Beat();
    char drained[16];
    if (polled[0].revents != 0 && read(wake_[0], drained, sizeof(drained)) < 0) return;
    for (size_t i = 0; i < listeners; ++i) {
      if (polled[1 + i].revents != 0) Seat(listeners_[i]);
    }
    for (size_t i = 1 + listeners; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const absl::Status unseated = host_->Unseat(slots_[polled[i].fd]);
      if (!unseated.ok()) std::fprintf(stderr, "%s\n", std::string(unseated.message()).c_str());
      slots_.erase(polled[i].fd);
      close(polled[i].fd);
    }
  }
}

}  // namespace het::interpose
