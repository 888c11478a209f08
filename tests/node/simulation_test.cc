// The whole node under what can happen to it, by seed. HET_SEED=N replays one run and prints all
// its events; HET_SOAK=1 runs 10,000 seeds, else as many as fit in HET_SIM_SECONDS (default 40).
#include "tests/node/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/log.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

bool Soak() { return FromEnvironment("HET_SOAK", 0) != 0; }

double Seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

void Quiet() { Log().set_level(spdlog::level::off); }

// Seeds first, first + step, ... until `last` or the time is over. How many; 0 after a violation,
// which is printed.
uint64_t RunSeeds(uint64_t first, uint64_t last, uint64_t step, double seconds, SimStats* sum) {
  const double end = Seconds() + seconds;
  uint64_t count = 0;
  for (uint64_t seed = first; seed <= last && Seconds() < end; seed += step) {
    Simulation simulation(seed, {});
    const std::string violation = simulation.Run();
    if (!violation.empty()) {
      printf("%s\nreplay with HET_SEED=%llu\n", violation.c_str(),
             static_cast<unsigned long long>(seed));
      fflush(stdout);
      return 0;
    }
    ++count;
    const SimStats& stats = simulation.stats();
    sum->turns += stats.turns;
    sum->granted += stats.granted;
    sum->kills += stats.kills;
    sum->power_losses += stats.power_losses;
    sum->faults += stats.faults;
    sum->deaths += stats.deaths;
    sum->repeats += stats.repeats;
  }
  return count;
}

TEST(Simulation, HoldsItsPromisesUnderEverySeed) {
  Quiet();
  if (const uint64_t seed = FromEnvironment("HET_SEED", 0); seed != 0) {
    Simulation simulation(seed, {.events_kept = 100'000});
    const std::string violation = simulation.Run();
    EXPECT_TRUE(violation.empty());
    printf("%s\n", violation.c_str());
    return;
  }
  // A process for each core: the failpoints are the process's.
  const uint64_t processes = Soak() ? 2 : 1;
  const uint64_t last = 10'000;
  const double seconds =
      Soak() ? 3600 : static_cast<double>(FromEnvironment("HET_SIM_SECONDS", 40));
  const double begin = Seconds();
  int results[2];
  ASSERT_EQ(pipe(results), 0);
  for (uint64_t i = 0; i < processes; ++i) {
    if (fork() != 0) continue;
    std::pair<uint64_t, SimStats> result;
    result.first = RunSeeds(1 + i, last, processes, seconds, &result.second);
    _exit(write(results[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
  }
  close(results[1]);
  uint64_t seeds = 0;
  SimStats all;
  for (uint64_t i = 0; i < processes; ++i) {
    std::pair<uint64_t, SimStats> result;
    ASSERT_EQ(read(results[0], &result, sizeof(result)), static_cast<ssize_t>(sizeof(result)));
    EXPECT_GT(result.first, 0u) << "a seed was violated; see above";
    seeds += result.first;
    all.turns += result.second.turns;
    all.granted += result.second.granted;
    all.kills += result.second.kills;
    all.power_losses += result.second.power_losses;
    all.faults += result.second.faults;
    all.deaths += result.second.deaths;
    all.repeats += result.second.repeats;
  }
  while (wait(nullptr) > 0) {
  }
  close(results[0]);
  printf(
      "%llu seeds in %.1f s: %llu turns, %llu leases granted, %llu kills, %llu power losses, "
      "%llu times of disk errors, %llu processes ended, %llu repeats\n",
      static_cast<unsigned long long>(seeds), Seconds() - begin,
      static_cast<unsigned long long>(all.turns), static_cast<unsigned long long>(all.granted),
      static_cast<unsigned long long>(all.kills), static_cast<unsigned long long>(all.power_losses),
      static_cast<unsigned long long>(all.faults), static_cast<unsigned long long>(all.deaths),
      static_cast<unsigned long long>(all.repeats));
  EXPECT_GE(seeds, Soak() ? last : 50u);
  EXPECT_GT(all.granted, seeds) << "hardly anything happened";
  EXPECT_GT(all.power_losses + all.kills, seeds);
}

TEST(Simulation, ReplaysASeedToTheByte) {
  Quiet();
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Simulation first(seed, {});
    EXPECT_EQ(first.Run(), "");
    Simulation second(seed, {});
    EXPECT_EQ(second.Run(), "");
    EXPECT_EQ(first.trace(), second.trace()) << "seed " << seed;
    EXPECT_EQ(first.stats().turns, second.stats().turns);
  }
}

// The seeds out of the first hundred in which the checks found something.
std::vector<std::string> Violations(SimOptions options) {
  Quiet();
  std::vector<std::string> found;
  for (uint64_t seed = 1; seed <= 100 && found.size() < 5; ++seed) {
    Simulation simulation(seed, options);
    std::string violation = simulation.Run();
    if (!violation.empty()) found.push_back(std::move(violation));
  }
  return found;
}

TEST(Simulation, NoticesADiskThatLosesWhatItHadSynced) {
  EXPECT_GE(Violations({.disk_lies = true}).size(), 5u);
}

TEST(Simulation, NoticesALeaseThatOutlivesItsProcess) {
  const std::vector<std::string> found = Violations({.deaths_hide = true});
  ASSERT_GE(found.size(), 5u);
  EXPECT_THAT(found.front(), HasSubstr("which has ended"));
}

}  // namespace
}  // namespace het::daemon
