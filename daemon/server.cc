#include "daemon/server.h"

#include <grp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/systemd.h"
#include "partition/refusal.h"
#include "protocol/descriptors.h"
#include "protocol/errors.h"
#include "protocol/frame.h"

namespace het::daemon {
namespace {

constexpr size_t kBlockBytes = size_t{64} << 10;
constexpr int kBacklog = 512;
constexpr size_t kConnectionsForAdmins = 64;  // when the others have taken all
constexpr double kBurstSeconds = 4;
constexpr uint64_t kHeldBackMs = 10;
constexpr size_t kUsersRemembered = 4096;

absl::Status OpenDoor(const std::string& path, Server::Door door) {
  if (door == Server::Door::kAdmins) {
    const group* admins = getgrnam("het-admin");
    // Where that group is not there, or hetd is not of it, the door is for hetd's own group.
    if (admins != nullptr && chown(path.c_str(), static_cast<uid_t>(-1), admins->gr_gid) != 0) {
      Log().warn("{} is not for the group het-admin: {}", path, std::strerror(errno));
    }
  }
  if (chmod(path.c_str(), door == Server::Door::kAdmins ? 0660 : 0666) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot set the mode of ", path));
  }
  return absl::OkStatus();
}

}  // namespace

// One client. Lives until libuv has closed its two handles.
class Server::Connection {
 public:
  Connection(Server& server, ConnectionId id) : server_(server), id_(id) {
    uv_pipe_init(server.loop_, &pipe_, 0);
    uv_timer_init(server.loop_, &timer_);
    pipe_.data = timer_.data = this;
  }

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&pipe_); }

  absl::Status Start(Door door) {
    uv_os_fd_t fd = -1;
    uv_fileno(reinterpret_cast<uv_handle_t*>(&pipe_), &fd);
    HET_ASSIGN_OR_RETURN(caller_, PeerOf(fd));
    if (door == Door::kAdmins) caller_.admin = true;
    HET_RETURN_IF_ERROR(server_.CheckRoom(caller_));
    ++server_.users_[caller_.uid].connections;
    counted_ = true;
    uv_read_start(stream(), OnAllocate, OnRead);
    return absl::OkStatus();
  }

  // Writes an error, as far as it goes without waiting, and closes.
  void Refuse(const absl::Status& status) {
    const auto frame = protocol::EncodeFrame(protocol::ErrorReply(status));
    if (frame.ok()) {
      uv_buf_t buffer =
          uv_buf_init(const_cast<char*>(frame->data()), static_cast<unsigned>(frame->size()));
      uv_try_write(stream(), &buffer, 1);
    }
    Close();
  }

  void Close() {
    if (closing_) return;
    closing_ = true;
    uv_close(reinterpret_cast<uv_handle_t*>(&pipe_), OnClosed);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), OnClosed);
    server_.Gone(id_, caller_, counted_);
  }

  // Hands over one request if there is one and none is being worked on.
  void TakeRequest() {
    if (closing_ || busy_ || held_back_) return;
    if (reader_.HasFrame() && !server_.MayAsk(id_, caller_)) {
      held_back_ = true;
      uv_timer_stop(&timer_);
      return;
    }
    auto frame = reader_.Next();
    if (!frame.ok()) return Refuse(frame.status());
    if (!frame->has_value()) return WatchPartialFrame();
    uv_timer_stop(&timer_);
    const Json& request = **frame;
    const auto flag = [&request](const char* name) {
      const auto value = JsonBool(request, name);
      return value.ok() && *value;
    };
    busy_ = true;
    oneway_ = flag("oneway");
    more_ = flag("more");
    server_.handler_.OnRequest(id_, caller_, request);
  }

  // Its turn has come again: the next page, or the next request.
  void GoOn() {
    if (closing_) return;
    pages_ ? WritePage() : TakeRequest();
  }

  // Its user may ask again.
  void Resume() {
    held_back_ = false;
    if (paused_ && !busy_) ReadOn();
    TakeRequest();
  }

  void Answer(const Json& message, const std::vector<UniqueFd>& descriptors = {}) {
    answered_ = true;
    if (oneway_ || Write(message, descriptors)) Settle();
  }

  void AnswerInPages(Stream stream) {
    if (oneway_) return Answer(Json::object());
    pages_ = std::move(stream);
    WritePage();
  }

 private:
  static Connection* Of(void* data) { return static_cast<Connection*>(data); }

  struct WriteRequest {
    uv_write_t request;
    std::string frame;
  };

  bool Write(const Json& message, const std::vector<UniqueFd>& descriptors = {}) {
    auto frame = protocol::EncodeFrame(message);
    if (!frame.ok()) frame = protocol::EncodeFrame(protocol::ErrorReply(frame.status()));
    if (!descriptors.empty()) {
      // They go with the first byte, at once: libuv passes only streams. Nothing else is being
      // written on this connection, so there is room for a byte unless the client never reads.
      uv_os_fd_t fd = -1;
      uv_fileno(reinterpret_cast<uv_handle_t*>(&pipe_), &fd);
      if (!protocol::SendDescriptors(fd, frame->substr(0, 1), descriptors).ok()) {
        Close();
        return false;
      }
      frame->erase(0, 1);
    }
    // What the socket takes at once needs no request, and no more system calls of the loop.
    uv_buf_t now = uv_buf_init(frame->data(), static_cast<unsigned>(frame->size()));
    const int taken = uv_try_write(stream(), &now, 1);
    if (taken == static_cast<int>(frame->size())) return true;
    if (taken < 0 && taken != UV_EAGAIN) {
      Close();
      return false;
    }
    frame->erase(0, static_cast<size_t>(std::max(taken, 0)));
    auto* write = new WriteRequest{{}, *std::move(frame)};
    write->request.data = write;
    uv_buf_t buffer = uv_buf_init(write->frame.data(), static_cast<unsigned>(write->frame.size()));
    const int error = uv_write(&write->request, stream(), &buffer, 1, OnWritten);
    if (error == 0) {
      ++unfinished_writes_;
      return true;
    }
    delete write;
    Close();
    return false;
  }

  static void OnWritten(uv_write_t* request, int status) {
    Connection* connection = Of(request->handle->data);
    delete static_cast<WriteRequest*>(request->data);
    --connection->unfinished_writes_;
    if (connection->closing_) return;
    if (status < 0) return connection->Close();
    if (connection->pages_) return connection->WritePage();
    connection->Settle();
  }

  void WritePage() {
    Page page = pages_();
    if (page.continues && !more_) {
      pages_ = nullptr;
      return Answer(
          {{"error", "org.varlink.service.ExpectedMore"},
           {"parameters", {{"message", "the list needs several frames; call with \"more\""}}}});
    }
    Json message = {{"parameters", std::move(page.parameters)}};
    if (page.continues) {
      message["continues"] = true;
    } else {
      pages_ = nullptr;
      answered_ = true;
    }
    if (!Write(message)) return;
    // The others get their turn between two pages.
    if (pages_ && unfinished_writes_ == 0) return server_.Schedule(id_);
    Settle();
  }

  // The next request may come once the whole answer has left; until then a timer runs.
  void Settle() {
    if (unfinished_writes_ > 0) {
      uv_timer_start(&timer_, OnTimeout, server_.limits_.frame_ms, 0);
      return;
    }
    if (!answered_) return;
    uv_timer_stop(&timer_);
    busy_ = answered_ = false;
    if (paused_) ReadOn();
    if (reader_.buffered() > 0) server_.Schedule(id_);
  }

  void ReadOn() {
    paused_ = false;
    uv_read_start(stream(), OnAllocate, OnRead);
  }

  void WatchPartialFrame() {
    if (!reader_.HasPartialFrame()) {
      uv_timer_stop(&timer_);
    } else if (!uv_is_active(reinterpret_cast<uv_handle_t*>(&timer_))) {
      uv_timer_start(&timer_, OnTimeout, server_.limits_.frame_ms, 0);
    }
  }

  static void OnTimeout(uv_timer_t* timer) {
    Log().info("a client was too slow and is disconnected");
    Of(timer->data)->Close();
  }

  static void OnAllocate(uv_handle_t* handle, size_t /*suggested*/, uv_buf_t* buffer) {
    *buffer = uv_buf_init(Of(handle->data)->server_.block_.get(), kBlockBytes);
  }

  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
    Connection* connection = Of(stream->data);
    if (size < 0) return connection->Close();
    connection->reader_.Feed(absl::string_view(buffer->base, static_cast<size_t>(size)));
    // Reading goes on during a request, so that a client that leaves is noticed; not without bound.
    if ((connection->busy_ || connection->held_back_) &&
        connection->reader_.buffered() > protocol::kMaxFrameBytes) {
      connection->paused_ = true;
      uv_read_stop(stream);
    }
    connection->TakeRequest();
  }

  static void OnClosed(uv_handle_t* handle) {
    Connection* connection = Of(handle->data);
    if (++connection->closed_handles_ == 2) delete connection;
  }

  Server& server_;
  const ConnectionId id_;
  uv_pipe_t pipe_;
  uv_timer_t timer_;
  Caller caller_;
  protocol::FrameReader reader_;
  Stream pages_;
  int unfinished_writes_ = 0;
  bool busy_ = false;      // a request is being worked on or its answer is leaving
  bool answered_ = false;  // nothing more will be written for it
  bool oneway_ = false;    // of that request
  bool more_ = false;
  bool paused_ = false;
  bool held_back_ = false;  // its user asks more often than they may
  bool closing_ = false;
  bool counted_ = false;  // among its user's connections
  int closed_handles_ = 0;
};

