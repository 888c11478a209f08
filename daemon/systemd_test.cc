#include "daemon/systemd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "daemon/journal.h"
#include "daemon/test_directory.h"
#include "protocol/descriptors.h"

namespace het::daemon {
namespace {

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

UniqueFd Bound(const std::string& path, int type) {
  UniqueFd fd(socket(AF_UNIX, type, 0));
  const sockaddr_un address = AddressOf(path);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

TEST(Systemd, HearsNothingWhereThereIsNone) {
  unsetenv("NOTIFY_SOCKET");
  NotifySystemd("READY=1");
  unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(WatchdogMicros(), 0);
}

TEST(Systemd, SendsStatesAndDescriptors) {
  TestDirectory directory;
  const std::string path = directory.path() + "/notify";
  const UniqueFd manager = Bound(path, SOCK_DGRAM);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  NotifySystemd("READY=1\nSTATUS=x");
  KeepDescriptor("het-arbiter-1", STDIN_FILENO);
  unsetenv("NOTIFY_SOCKET");
  char text[256];
  const ssize_t size = recv(manager.get(), text, sizeof(text), 0);
  EXPECT_EQ(std::string(text, static_cast<size_t>(size)), "READY=1\nSTATUS=x");
  std::vector<UniqueFd> descriptors;
  const ssize_t second =
      protocol::ReceiveWithDescriptors(manager.get(), text, sizeof(text), descriptors);
  EXPECT_EQ(std::string(text, static_cast<size_t>(second)), "FDSTORE=1\nFDNAME=het-arbiter-1");
  EXPECT_EQ(descriptors.size(), 1u);
}

// What was handed over is read once per process, so each case has one of its own.
int InChild(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST(Systemd, TakesOverTheSocketAndWhatWasKept) {
  TestDirectory directory;
  const std::string path = directory.path() + "/het.sock";
  EXPECT_EQ(InChild([&] {
              UniqueFd listener = Bound(path, SOCK_STREAM);
              listen(listener.get(), 1);
              UniqueFd kept(socket(AF_UNIX, SOCK_STREAM, 0));
              const int first = listener.Release(), second = kept.Release();
              dup2(first, 30);
              dup2(second, 31);
              dup2(30, 3);
              dup2(31, 4);
              setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
              setenv("LISTEN_FDS", "2", 1);
              setenv("LISTEN_FDNAMES", "hetd.socket:het-arbiter-7", 1);
              const auto taken = TakeKeptDescriptors("het-arbiter-");
              const bool others = TakeInheritedSocket(directory.path() + "/other") < 0;
              return taken.size() == 1 && taken.contains("het-arbiter-7") && others &&
                     TakeInheritedSocket(path) == 3 && TakeInheritedSocket(path) == -1 &&
                     getenv("LISTEN_FDS") == nullptr;
            }),
            0);
}

TEST(Systemd, TakesNothingThatWasMeantForAnotherProcess) {
  EXPECT_EQ(InChild([] {
              setenv("LISTEN_PID", "1", 1);
              setenv("LISTEN_FDS", "5", 1);
              return TakeKeptDescriptors("").empty();
            }),
            0);
}

TEST(Systemd, AnswersOnlyItsOwnWatchdog) {
  setenv("WATCHDOG_USEC", "15000000", 1);
  EXPECT_EQ(WatchdogMicros(), 15'000'000);
  setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(WatchdogMicros(), 0);
  unsetenv("WATCHDOG_USEC");
  unsetenv("WATCHDOG_PID");
}

TEST(Journal, EncodesFieldsAndValuesWithLineEnds) {
  const std::string datagram =
      EncodeForJournal(Event::kLeaseEnded, "a\nb", {{"HET_LEASE_ID", "l1"}});
  EXPECT_EQ(datagram.substr(0, 20), std::string("MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n", 20));
  EXPECT_THAT(datagram, testing::HasSubstr("HET_LEASE_ID=l1\n"));
  EXPECT_THAT(datagram,
              testing::HasSubstr("MESSAGE_ID=" + std::string(MessageId(Event::kLeaseEnded))));
}

}  // namespace
}  // namespace het::daemon
