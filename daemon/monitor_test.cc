#include "daemon/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

class MonitorTest : public testing::Test {
 protected:
  MonitorTest() {
    uv_loop_init(&loop_);
    uv_timer_init(&loop_, &limit_);
  }
  ~MonitorTest() override {
    uv_close(reinterpret_cast<uv_handle_t*>(&limit_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0) << "a handle was left open";
  }

  Monitor::Options Probe(const std::string& script) {
    Monitor::Options options;
    options.probe = directory_.Write("probe", "#!/bin/sh\ncd " + directory_.path() + "\n" + script,
                                     /*executable=*/true);
    options.silence_ms = 400;
    options.first_restart_ms = 20;
    options.last_restart_ms = 50;
    return options;
  }
  Monitor::Events Events() {
    return {[this](const std::string&, const std::vector<Telemetry>&) { Note("sample"); },
            [this](const std::string&, const std::string& why) {
              why_ = why;
              Note("failure");
            },
            [this](const std::string&) { Note("return"); }};
  }
  // Runs until `wanted` things were told, at most `ms`.
  void RunUntil(size_t wanted, uint64_t ms = 10'000) {
    wanted_ = wanted;
    uv_timer_start(
        &limit_, [](uv_timer_t* timer) { uv_stop(timer->loop); }, ms, 0);
    if (told_.size() < wanted) uv_run(&loop_, UV_RUN_DEFAULT);
    uv_timer_stop(&limit_);
  }
  void Note(const std::string& what) {
    if (told_.empty() || told_.back() != what) told_.push_back(what);
    if (told_.size() >= wanted_) uv_stop(&loop_);
  }

  TestDirectory directory_;
  uv_loop_t loop_;
  uv_timer_t limit_;
  std::vector<std::string> told_;  // repeats left out
  std::string why_;
  size_t wanted_ = 0;
};

constexpr char kLine[] =
    R"(echo '{"backend":"x","telemetry":[{"id":"d","temperatureCelsius":50}]}')";

TEST_F(MonitorTest, TellsWhatTheSensorsSay) {
  Monitor monitor(&loop_, Probe(std::string(kLine) + "\nexec sleep 30"), Events());
  monitor.Watch("x", false);
  RunUntil(1);
  EXPECT_EQ(told_, std::vector<std::string>{"sample"});
  EXPECT_EQ(monitor.latest().at("d").temperature_celsius, 50);
  monitor.Stop();
}

TEST_F(MonitorTest, KillsAChildWhoseDriverHangsAndTellsWhenItAnswersAgain) {
  Monitor monitor(&loop_,
                  Probe("[ -e well ] || { touch well; exec sleep 30; }\n" + std::string(kLine) +
                        "\nexec sleep 30"),
                  Events());
  monitor.Watch("x", false);
  RunUntil(3);
  EXPECT_EQ(told_, (std::vector<std::string>{"failure", "return", "sample"}));
  EXPECT_THAT(why_, HasSubstr("hangs"));
  monitor.Stop();
}

TEST_F(MonitorTest, SaysThatADriverCrashes) {
  Monitor monitor(&loop_, Probe("kill -SEGV $$"), Events());
  monitor.Watch("x", false);
  RunUntil(1);
  EXPECT_EQ(told_, std::vector<std::string>{"failure"});
  EXPECT_THAT(why_, HasSubstr("crashed"));
  monitor.Stop();
}

TEST_F(MonitorTest, LeavesABackendWithoutSensorsAlone) {
  Monitor monitor(&loop_, Probe(R"(echo x >> starts; echo '{"unavailable":"no sensors"}')"),
                  Events());
  monitor.Watch("x", false);
  RunUntil(1, /*ms=*/500);  // nobody is told, and nobody is started again
  monitor.Watch("x", false);
  EXPECT_TRUE(told_.empty());
  EXPECT_EQ(ReadFile(directory_.path() + "/starts").value_or(""), "x\n");
  monitor.Stop();
}

TEST_F(MonitorTest, TellsThatABackendWithoutSensorsIsBack) {
  Monitor monitor(&loop_, Probe(R"(echo '{"unavailable":"no sensors"}')"), Events());
  monitor.Watch("x", /*failing=*/true);
  RunUntil(1);
  EXPECT_EQ(told_, std::vector<std::string>{"return"});
  monitor.Stop();
}

TEST_F(MonitorTest, IgnoresNonsense) {
  Monitor monitor(&loop_,
                  Probe("echo nonsense; echo '[]'; echo '{\"telemetry\":[7]}'\n" +
                        std::string(kLine) + "\nexec sleep 30"),
                  Events());
  monitor.Watch("x", false);
  RunUntil(1);
  while (monitor.latest().empty() && uv_run(&loop_, UV_RUN_ONCE) != 0) {
  }
  EXPECT_EQ(told_, std::vector<std::string>{"sample"});
  monitor.Stop();
}

}  // namespace
}  // namespace het::daemon
