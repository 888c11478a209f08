// RunProgram: a program of tests/interpose in a shell, and the "name value" lines that it prints.
#ifndef HET_TESTS_INTERPOSE_RUN_PROGRAM_H_
#define HET_TESTS_INTERPOSE_RUN_PROGRAM_H_

#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <thread>

namespace het::interpose {

struct Answer {
  int exit = -1;
  std::string text;  // stdout and stderr
  std::map<std::string, long long> values;
};

inline Answer RunShell(const std::string& command) {
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

// What a process does takes a while on a busy machine; what must be quick says how quick.
inline bool Eventually(const std::function<bool()>& done, int ms = 20'000) {
  for (int i = 0; i < ms / 10; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace het::interpose

#endif  // HET_TESTS_INTERPOSE_RUN_PROGRAM_H_
