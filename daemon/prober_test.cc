#include "daemon/prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

class ProberTest : public testing::Test {
 protected:
  ProberTest() { uv_loop_init(&loop_); }
  ~ProberTest() override { EXPECT_EQ(uv_loop_close(&loop_), 0) << "a handle was left open"; }

  absl::StatusOr<std::string> Run(const std::string& script, int64_t limit_ms = 10'000) {
    const std::string binary = directory_.Write("probe", "#!/bin/sh\n" + script, true);
    absl::StatusOr<std::string> result = absl::UnknownError("never called");
    int calls = 0;
    StartProbe(&loop_, {binary, {"--backend", "x"}, limit_ms},
               [&](absl::StatusOr<std::string> output) {
                 result = std::move(output);
                 ++calls;
               });
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(calls, 1);
    return result;
  }

  TestDirectory directory_;
  uv_loop_t loop_;
};

TEST_F(ProberTest, GivesWhatTheChildPrinted) {
  const auto output = Run("echo \"$@\"");
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(*output, "--backend x\n");
}

TEST_F(ProberTest, TakesMoreThanAPipeHolds) {
  const auto output = Run("head -c 300000 /dev/zero");
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->size(), 300'000u);
}

TEST_F(ProberTest, KillsAChildThatHangs) {
  const int64_t begin = Clock::Real().MonotonicNanos();
  const auto output = Run("exec sleep 30", /*limit_ms=*/200);
  EXPECT_EQ(output.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(Clock::Real().MonotonicNanos() - begin, 10'000'000'000);
}

TEST_F(ProberTest, DoesNotWaitForWhatAHungChildLeftBehind) {
  const auto output = Run("sleep 3 & exec sleep 30", /*limit_ms=*/200);
  EXPECT_EQ(output.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ProberTest, SaysThatAChildCrashed) {
  const auto output = Run("kill -SEGV $$");
  EXPECT_THAT(std::string(output.status().message()), HasSubstr("crashed"));
}

TEST_F(ProberTest, SaysThatAChildFailed) {
  EXPECT_THAT(std::string(Run("exit 3").status().message()), HasSubstr("exit code 3"));
}

TEST_F(ProberTest, StopsAChildThatPrintsForEver) {
  EXPECT_THAT(std::string(Run("exec cat /dev/zero").status().message()), HasSubstr("4 MiB"));
}

TEST_F(ProberTest, SaysThatThereIsNoProbe) {
  absl::Status status;
  StartProbe(&loop_, {"/nonexistent/het-probe", {}, 1000},
             [&](absl::StatusOr<std::string> output) { status = output.status(); });
  uv_run(&loop_, UV_RUN_DEFAULT);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/het-probe"));
}

}  // namespace
}  // namespace het::daemon
