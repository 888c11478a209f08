#include "interpose/attach.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "partition/arbiter_grant.h"
#include "partition/arbiter_pages.h"
#include "partition/arbiter_seat.h"
#include "partition/grant_channel.h"
#include "protocol/attach.h"

namespace het::interpose {
namespace {

class SharedSeat : public Seat {
 public:
  // Turns look at the clock (turns.h).
  explicit SharedSeat(std::unique_ptr<ArbiterSeat> seat) : seat_(std::move(seat)) {
    seat_->TimedFromOutside();
  }

  std::optional<Ticket> TryBegin(uint64_t estimate_ns) override {
    return seat_->TryBegin(estimate_ns);
  }
  absl::StatusOr<Ticket> Begin(uint64_t estimate_ns) override { return seat_->Begin(estimate_ns); }
  void End(const Ticket& ticket, uint64_t busy_ns) override { seat_->End(ticket, busy_ns); }
  bool alone() const override { return seat_->alone(); }
  absl::Status Reserve(uint64_t bytes) override { return seat_->Reserve(bytes); }
  void GiveBack(uint64_t bytes) override { seat_->GiveBack(bytes); }
  uint64_t memory_limit() const override { return seat_->memory_limit(); }
  uint64_t memory_used() const override { return seat_->memory_used(); }

 private:
  const std::unique_ptr<ArbiterSeat> seat_;
};

absl::StatusOr<SeatGrant> FromSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("HET_SEAT_SOCKET=\"", path,
                                                   "\" is longer than a socket's name may be (",
                                                   sizeof(address.sun_path) - 1, " bytes)"));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() ||
      connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError(
        absl::StrCat("nobody gives seats at HET_SEAT_SOCKET=\"", path, "\": ", strerror(errno)));
  }
  absl::StatusOr<SeatGrant> grant = ReceiveGrant(socket.get());
  // The connection lives as long as the process: its end tells the owner that the seat is free.
  if (grant.ok()) socket.Release();
  return grant;
}

// A descriptor of this process's own for one that it inherited; the seat closes it.
absl::StatusOr<UniqueFd> Duplicate(uint32_t inherited) {
  UniqueFd fd(fcntl(static_cast<int>(inherited), F_DUPFD_CLOEXEC, 3));
  if (fd.valid()) return fd;
  return absl::InvalidArgumentError(absl::StrCat("HET_SEAT_FDS names descriptor ", inherited,
                                                 ", which is not open: ", strerror(errno)));
}

// The seat was granted to one process; another one that inherited the variable must not write into
// the same slot.
absl::Status CheckMine(uint32_t control_fd, uint32_t slot) {
  HET_ASSIGN_OR_RETURN(UniqueFd fd, Duplicate(control_fd));
  HET_ASSIGN_OR_RETURN(SharedPages pages,
                       SharedPages::Map(std::move(fd), sizeof(arbiter::ControlPage), false));
  const auto& control = *static_cast<const arbiter::ControlPage*>(pages.data());
  const uint32_t pid = control.slots[slot].pid.load(std::memory_order_relaxed);
  if (pid == static_cast<uint32_t>(getpid())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the seat in HET_SEAT_FDS belongs to process ", pid, ", not to this one (",
                   getpid(), "); HET_SEAT_SOCKET gives every process one of its own"));
}

absl::StatusOr<SeatGrant> FromDescriptors(const std::string& text) {
  constexpr char kForm[] = "control=5,region=6,slot=3,epoch=1,lease=0,index=0";
  std::map<std::string, uint32_t> numbers;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    uint32_t number = 0;
    if (!absl::SimpleAtoi(pair.second, &number)) break;
    numbers[pair.first] = number;
  }
  for (const char* name : {"control", "region", "slot", "epoch", "lease", "index"}) {
    if (numbers.count(name) != 0 && numbers.size() == 6) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("HET_SEAT_FDS=\"", text, "\" is not of the form \"", kForm, "\""));
  }
  if (numbers["slot"] >= arbiter::kSlots || numbers["lease"] >= arbiter::kLeases ||
      numbers["index"] >= arbiter::kRegions) {
    return absl::InvalidArgumentError(
        absl::StrCat("HET_SEAT_FDS=\"", text, "\" names a seat that no arbiter has"));
  }
  HET_RETURN_IF_ERROR(CheckMine(numbers["control"], numbers["slot"]));
  SeatGrant grant;
  grant.slot = numbers["slot"];
  grant.epoch = numbers["epoch"];
  grant.lease = numbers["lease"];
  grant.region = numbers["index"];
  HET_ASSIGN_OR_RETURN(grant.control_fd, Duplicate(numbers["control"]));
  HET_ASSIGN_OR_RETURN(grant.region_fd, Duplicate(numbers["region"]));
  return grant;
}

absl::StatusOr<SeatGrant> FromDaemon(const std::string& lease, const std::string& socket) {
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<protocol::Client> client,
                       protocol::Client::Connect(socket));
  HET_ASSIGN_OR_RETURN(protocol::Attachment attachment, protocol::Attach(*client, lease));
  return std::move(attachment.grant);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Seat>> Attach(const Settings& settings) {
  if (!settings.in_slice()) return std::unique_ptr<Seat>();
  absl::StatusOr<SeatGrant> grant = !settings.seat_socket.empty() ? FromSocket(settings.seat_socket)
                                    : !settings.seat_fds.empty()
                                        ? FromDescriptors(settings.seat_fds)
                                        : FromDaemon(settings.lease, settings.socket);
  if (!grant.ok()) return grant.status();
  HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterSeat> seat, ArbiterSeat::Join(*std::move(grant)));
  return std::make_unique<SharedSeat>(std::move(seat));
}

}  // namespace het::interpose
