#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Config> Read(const std::string& text) {
  TestDirectory directory;
  return ReadConfig(directory.Write("hetd.toml", text));
}

TEST(ReadConfig, ReadsEverySection) {
  const auto config = Read(R"(
[[slice]]
name = "gold"
device = "gpu"
share = 50
memory = "8GiB"
[limits]
connections = 100
leases_per_user = 7
requests_per_second_per_user = 50
[security]
isolation = "cooperative"
[health]
interval = "10s"
)");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->slices.at(0).share, Share::OfPercent(50));
  EXPECT_EQ(config->limits.server.connections, 100u);
  EXPECT_EQ(config->limits.server.connections_per_user, 1024u) << "as it is without the file";
  EXPECT_EQ(config->limits.leases_per_user, 7u);
  EXPECT_EQ(config->limits.server.requests_per_second_per_user, 50);
  EXPECT_EQ(config->isolation_at_least, Isolation::kCooperative);
  EXPECT_EQ(config->health_interval_ms, 10'000);
}

TEST(ReadConfig, NamesTheLineAndTheColumnOfAMistake) {
  const std::pair<const char*, const char*> kMistakes[] = {
      {"[limits]\nleases_per_usr = 5\n",
       "hetd.toml:2:18: [limits] has no \"leases_per_usr\"; it has"},
      {"[limits]\nleases_per_user = \"many\"\n",
       "hetd.toml:2:19: \"leases_per_user\": is many, must be"},
      {"[limits]\nconnections = 0\n", "hetd.toml:2:15: \"connections\": is 0, must be"},
      {"[limits]\nconnections = -3\n", "hetd.toml:2:15: \"connections\": is -3"},
      {"[health]\ninterval = \"3 parsecs\"\n", "hetd.toml:2:12: \"interval\": "},
      {"[security]\nisolation = \"none\"\n", "hetd.toml:2:13: \"isolation\": "},
      {"[[slice]]\nname=\"a\"\ndevice=\"d\"\nshare = \"half\"\nmemory=\"1GiB\"\n",
       "hetd.toml:4:9: \"share\": "},
      {"[[slice]]\nname=\"a\"\ndevice=\"d\"\nshare = 5\nmemory = \"1 GB of it\"\n",
       "hetd.toml:5:10: \"memory\": "},
      {"limits = 3\n", "hetd.toml:1:10: must be a table, as in [limits]"},
      {"[colours]\nred = 1\n", "hetd knows no \"colours\""},
      {"[limits\n", "hetd.toml:1:8: "},
  };
  for (const auto& [text, message] : kMistakes) {
    const auto config = Read(text);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace het::daemon