Server::Server(uv_loop_t* loop, RequestHandler& handler, Limits limits)
    : loop_(loop), handler_(handler), limits_(limits), block_(new char[kBlockBytes]) {
  uv_idle_init(loop_, &idle_);
  uv_timer_init(loop_, &slow_timer_);
  idle_.data = slow_timer_.data = this;
}

Server::~Server() { Close(); }

absl::Status Server::Listen(const std::string& path, Door door) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path ", path, " is longer than ",
                                                   sizeof(sockaddr_un::sun_path) - 1,
                                                   " bytes; use a shorter --runtime-dir"));
  }
  const int inherited = TakeInheritedSocket(path);
  if (inherited < 0 && unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("cannot replace ", path));
  }
  auto listener = std::make_unique<Listener>();
  listener->server = this;
  listener->door = door;
  uv_pipe_init(loop_, &listener->pipe, 0);
  listener->pipe.data = listener.get();
  listeners_.push_back(std::move(listener));
  Listener& made = *listeners_.back();
  int error = 0;
  if (inherited >= 0) {
    error = uv_pipe_open(&made.pipe, inherited);  // its mode and its end are the service manager's
  } else {
    // Nobody passes an administrators' door before it has its mode.
    const mode_t mask = umask(0177);
    error = uv_pipe_bind(&made.pipe, path.c_str());
    umask(mask);
    if (error == 0) {
      made.path = path;
      HET_RETURN_IF_ERROR(OpenDoor(path, door));
    }
  }
  if (error == 0) {
    error = uv_listen(reinterpret_cast<uv_stream_t*>(&made.pipe), kBacklog, OnConnect);
  }
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen at ", path, ": ", uv_strerror(error)));
  }
  return absl::OkStatus();
}

