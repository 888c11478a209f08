#include "protocol/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "base/uuid.h"
#include "protocol/descriptors.h"
#include "protocol/errors.h"

namespace het::protocol {
namespace {

constexpr char kSystemSocket[] = "/run/het/het.sock";
constexpr int64_t kRestartPatienceMs = 2000;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Method(absl::string_view name) { return absl::StrCat("org.het.v1.", name); }

int64_t Now() { return Clock::Real().MonotonicNanos(); }

absl::Status NoDaemon(const std::string& path, int error_number) {
  return absl::UnavailableError(absl::StrCat(
      "no hetd answers at ", path, ": ", strerror(error_number),
      "; start one with \"hetd --runtime-dir DIR --state-dir DIR\" and set HET_SOCKET=DIR/het.sock"
      " (looked in $HET_SOCKET, $XDG_RUNTIME_DIR/het/het.sock, ",
      kSystemSocket, ")"));
}

// A repeat after a broken connection must not act twice.
bool MayRepeat(absl::string_view method, const Json& parameters) {
  if (parameters.contains("requestId")) return true;
  const absl::string_view name = method.substr(method.rfind('.') + 1);
  return absl::StartsWith(name, "Get") || absl::StartsWith(name, "List") ||
         absl::StartsWith(name, "Plan") || name == "Rescan" || name == "Attach" || name == "Drain";
}

void Complete(LeaseTerms& terms) {
  if (terms.request_id.empty()) terms.request_id = NewUuid();
  if (terms.tenant.empty()) terms.tenant = Environment("USER").substr(0, kMaxTextBytes);
  // What the batch system says of itself to the processes of a job.
  for (const char* variable : {"SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"}) {
    if (terms.job.empty()) terms.job = Environment(variable).substr(0, kMaxTextBytes);
  }
}

Json ParametersOf(Json reply) {
  const auto parameters = reply.find("parameters");
  return parameters == reply.end() ? Json::object() : Json(std::move(*parameters));
}

}  // namespace

std::string DefaultSocketPath() {
  std::string path = Environment("HET_SOCKET");
  if (!path.empty()) return path;
  const std::string runtime = Environment("XDG_RUNTIME_DIR");
  path = absl::StrCat(runtime, "/het/het.sock");
  if (!runtime.empty() && access(path.c_str(), F_OK) == 0) return path;
  return kSystemSocket;
}

Client::Client(std::string path, int64_t timeout_ms)
    : path_(std::move(path)), timeout_ms_(timeout_ms) {}

Client::~Client() {
  absl::MutexLock lock(&mutex_);
  Close();
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& socket_path,
                                                        int64_t timeout_ms) {
  std::unique_ptr<Client> client(
      new Client(socket_path.empty() ? DefaultSocketPath() : socket_path, timeout_ms));
  absl::MutexLock lock(&client->mutex_);
  HET_RETURN_IF_ERROR(client->Open(Now() + timeout_ms * 1'000'000));
  return client;
}

void Client::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  reader_ = FrameReader();
}

absl::Status Client::Open(int64_t deadline_ns) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path ", path_, " is longer than ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  memcpy(address.sun_path, path_.data(), path_.size());
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return ErrnoStatus(errno, "cannot make a socket");
  while (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    // EAGAIN: the daemon's queue of new connections is full.
    if (error == EINTR) continue;
    if (error == EAGAIN && Now() < deadline_ns) {
      poll(nullptr, 0, 1);
      continue;
    }
    Close();
    return NoDaemon(path_, error);
  }
  return absl::OkStatus();
}

absl::Status Client::Wait(short events, int64_t deadline_ns) {
  while (true) {
    const int64_t left_ms = (deadline_ns - Now() + 999'999) / 1'000'000;
    if (left_ms <= 0) {
      return absl::DeadlineExceededError(
          absl::StrCat("hetd at ", path_, " did not answer in time"));
    }
    pollfd entry = {fd_, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ms, 1 << 30)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "cannot wait for hetd");
  }
}

