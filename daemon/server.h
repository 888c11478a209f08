// Server: the connections of hetd. It accepts, cuts the bytes into requests, hands them over one at
// a time per connection, and writes the answers; it knows no method.
//
// Bounds: a frame, the depth and the number of connections are limited, in all and by user; a
// connection holds one unfinished answer frame at most and its next request waits until that has
// left; a user who asks more often than the limit waits too; who takes longer than the limit to
// finish a frame, or to read, is disconnected. Malformed input gets one error and the connection is
// closed. Administrators have no limits of their own, and room when the others have taken theirs.
//
// Ownership: the daemon owns it and the loop outlives it. Threads: the loop's.
#ifndef HET_DAEMON_SERVER_H_
#define HET_DAEMON_SERVER_H_

#include <uv.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/answers.h"

namespace het::daemon {

class Server final : public Answers {
 public:
  struct Limits {
    size_t connections = 4096;
    size_t connections_per_user = 1024;
    double requests_per_second_per_user = 2000;  // and four seconds' worth of them at once
    uint64_t frame_ms = 5000;  // to send the rest of a frame, or to read an answer
  };
  // A socket, and who comes through it. kEverybody: mode 0666, administrators are root and hetd's
  // own user. kAdmins: mode 0660 and group het-admin, if there is one; whoever can open it is one.
  enum class Door { kEverybody, kAdmins };

  Server(uv_loop_t* loop, RequestHandler& handler) : Server(loop, handler, Limits()) {}
  Server(uv_loop_t* loop, RequestHandler& handler, Limits limits);
  ~Server();

  // Replaces a socket that is left there: the caller makes sure that nobody serves it. Once for
  // each door. InvalidArgument when the path is too long for a socket.
  absl::Status Listen(const std::string& path, Door door = Door::kEverybody);

  void Answer(ConnectionId connection, const Json& message,
              std::vector<UniqueFd> descriptors = {}) override;
  void AnswerInPages(ConnectionId connection, Stream stream) override;
  bool IsOpen(ConnectionId connection) const override { return connections_.contains(connection); }

  size_t connections() const { return connections_.size(); }
  // Stops accepting and closes every connection, without answers.
  void Close();

 private:
  class Connection;
  friend class Connection;

  struct Listener {
    Server* server = nullptr;
    Door door = Door::kEverybody;
    std::string path;
    uv_pipe_t pipe;
  };
  // What a user has and may.
  struct User {
    size_t connections = 0;
    double tokens = 0;  // requests that may be taken now
    uint64_t filled_ms = 0;
  };

  static void OnConnect(uv_stream_t* listener, int status);
  static void OnIdle(uv_idle_t* idle);
  static void OnSlowTimer(uv_timer_t* timer);
  void Accept(Listener& listener);
  absl::Status CheckRoom(const Caller& caller);
  // Whether the user may ask now; otherwise the connection is scheduled for when it may be so.
  bool MayAsk(ConnectionId connection, const Caller& caller);
  // The connection has input and is free to take it: at the start of the next turn of the loop, so
  // that a client that sends many requests at once takes turns with the others.
  void Schedule(ConnectionId connection);
  void Gone(ConnectionId connection, const Caller& caller, bool counted);

  uv_loop_t* const loop_;
  RequestHandler& handler_;
  const Limits limits_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  uv_idle_t idle_;
  uv_timer_t slow_timer_;  // runs while users are held back
  std::vector<ConnectionId> held_back_;
  std::map<uid_t, User> users_;  // who are connected
  bool closed_ = false;
  std::map<ConnectionId, Connection*> connections_;  // freed by libuv's close callbacks
  std::vector<ConnectionId> scheduled_;
  ConnectionId next_id_ = 1;
  std::unique_ptr<char[]> block_;  // what is being read, of any connection
};

}  // namespace het::daemon

#endif  // HET_DAEMON_SERVER_H_