void Server::OnConnect(uv_stream_t* stream, int status) {
  auto* listener = static_cast<Listener*>(stream->data);
  if (status < 0) {
    Log().warn("cannot accept a connection: {}", uv_strerror(status));
    return;
  }
  listener->server->Accept(*listener);
}

void Server::Accept(Listener& listener) {
  auto* connection = new Connection(*this, next_id_++);
  const ConnectionId id = next_id_ - 1;
  connections_.emplace(id, connection);
  if (uv_accept(reinterpret_cast<uv_stream_t*>(&listener.pipe), connection->stream()) != 0) {
    return connection->Close();
  }
  const absl::Status started = connection->Start(listener.door);
  if (!started.ok()) connection->Refuse(started);
}

// The new connection is among connections_ already.
absl::Status Server::CheckRoom(const Caller& caller) {
  const size_t room = limits_.connections + (caller.admin ? kConnectionsForAdmins : 0);
  if (connections_.size() > room) {
    return absl::ResourceExhaustedError(
        absl::StrCat("hetd has ", limits_.connections, " connections, which is its limit"));
  }
  const auto user = users_.find(caller.uid);
  if (caller.admin || user == users_.end()) return absl::OkStatus();
  if (user->second.connections < limits_.connections_per_user) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("user ", caller.uid, " has ",
                                                   user->second.connections,
                                                   " connections, which is what a user may have"));
}

