// Server: the connections of hetd. It accepts, cuts the bytes into requests, hands them over one at
// a time per connection, and writes the answers; it knows no method.
//
// Bounds: a frame, the depth and the number of connections are limited; a connection holds one
// unfinished answer frame at most and its next request waits until that has left; who takes longer
// than the limit to finish a frame, or to read, is disconnected. Malformed input gets one error and
// the connection is closed.
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
#include "base/json.h"
#include "daemon/process.h"
#include "partition/shared_pages.h"

namespace het::daemon {

using ConnectionId = uint64_t;

// The next frame of an answer that may be too long for one. Called when the frame before has left.
struct Page {
  Json parameters;
  bool continues = false;
};
using Stream = std::function<Page()>;

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // To be answered once, now or later; the connection's next request comes after that.
  virtual void OnRequest(ConnectionId connection, const Caller& caller, const Json& request) = 0;
  // The connection is gone, with whatever was not answered.
  virtual void OnGone(ConnectionId connection) = 0;
};

class Server {
 public:
  struct Limits {
    size_t connections = 4096;
    uint64_t frame_ms = 5000;  // to send the rest of a frame, or to read an answer
  };

  Server(uv_loop_t* loop, RequestHandler& handler) : Server(loop, handler, Limits()) {}
  Server(uv_loop_t* loop, RequestHandler& handler, Limits limits);
  ~Server();

  // Replaces a socket that is left there: the caller makes sure that nobody serves it. Everybody
  // may connect (0666). InvalidArgument when the path is too long for a socket.
  absl::Status Listen(const std::string& path);

  // {"parameters":..} or {"error":..}, and descriptors that travel with it (SCM_RIGHTS). Nothing
  // happens when the connection is gone.
  void Answer(ConnectionId connection, const Json& message, std::vector<UniqueFd> descriptors = {});
  void AnswerInPages(ConnectionId connection, Stream stream);

  bool IsOpen(ConnectionId connection) const { return connections_.contains(connection); }
  size_t connections() const { return connections_.size(); }
  // Stops accepting and closes every connection, without answers.
  void Close();

 private:
  class Connection;
  friend class Connection;

  static void OnConnect(uv_stream_t* listener, int status);
  static void OnIdle(uv_idle_t* idle);
  void Accept();
  // The connection has input and is free to take it: at the start of the next turn of the loop, so
  // that a client that sends many requests at once takes turns with the others.
  void Schedule(ConnectionId connection);
  void Gone(ConnectionId connection);

  uv_loop_t* const loop_;
  RequestHandler& handler_;
  const Limits limits_;
  std::string path_;
  uv_pipe_t listener_;
  uv_idle_t idle_;
  bool listening_ = false;
  bool closed_ = false;
  std::map<ConnectionId, Connection*> connections_;  // freed by libuv's close callbacks
  std::vector<ConnectionId> scheduled_;
  ConnectionId next_id_ = 1;
  std::unique_ptr<char[]> block_;  // what is being read, of any connection
};

}  // namespace het::daemon

#endif  // HET_DAEMON_SERVER_H_
