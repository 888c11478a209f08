#include "runtime/isolation/connection.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

extern char** environ;

namespace het::runtime::isolation {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);  // a driver may compile for that long
constexpr int kWorkersEnd = 3;

}  // namespace

absl::StatusOr<std::shared_ptr<Connection>> Connection::Start(const std::string& program,
                                                              std::vector<std::string> arguments,
                                                              std::string name) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "cannot make a socket");
  }
  arguments.insert(arguments.begin(), program);
  arguments.insert(arguments.end(), {"--fd", absl::StrCat(kWorkersEnd)});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (ends[1] == kWorkersEnd) {
    // dup2 of a descriptor to itself would leave it to be closed.
    const int moved = fcntl(ends[1], F_DUPFD_CLOEXEC, kWorkersEnd + 1);
    close(std::exchange(ends[1], moved));
  }
  posix_spawn_file_actions_adddup2(&actions, ends[1], kWorkersEnd);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return ErrnoStatus(error, absl::StrCat("cannot run ", program));
  }
  return std::shared_ptr<Connection>(new Connection(ends[0], pid, std::move(name)));
}

Connection::Connection(int socket, pid_t pid, std::string name)
    : socket_(socket), pid_(pid), name_(std::move(name)), reader_([this] { Read(); }) {}

Connection::~Connection() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  shutdown(socket_, SHUT_RDWR);
  if (reader_.get_id() == std::this_thread::get_id()) {
    reader_.detach();  // the last owner was a callback; the thread ends behind it
  } else {
    reader_.join();
  }
  close(socket_);
}

void Connection::Read() {
  while (true) {
    auto message = Receive(socket_);
    if (!message.ok()) break;
    Done done;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = waiting_.find(message->id);
      if (found == waiting_.end()) continue;
      done = std::move(found->second);
      waiting_.erase(found);
    }
    if (message->status.ok()) {
      done(std::move(message->payload));
    } else {
      done(message->status);
    }
  }
  bool expected = false;
  {
    absl::MutexLock lock(&mutex_);
    expected = ending_;
  }
  // A worker that does not end by itself hangs in its driver.
  if (!expected) kill(pid_, SIGKILL);
  int status = 0;
  for (int turn = 0; waitpid(pid_, &status, WNOHANG) == 0; ++turn) {
    if (turn == 200) kill(pid_, SIGKILL);
    usleep(10'000);
  }
  const std::string how = WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL
                              ? absl::StrCat("died of signal ", WTERMSIG(status), " (",
                                             strsignal(WTERMSIG(status)), ")")
                              : "ended";
  if (!expected) Log().error("{} {}", name_, how);
  Fail(absl::DataLossError(
      absl::StrCat(name_, " ", how, ": the devices in it are lost to this process")));
}

void Connection::Fail(const absl::Status& status) {
  std::map<uint64_t, Done> waiting;
  {
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
    waiting.swap(waiting_);
  }
  for (auto& [id, done] : waiting) done(status);
}

absl::Status Connection::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

void Connection::SendOne(const Message& message) {
  absl::MutexLock lock(&send_mutex_);
  // A failure is seen by the reader too, which then tells everybody.
  (void)Send(socket_, message);
}

absl::StatusOr<std::string> Connection::Call(Verb verb, std::string payload, int descriptor) {
  struct Reply {
    absl::Mutex mutex;
    bool is_there ABSL_GUARDED_BY(mutex) = false;
    absl::StatusOr<std::string> answer ABSL_GUARDED_BY(mutex) = "";
  };
  auto reply = std::make_shared<Reply>();
  const auto done = [reply](absl::StatusOr<std::string> answer) {
    absl::MutexLock lock(&reply->mutex);
    reply->answer = std::move(answer);
    reply->is_there = true;
  };
  Message message;
  message.verb = static_cast<uint32_t>(verb);
  message.payload = std::move(payload);
  message.descriptor = descriptor;
  {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    message.id = ++last_id_;
    waiting_[message.id] = done;
  }
  SendOne(message);
  absl::MutexLock lock(&reply->mutex);
  if (!reply->mutex.AwaitWithTimeout(absl::Condition(&reply->is_there), kPatience)) {
    kill(pid_, SIGKILL);
    return absl::DeadlineExceededError(absl::StrCat(name_, " did not answer in ",
                                                    absl::FormatDuration(kPatience),
                                                    " and was killed: its driver hangs"));
  }
  return reply->answer;
}

void Connection::Tell(Verb verb, std::string payload) {
  Message message;
  message.verb = static_cast<uint32_t>(verb);
  message.payload = std::move(payload);
  SendOne(message);
}

}  // namespace het::runtime::isolation
