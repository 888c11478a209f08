#include "tests/interpose/run_program.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

namespace het::interpose {

Answer RunShell(const std::string& command) {
  Answer answer;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return answer;
  char part[4096];
  while (const size_t n = fread(part, 1, sizeof(part), pipe)) answer.text.append(part, n);
  const int status = pclose(pipe);
  answer.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  char name[64];
  long long value = 0;
  for (size_t at = 0; at < answer.text.size();) {
    if (std::sscanf(answer.text.c_str() + at, "%63s %lld", name, &value) == 2) {
      answer.values[name] = value;
    }
    const size_t end = answer.text.find('\n', at);
    at = end == std::string::npos ? answer.text.size() : end + 1;
  }
  return answer;
}

bool Eventually(const std::function<bool()>& done, int ms) {
  for (int i = 0; i < ms / 10; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

bool LeavesNothingWhenKilled(SeatServer& server, uint32_t lease, const std::string& command) {
  int wait_for[2];
  if (pipe(wait_for) != 0) return false;
  const pid_t child = fork();
  if (child == 0) {
    dup2(wait_for[0], STDIN_FILENO);
    close(wait_for[1]);
    execl("/bin/sh", "sh", "-c", ("exec " + command + " > /dev/null").c_str(), nullptr);
    _exit(127);
  }
  const bool worked = Eventually([&] { return server.Usage(lease).memory > 0; }) &&
                      write(wait_for[1], "go\n", 3) == 3 &&
                      Eventually([&] { return server.Usage(lease).used_ns > 0; });
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(wait_for[0]);
  close(wait_for[1]);
  const auto is_free = [&] {
    const ArbiterUsage usage = server.Usage(lease);
    return usage.memory == 0 && usage.in_flight == 0;
  };
  return worked && Eventually(is_free, 1000);
}

Sharing ShareOf(SeatServer& server, const uint32_t (&leases)[2], const std::string (&commands)[2]) {
  FILE* programs[2];
  for (int i = 0; i < 2; ++i) {
    programs[i] = popen((commands[i] + " > /dev/null").c_str(), "w");
    if (programs[i] == nullptr) return {};
  }
  for (const uint32_t lease : leases) {
    if (!Eventually([&] { return server.Usage(lease).memory > 0; })) return {};
  }
  for (FILE* program : programs) {
    std::fputs("go\n", program);
    std::fflush(program);
  }
  // In the middle, while both are at it: the median of three windows.
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  std::vector<double> parts, charged;
  for (int window = 0; window < 3; ++window) {
    const auto begin = std::chrono::steady_clock::now();
    const uint64_t before[] = {server.Usage(leases[0]).used_ns, server.Usage(leases[1]).used_ns};
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    const double first = static_cast<double>(server.Usage(leases[0]).used_ns - before[0]);
    const double second = static_cast<double>(server.Usage(leases[1]).used_ns - before[1]);
    const std::chrono::duration<double, std::nano> passed =
        std::chrono::steady_clock::now() - begin;
    parts.push_back(first + second > 0 ? first / (first + second) : -1);
    charged.push_back((first + second) / passed.count());
  }
  std::sort(parts.begin(), parts.end());
  std::sort(charged.begin(), charged.end());
  bool ended_well = true;
  for (FILE* program : programs) ended_well &= pclose(program) == 0;
  return ended_well ? Sharing{parts[1], charged[1]} : Sharing{};
}

}  // namespace het::interpose