absl::Status Client::Send(const std::string& frame, int64_t deadline_ns, bool& broken) {
  absl::string_view rest = frame;
  while (!rest.empty()) {
    const ssize_t sent = send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      HET_RETURN_IF_ERROR(Wait(POLLOUT, deadline_ns));
    } else if (errno != EINTR) {
      broken = true;
      return NoDaemon(path_, errno);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> Client::Receive(int64_t deadline_ns, bool& broken) {
  while (true) {
    absl::StatusOr<std::optional<Json>> reply = reader_.Next();
    if (!reply.ok()) {
      return absl::InternalError(absl::StrCat(
          "what answers at ", path_, " does not speak org.het.v1: ", reply.status().message()));
    }
    if (reply->has_value()) return **std::move(reply);
    std::array<char, 16384> block;
    const ssize_t got = ReceiveWithDescriptors(fd_, block.data(), block.size(), descriptors_);
    if (got > 0) {
      reader_.Feed(absl::string_view(block.data(), static_cast<size_t>(got)));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      broken = true;
      return absl::UnavailableError(absl::StrCat("hetd at ", path_, " closed the connection: ",
                                                 got == 0 ? "end of stream" : strerror(errno)));
    } else if (errno == EAGAIN) {
      HET_RETURN_IF_ERROR(Wait(POLLIN, deadline_ns));
    }
  }
}

absl::StatusOr<std::vector<Json>> Client::ExchangeOnce(const std::string& frame,
                                                       int64_t deadline_ns, bool& broken) {
  if (fd_ < 0) HET_RETURN_IF_ERROR(Open(deadline_ns));
  HET_RETURN_IF_ERROR(Send(frame, deadline_ns, broken));
  std::vector<Json> replies;
  while (true) {
    HET_ASSIGN_OR_RETURN(Json reply, Receive(deadline_ns, broken));
    HET_ASSIGN_OR_RETURN(const bool continues, JsonBool(reply, "continues"));
    replies.push_back(std::move(reply));
    if (!continues) return replies;
  }
}

absl::Status Client::Reopen(int64_t deadline_ns) {
  Close();
  // A daemon that is being restarted is back within a second.
  const int64_t patience = std::min(deadline_ns, Now() + kRestartPatienceMs * 1'000'000);
  absl::Status status = Open(deadline_ns);
  while (!status.ok() && Now() < patience) {
    poll(nullptr, 0, 20);
    status = Open(deadline_ns);
  }
  return status;
}

absl::StatusOr<std::vector<Json>> Client::Exchange(const std::string& method,
                                                   const Json& parameters, bool more,
                                                   int64_t timeout_ms,
                                                   std::vector<UniqueFd>* descriptors) {
  Json message = {{"method", method}, {"parameters", parameters}};
  if (more) message["more"] = true;
  HET_ASSIGN_OR_RETURN(const std::string frame, EncodeFrame(message));
  absl::MutexLock lock(&mutex_);
  const int64_t deadline_ns = Now() + timeout_ms * 1'000'000;
  bool broken = false;
  descriptors_.clear();
  absl::StatusOr<std::vector<Json>> replies = ExchangeOnce(frame, deadline_ns, broken);
  if (broken && MayRepeat(method, parameters)) {
    HET_RETURN_IF_ERROR(Reopen(deadline_ns));
    descriptors_.clear();
    replies = ExchangeOnce(frame, deadline_ns, broken);
  }
  // What came so far cannot be told from the answer to the next call.
  if (!replies.ok()) Close();
  if (descriptors != nullptr) {
    for (UniqueFd& descriptor : descriptors_) descriptors->push_back(std::move(descriptor));
  }
  descriptors_.clear();
  return replies;
}

absl::StatusOr<Json> Client::Call(const std::string& method, const Json& parameters,
                                  int64_t extra_timeout_ms) {
  HET_ASSIGN_OR_RETURN(std::vector<Json> replies,
                       Exchange(method, parameters, false, timeout_ms_ + extra_timeout_ms));
  HET_RETURN_IF_ERROR(StatusOfReply(replies.front()));
  return ParametersOf(std::move(replies.front()));
}

absl::StatusOr<Json> Client::Call(const std::string& method, const Json& parameters,
                                  std::vector<UniqueFd>& descriptors) {
  HET_ASSIGN_OR_RETURN(std::vector<Json> replies,
                       Exchange(method, parameters, false, timeout_ms_, &descriptors));
  HET_RETURN_IF_ERROR(StatusOfReply(replies.front()));
  return ParametersOf(std::move(replies.front()));
}

absl::StatusOr<std::vector<Json>> Client::CallMore(const std::string& method,
                                                   const Json& parameters) {
  HET_ASSIGN_OR_RETURN(std::vector<Json> replies, Exchange(method, parameters, true, timeout_ms_));
  for (Json& reply : replies) {
    HET_RETURN_IF_ERROR(StatusOfReply(reply));
    reply = ParametersOf(std::move(reply));
  }
  return replies;
}

template <typename Row, typename Parse>
absl::StatusOr<std::vector<Row>> Client::List(absl::string_view method, const char* field,
                                              Parse parse) {
  HET_ASSIGN_OR_RETURN(const std::vector<Json> pages, CallMore(Method(method), Json::object()));
  std::vector<Row> rows;
  for (const Json& page : pages) {
    const auto list = page.find(field);
    if (list == page.end() || !list->is_array()) {
      return absl::InternalError(absl::StrCat("hetd answered ", method, " without ", field));
    }
    for (const Json& entry : *list) {
      HET_ASSIGN_OR_RETURN(Row row, parse(entry));
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

absl::StatusOr<DaemonInfo> Client::GetInfo() {
  HET_ASSIGN_OR_RETURN(const Json reply, Call(Method("GetInfo"), Json::object()));
  return DaemonInfoFromJson(reply);
}

absl::StatusOr<std::vector<DeviceRow>> Client::ListDevices() {
  return List<DeviceRow>("ListDevices", "devices", DeviceRowFromJson);
}

absl::StatusOr<std::vector<SliceRow>> Client::ListSlices() {
  return List<SliceRow>("ListSlices", "slices", SliceRowFromJson);
}

absl::StatusOr<std::vector<Lease>> Client::ListLeases() {
  const int64_t now = Clock::Real().BoottimeNanos();
  return List<Lease>("ListLeases", "leases",
                     [now](const Json& entry) { return LeaseFromJson(entry, now); });
}

absl::StatusOr<std::vector<Lease>> Client::Acquire(AcquireRequest request) {
  Complete(request.terms);
  HET_ASSIGN_OR_RETURN(const Json reply, Call(Method("Acquire"), ToJson(request)));
  return LeasesFromJson(reply, Clock::Real().BoottimeNanos());
}

absl::StatusOr<std::vector<Lease>> Client::Change(absl::string_view method, LeaseChange change) {
  if (change.request_id.empty()) change.request_id = NewUuid();
  HET_ASSIGN_OR_RETURN(const Json reply, Call(Method(method), ToJson(change)));
  return LeasesFromJson(reply, Clock::Real().BoottimeNanos());
}

absl::StatusOr<std::vector<Lease>> Client::Confirm(LeaseChange change) {
  return Change("Confirm", std::move(change));
}

absl::StatusOr<std::vector<Lease>> Client::Renew(LeaseChange change) {
  return Change("Renew", std::move(change));
}

absl::Status Client::Cancel(LeaseChange change) {
  return Change("Cancel", std::move(change)).status();
}

absl::Status Client::Release(LeaseChange change) {
  return Change("Release", std::move(change)).status();
}

absl::StatusOr<ModelPlan> Client::PlanModel(const ModelRequest& request) {
  HET_ASSIGN_OR_RETURN(const Json reply, Call(Method("PlanModel"), ToJson(request)));
  const auto plan = reply.find("plan");
  if (plan == reply.end()) return absl::InternalError("hetd answered PlanModel without a plan");
  return ModelPlanFromJson(*plan);
}

absl::StatusOr<ModelReply> Client::AcquireModel(ModelRequest request) {
  Complete(request.terms);
  HET_ASSIGN_OR_RETURN(const Json json,
                       Call(Method("AcquireModel"), ToJson(request), request.wait_ms));
  const auto plan = json.find("plan");
  if (plan == json.end()) return absl::InternalError("hetd answered AcquireModel without a plan");
  ModelReply reply;
  HET_ASSIGN_OR_RETURN(reply.plan, ModelPlanFromJson(*plan));
  HET_ASSIGN_OR_RETURN(reply.leases, LeasesFromJson(json, Clock::Real().BoottimeNanos()));
  return reply;
}

absl::StatusOr<std::vector<Lease>> Client::Resize(ResizeRequest request) {
  if (request.request_id.empty()) request.request_id = NewUuid();
  HET_ASSIGN_OR_RETURN(const Json reply, Call(Method("Resize"), ToJson(request)));
  return LeasesFromJson(reply, Clock::Real().BoottimeNanos());
}

absl::StatusOr<Slice> Client::CreateSlice(const SliceRequest& slice) {
  HET_ASSIGN_OR_RETURN(const Json reply, Call(Method("CreateSlice"), ToJson(slice)));
  const auto made = reply.find("slice");
  if (made == reply.end()) return absl::InternalError("hetd answered CreateSlice without a slice");
  return SliceFromJson(*made);
}

absl::Status Client::DeleteSlice(const std::string& name) {
  return Call(Method("DeleteSlice"), Json{{"name", name}}).status();
}

absl::Status Client::Drain(const std::string& device, bool drain) {
  return Call(Method("Drain"), Json{{"device", device}, {"drain", drain}}).status();
}

absl::Status Client::Rescan() { return Call(Method("Rescan"), Json::object()).status(); }

}  // namespace het::protocol