bool Server::MayAsk(ConnectionId connection, const Caller& caller) {
  if (caller.admin) return true;
  User& user = users_[caller.uid];
  const double rate = limits_.requests_per_second_per_user;
  const uint64_t now = uv_now(loop_);
  if (user.filled_ms == 0) user.tokens = rate * kBurstSeconds;
  user.tokens += rate * static_cast<double>(now - std::min(now, user.filled_ms)) / 1000;
  user.tokens = std::min(user.tokens, rate * kBurstSeconds);
  user.filled_ms = now;
  if (user.tokens >= 1) {
    user.tokens -= 1;
    return true;
  }
  held_back_.push_back(connection);
  if (!uv_is_active(reinterpret_cast<uv_handle_t*>(&slow_timer_))) {
    uv_timer_start(&slow_timer_, OnSlowTimer, kHeldBackMs, 0);
  }
  return false;
}

void Server::OnSlowTimer(uv_timer_t* timer) {
  auto* server = static_cast<Server*>(timer->data);
  for (const ConnectionId id : std::exchange(server->held_back_, {})) {
    const auto it = server->connections_.find(id);
    if (it != server->connections_.end()) it->second->Resume();
  }
}

void Server::Schedule(ConnectionId connection) {
  scheduled_.push_back(connection);
  uv_idle_start(&idle_, OnIdle);
}

void Server::OnIdle(uv_idle_t* idle) {
  auto* server = static_cast<Server*>(idle->data);
  uv_idle_stop(idle);
  const std::vector<ConnectionId> scheduled = std::move(server->scheduled_);
  server->scheduled_.clear();
  for (const ConnectionId id : scheduled) {
    const auto it = server->connections_.find(id);
    if (it != server->connections_.end()) it->second->GoOn();
  }
}

void Server::Gone(ConnectionId connection, const Caller& caller, bool counted) {
  connections_.erase(connection);
  // What a user has used of their rate is remembered until they have been away for a while.
  if (counted) --users_[caller.uid].connections;
  if (users_.size() > kUsersRemembered) {
    std::erase_if(users_, [](const auto& user) { return user.second.connections == 0; });
  }
  if (!closed_) handler_.OnGone(connection);
}

void Server::Answer(ConnectionId connection, const Json& message,
                    std::vector<UniqueFd> descriptors) {
  const auto it = connections_.find(connection);
  if (it != connections_.end()) it->second->Answer(message, descriptors);
}

void Server::AnswerInPages(ConnectionId connection, Stream stream) {
  const auto it = connections_.find(connection);
  if (it != connections_.end()) it->second->AnswerInPages(std::move(stream));
}

void Server::Close() {
  if (closed_) return;
  closed_ = true;
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    if (!listener->path.empty()) unlink(listener->path.c_str());
    uv_close(reinterpret_cast<uv_handle_t*>(&listener->pipe), nullptr);
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&slow_timer_), nullptr);
  while (!connections_.empty()) connections_.begin()->second->Close();
}

}  // namespace het::daemon
