#include "daemon/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace het::daemon {
namespace {

constexpr char kStat[] =
    "812 (name) S 1 812 812 0 -1 4194304 116 0 0 0 0 0 0 0 20 0 1 0 202144 3133440 389";

TEST(Process, ReadsTheStartTimeWhateverTheCommandIs) {
  EXPECT_EQ(StartTimeInStat(kStat), 202144u);
  std::string odd = kStat;
  odd.replace(odd.find("name"), 4, "a) Z 1 (b) (");
  EXPECT_EQ(StartTimeInStat(odd), 202144u);
  EXPECT_EQ(StartTimeInStat("812 (zombie) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"), 0u);
  EXPECT_EQ(StartTimeInStat(""), 0u);
  EXPECT_EQ(StartTimeInStat("812 (x) S 1"), 0u);
}

TEST(Process, TellsAProcessFromALaterOneOfTheSameNumber) {
  const auto self = FindProcess(getpid());
  ASSERT_TRUE(self.ok());
  EXPECT_TRUE(IsAlive(*self));
  EXPECT_FALSE(IsAlive({self->pid, self->start_time + 1}));
  EXPECT_FALSE(OpenProcess({self->pid, self->start_time + 1}).ok());
}

TEST(Process, IsSeenToEnd) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto process = FindProcess(child);
  ASSERT_TRUE(process.ok());
  const auto pidfd = OpenProcess(*process);
  ASSERT_TRUE(pidfd.ok()) << pidfd.status();
  pollfd entry = {*pidfd, POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 0);
  kill(child, SIGKILL);
  EXPECT_EQ(poll(&entry, 1, 5000), 1);
  EXPECT_FALSE(IsAlive(*process)) << "a zombie holds no lease";
  waitpid(child, nullptr, 0);
  close(*pidfd);
}

TEST(Process, KnowsThePeerOfASocket) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const auto peer = PeerOf(ends[0]);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->uid, getuid());
  EXPECT_EQ(peer->process, *FindProcess(getpid()));
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace het::daemon
