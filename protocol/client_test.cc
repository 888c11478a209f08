// The client against a scripted server: what it does when the daemon is not there, is slow, dies in
// mid-call, or answers nonsense.
#include "protocol/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "protocol/errors.h"

namespace het::protocol {
namespace {

using ::testing::HasSubstr;

// Answers each connection with the next script: a list of frames to send after each request.
class ScriptedServer {
 public:
  using Script = std::vector<std::string>;  // raw bytes per request; "" closes the connection

  explicit ScriptedServer(std::vector<Script> scripts) {
    char pattern[] = "/tmp/het-client-test-XXXXXX";
    directory_ = mkdtemp(pattern);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    thread_ = std::jthread([this, scripts = std::move(scripts)] {
      for (const Script& script : scripts) Serve(script);
    });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    unlink(path().c_str());
    rmdir(directory_.c_str());
  }
  std::string path() const { return directory_ + "/het.sock"; }

 private:
  void Serve(const Script& script) {
    const int fd = accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    char byte;
    for (const std::string& answer : script) {
      while (recv(fd, &byte, 1, 0) == 1 && byte != 0) continue;
      if (answer.empty()) break;
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
    shutdown(fd, SHUT_WR);
    while (recv(fd, &byte, 1, 0) == 1) continue;
    close(fd);
  }
  std::string directory_;
  int listener_ = -1;
  std::jthread thread_;
};

std::string Frame(const Json& json) { return *EncodeFrame(json); }

TEST(Client, SaysWhereItLookedAndHowToStartADaemon) {
  const auto client = Client::Connect("/nonexistent/het.sock");
  EXPECT_EQ(client.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("/nonexistent/het.sock"));
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("hetd --runtime-dir"));
}

TEST(Client, FindsTheSocketByTheEnvironment) {
  setenv("HET_SOCKET", "/some/where.sock", 1);
  EXPECT_EQ(DefaultSocketPath(), "/some/where.sock");
  unsetenv("HET_SOCKET");
  setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
  EXPECT_EQ(DefaultSocketPath(), "/run/het/het.sock");
  unsetenv("XDG_RUNTIME_DIR");
}

TEST(Client, JoinsTheFramesOfAList) {
  const auto page = [](const char* id, bool continues) {
    return Frame({{"parameters", {{"devices", {{{"id", id}}}}}}, {"continues", continues}});
  };
  ScriptedServer server({{page("a", true) + page("b", true) + page("c", false)}});
  const auto client = Client::Connect(server.path());
  const auto rows = (*client)->ListDevices();
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 3u);
  EXPECT_EQ((*rows)[2].info.uuid, "c");
}

TEST(Client, CallsAgainOnceWhenTheConnectionBreaks) {
  ScriptedServer server({{""}, {Frame({{"parameters", {{"version", "0.1.0"}}}})}});
  const auto client = Client::Connect(server.path());
  const auto info = (*client)->GetInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version, "0.1.0");
}

TEST(Client, DoesNotRepeatACallThatCouldActTwice) {
  ScriptedServer server({{""}, {Frame({{"parameters", Json::object()}})}});
  const auto client = Client::Connect(server.path());
  EXPECT_EQ((*client)->Call("org.het.v1.Acquire", Json::object()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(Client, GivesUpOnADaemonThatDoesNotAnswer) {
  ScriptedServer server({{Frame({{"continues", true}})}});
  const auto client = Client::Connect(server.path(), /*timeout_ms=*/50);
  ASSERT_TRUE(client.ok());
  const absl::Status status = (*client)->GetInfo().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
}

TEST(Client, RefusesNonsense) {
  ScriptedServer server({{std::string("nonsense\0", 9)}});
  const auto client = Client::Connect(server.path());
  EXPECT_EQ((*client)->GetInfo().status().code(), absl::StatusCode::kInternal);
}

TEST(Client, GivesTheStatusOfARefusal) {
  Shortage shortage;
  shortage.never_fits = true;
  ScriptedServer server({{Frame(ErrorReply(NoCapacity("asked too much", shortage)))}});
  const auto client = Client::Connect(server.path());
  const absl::Status status =
      (*client)->Acquire({{}, {{"d", Share::Whole(), kGiB, Policy::kCapped}}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "asked too much");
  EXPECT_TRUE(ShortageOf(status)->never_fits);
}

}  // namespace
}  // namespace het::protocol
