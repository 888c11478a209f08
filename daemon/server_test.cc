// The server with a scripted handler: what it does with clients that do not behave.
#include "daemon/server.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/clock.h"
#include "daemon/test_directory.h"
#include "protocol/descriptors.h"
#include "protocol/frame.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

class Echo : public RequestHandler {
 public:
  void OnRequest(ConnectionId connection, const Caller& caller, const Json& request) override {
    callers.push_back(caller);
    const auto method = JsonString(request, "method");
    if (method.ok() && *method == "pages") {
      server->AnswerInPages(connection, [left = 3]() mutable {
        return Page{{{"pad", std::string(60'000, 'x')}}, --left > 0};
      });
    } else if (method.ok() && *method == "endless") {
      server->AnswerInPages(connection, [] {
        return Page{{{"pad", std::string(60'000, 'x')}}, true};
      });
    } else if (method.ok() && *method == "later") {
      unanswered.push_back(connection);
    } else {
      server->Answer(connection, {{"parameters", request.value("parameters", Json::object())}});
    }
  }
  void OnGone(ConnectionId connection) override { gone.push_back(connection); }

  Server* server = nullptr;
  std::vector<Caller> callers;
  std::vector<ConnectionId> unanswered;
  std::vector<ConnectionId> gone;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    uv_loop_init(&loop_);
    Server::Limits limits;
    limits.connections = 4;
    limits.connections_per_user = 2;
    limits.requests_per_second_per_user = 5;
    limits.frame_ms = 150;
    chmod(directory_.path().c_str(), 0755);
    server_ = std::make_unique<Server>(&loop_, handler_, limits);
    handler_.server = server_.get();
    EXPECT_TRUE(server_->Listen(path()).ok());
  }
  ~ServerTest() override {
    for (int fd : clients_) close(fd);
    server_->Close();
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0) << "a handle was left open";
  }
  std::string path() const { return directory_.path() + "/het.sock"; }

  int Connect() {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    clients_.push_back(fd);
    return fd;
  }
  // The kernel notes who connects.
  int ConnectAs(uid_t uid) {
    EXPECT_EQ(seteuid(uid), 0) << "needs root to become a second user";
    const int fd = Connect();
    EXPECT_EQ(seteuid(0), 0);
    return fd;
  }
  // Runs the loop until `done`, at most ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    const int64_t deadline = Clock::Real().MonotonicNanos() + 10'000'000'000;
    while (!done()) {
      if (Clock::Real().MonotonicNanos() > deadline) return false;
      uv_run(&loop_, UV_RUN_NOWAIT);
      usleep(500);
    }
    return true;
  }
  // What arrives until a NUL or the end; "EOF" appended at the end.
  std::string Receive(int fd) {
    std::string text;
    RunUntil([&] {
      char byte;
      ssize_t got = 0;
      while ((got = recv(fd, &byte, 1, 0)) == 1 && byte != 0) text.push_back(byte);
      if (got == 0 || (got < 0 && errno != EAGAIN)) text += "EOF";
      return got >= 0 || errno != EAGAIN;
    });
    return text;
  }
  static void Send(int fd, const std::string& text) {
    ASSERT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  static std::string Request(const Json& json) { return *protocol::EncodeFrame(json); }

  TestDirectory directory_;
  uv_loop_t loop_;
  Echo handler_;
  std::unique_ptr<Server> server_;
  std::vector<int> clients_;
};

TEST_F(ServerTest, AnswersInOrderHoweverTheRequestsArrive) {
  const int fd = Connect();
  std::string both = Request({{"method", "a"}, {"parameters", {{"n", 1}}}}) +
                     Request({{"method", "a"}, {"parameters", {{"n", 2}}}});
  Send(fd, both.substr(0, 20));
  RunUntil([] { return true; });
  Send(fd, both.substr(20));
  EXPECT_THAT(Receive(fd), HasSubstr("\"n\":1"));
  EXPECT_THAT(Receive(fd), HasSubstr("\"n\":2"));
  EXPECT_EQ(handler_.callers.front().uid, getuid());
}

TEST_F(ServerTest, HoldsTheNextRequestUntilTheFirstIsAnswered) {
  const int fd = Connect();
  Send(fd, Request({{"method", "later"}}) + Request({{"method", "later"}}));
  ASSERT_TRUE(RunUntil([&] { return handler_.unanswered.size() == 1; }));
  for (int i = 0; i < 20; ++i) uv_run(&loop_, UV_RUN_NOWAIT);
  EXPECT_EQ(handler_.unanswered.size(), 1u);
  server_->Answer(handler_.unanswered[0], {{"parameters", Json::object()}});
  EXPECT_TRUE(RunUntil([&] { return handler_.unanswered.size() == 2; }));
}

TEST_F(ServerTest, StreamsPagesToWhoAsksForMore) {
  const int fd = Connect();
  Send(fd, Request({{"method", "pages"}, {"more", true}}));
  EXPECT_THAT(Receive(fd), HasSubstr("\"continues\":true"));
  EXPECT_THAT(Receive(fd), HasSubstr("\"continues\":true"));
  EXPECT_THAT(Receive(fd), testing::Not(HasSubstr("continues")));
  Send(fd, Request({{"method", "pages"}}));
  EXPECT_THAT(Receive(fd), HasSubstr("ExpectedMore"));
}

TEST_F(ServerTest, DoesNotAnswerAOnewayCall) {
  const int fd = Connect();
  Send(fd, Request({{"method", "a"}, {"oneway", true}, {"parameters", {{"n", 1}}}}) +
               Request({{"method", "a"}, {"parameters", {{"n", 2}}}}));
  EXPECT_THAT(Receive(fd), HasSubstr("\"n\":2"));
}

TEST_F(ServerTest, RefusesMalformedInputAndGoesOn) {
  for (const std::string& bad :
       {std::string("nonsense\0", 9), std::string("[]\0", 3), std::string(70'000, 'x')}) {
    const int fd = Connect();
    Send(fd, bad);
    EXPECT_THAT(Receive(fd), HasSubstr("org.het.v1.Invalid"));
    EXPECT_EQ(Receive(fd), "EOF");
  }
  const int good = Connect();
  Send(good, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(good), HasSubstr("parameters"));
}

TEST_F(ServerTest, DisconnectsWhoDoesNotFinishAFrame) {
  const int fd = Connect();
  Send(fd, "{\"method\":");
  EXPECT_EQ(Receive(fd), "EOF");
}

TEST_F(ServerTest, LeavesAnIdleClientAlone) {
  const int fd = Connect();
  Send(fd, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(fd), HasSubstr("parameters"));
  const int64_t later = Clock::Real().MonotonicNanos() + 300'000'000;
  RunUntil([&] { return Clock::Real().MonotonicNanos() > later; });
  Send(fd, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(fd), HasSubstr("parameters"));
}

TEST_F(ServerTest, DisconnectsWhoDoesNotRead) {
  const int fd = Connect();
  Send(fd, Request({{"method", "endless"}, {"more", true}}));
  EXPECT_TRUE(RunUntil([&] { return !handler_.gone.empty(); }));
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(ServerTest, NoticesThatAClientThatWaitsIsGone) {
  const int fd = Connect();
  Send(fd, Request({{"method", "later"}}));
  ASSERT_TRUE(RunUntil([&] { return !handler_.unanswered.empty(); }));
  shutdown(fd, SHUT_RDWR);
  EXPECT_TRUE(RunUntil([&] { return !handler_.gone.empty(); }));
  server_->Answer(handler_.unanswered[0], {{"parameters", Json::object()}});
}

TEST_F(ServerTest, RefusesMoreConnectionsThanItsLimit) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become other users";
  for (const uid_t uid : {1, 1, 2, 2}) ConnectAs(uid);
  const int fifth = ConnectAs(3);
  EXPECT_THAT(Receive(fifth), HasSubstr("hetd has 4 connections"));
  EXPECT_EQ(Receive(fifth), "EOF");
  const int admin = Connect();
  Send(admin, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(admin), HasSubstr("parameters")) << "room for administrators is left";
}

TEST_F(ServerTest, RefusesMoreConnectionsThanAUserMayHave) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become other users";
  const int first = ConnectAs(1);
  ConnectAs(1);
  const int third = ConnectAs(1);
  EXPECT_THAT(Receive(third), HasSubstr("user 1 has 2 connections"));
  const int other = ConnectAs(2);
  Send(other, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(other), HasSubstr("parameters"));
  shutdown(first, SHUT_RDWR);
  EXPECT_TRUE(RunUntil([&] { return server_->connections() == 2; }));
  const int again = ConnectAs(1);
  Send(again, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(again), HasSubstr("parameters"));
}

TEST_F(ServerTest, LetsAUserWhoAsksTooOftenWaitAndNobodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become other users";
  const int greedy = ConnectAs(1);
  const int other = ConnectAs(2);
  std::string many;
  for (int i = 0; i < 25; ++i) many += Request({{"method", "a"}});
  const int64_t begin = Clock::Real().MonotonicNanos();
  Send(greedy, many);
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Receive(greedy), HasSubstr("parameters")) << "a burst";
  Send(other, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(other), HasSubstr("parameters"));
  for (int i = 0; i < 5; ++i) EXPECT_THAT(Receive(greedy), HasSubstr("parameters"));
  EXPECT_GE(Clock::Real().MonotonicNanos() - begin, 800'000'000) << "5 requests at 5 a second";
}

TEST_F(ServerTest, MakesWhoComesThroughTheAdministratorsDoorOne) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become other users";
  const std::string path = directory_.path() + "/admin.sock";
  ASSERT_TRUE(server_->Listen(path, Server::Door::kAdmins).ok());
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  clients_.push_back(fd);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(setgroups(0, nullptr), 0);
  ASSERT_EQ(setegid(2), 0);
  ASSERT_EQ(seteuid(1), 0);
  const int refused = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(refused, -1);
  // As a member of the group that has the door.
  ASSERT_EQ(chown(path.c_str(), 0, 1), 0);
  ASSERT_EQ(setegid(1), 0);
  ASSERT_EQ(seteuid(1), 0);
  const int opened = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(setegid(0), 0);
  ASSERT_EQ(opened, 0);
  Send(fd, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(fd), HasSubstr("parameters"));
  EXPECT_EQ(handler_.callers.back().uid, 1u);
  EXPECT_TRUE(handler_.callers.back().admin);
}

TEST_F(ServerTest, KeepsNoDescriptorThatAClientSends) {
  const int fd = Connect();
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  Send(fd, Request({{"method", "a"}}));
  EXPECT_THAT(Receive(fd), HasSubstr("parameters"));
  const auto before = open_files();
  std::vector<UniqueFd> sent;
  sent.emplace_back(dup(fd));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(protocol::SendDescriptors(fd, Request({{"method", "a"}}), sent).ok());
    EXPECT_THAT(Receive(fd), HasSubstr("parameters"));
  }
  sent.clear();
  EXPECT_EQ(open_files(), before);
}

TEST_F(ServerTest, RefusesAPathThatIsNoSocketAddress) {
  Server server(&loop_, handler_);
  const absl::Status status = server.Listen("/tmp/" + std::string(200, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  server.Close();
  uv_run(&loop_, UV_RUN_NOWAIT);
}

}  // namespace
}  // namespace het::daemon
