// Answers: the two halves of a conversation with clients. RequestHandler is told what they ask;
// Answers carries what they are told. Between them lies the server with its sockets, or a test.
//
// Threads: one, the loop's.
#ifndef HET_DAEMON_ANSWERS_H_
#define HET_DAEMON_ANSWERS_H_

#include <cstdint>
#include <functional>
#include <vector>

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

class Answers {
 public:
  virtual ~Answers() = default;
  // {"parameters":..} or {"error":..}, and descriptors that travel with it (SCM_RIGHTS). Nothing
  // happens when the connection is gone.
  virtual void Answer(ConnectionId connection, const Json& message,
                      std::vector<UniqueFd> descriptors) = 0;
  virtual void AnswerInPages(ConnectionId connection, Stream stream) = 0;
  virtual bool IsOpen(ConnectionId connection) const = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_ANSWERS_H_
