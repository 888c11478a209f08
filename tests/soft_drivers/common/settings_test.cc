#include "tests/soft_drivers/common/settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace het::soft {
namespace {

TEST(Settings, ReadsTheEnvironment) {
  setenv("HET_SOFT_A", "devices=3; memory=8GiB;name=A card;memory.1=512MiB", 1);
  const Settings settings("HET_SOFT_A");
  EXPECT_EQ(settings.Number("devices", 1), 3u);
  EXPECT_EQ(settings.Number("memory", 1, 0), uint64_t{8} << 30);
  EXPECT_EQ(settings.Number("memory", 1, 1), uint64_t{512} << 20);
  EXPECT_EQ(settings.Text("name", "", 2), "A card");
  EXPECT_EQ(settings.Number("units", 7), 7u);
}

TEST(Settings, AFaultStrikesItsCardAfterAsManyCallsAsAsked) {
  setenv("HET_SOFT_B", "fault=launch:lost:card=1:after=2;fault=init:oom", 1);
  Settings settings("HET_SOFT_B");
  EXPECT_EQ(settings.Check("init"), "oom");
  EXPECT_EQ(settings.Check("launch", 0), "");
  EXPECT_EQ(settings.Check("launch", 1), "");
  EXPECT_EQ(settings.Check("launch", 1), "");
  EXPECT_EQ(settings.Check("launch", 1), "lost");
  EXPECT_EQ(settings.Check("launch", 1), "lost");
}

TEST(Settings, FollowsItsFile) {
  const auto file =
      std::filesystem::temp_directory_path() / ("het-soft-settings-" + std::to_string(getpid()));
  setenv("HET_SOFT_C_FILE", file.c_str(), 1);
  Settings settings("HET_SOFT_C");
  EXPECT_EQ(settings.Check("copy", 0), "");
  std::ofstream(file) << "# a remark\nfault=copy:ecc\n";
  for (int i = 0; i < 1000 && settings.Check("copy", 0).empty(); ++i) usleep(1000);
  EXPECT_EQ(settings.Check("copy", 0), "ecc");
  std::filesystem::remove(file);
  for (int i = 0; i < 1000 && !settings.Check("copy", 0).empty(); ++i) usleep(1000);
  EXPECT_EQ(settings.Check("copy", 0), "");
}

TEST(SettingsDeathTest, ACrashKillsTheProcess) {
  setenv("HET_SOFT_D", "fault=init:crash", 1);
  EXPECT_EXIT(
      {
        Settings settings("HET_SOFT_D");
        settings.Check("init");
      },
      testing::KilledBySignal(SIGSEGV), "");
}

}  // namespace
}  // namespace het::soft
