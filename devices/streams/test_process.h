// For tests of backends over a soft driver: processes of their own, because a process loads a
// driver once, and reads LD_LIBRARY_PATH when it starts.
#ifndef HET_DEVICES_STREAMS_TEST_PROCESS_H_
#define HET_DEVICES_STREAMS_TEST_PROCESS_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace het::streams {

// Runs `body` in a forked child with `variable` set, and fails where the child does.
inline void InChild(const char* variable, const char* settings, const std::function<void()>& body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    setenv(variable, settings, 1);
    body();
    fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child failed, see above";
}

// What the disabled test `filter` of this program prints in a process that looks for libraries in
// `path` (null: where the system has them).
inline std::string PrintedUnder(const char* path, const std::string& filter) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (path == nullptr) {
      unsetenv("LD_LIBRARY_PATH");
    } else {
      setenv("LD_LIBRARY_PATH", path, 1);
    }
    dup2(ends[1], STDOUT_FILENO);
    const std::string argument = "--gtest_filter=" + filter;
    execl("/proc/self/exe", "test", argument.c_str(), "--gtest_also_run_disabled_tests", nullptr);
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  char buffer[1024];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return text;
}

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_TEST_PROCESS_H_
