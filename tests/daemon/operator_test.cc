// What an operator sees of a real hetd: the allocation report, metrics, what changes, completion
// and the manual.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "report/allocation.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  std::string output;
  int exit_code = 0;
};

Ran Shell(const std::string& command) {
  Ran ran;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  std::array<char, 65536> block;
  for (size_t got = 1; got > 0;) {
    got = fread(block.data(), 1, block.size(), pipe);
    ran.output.append(block.data(), got);
  }
  ran.exit_code = WEXITSTATUS(pclose(pipe));
  return ran;
}

Ran Hetctl(const HetdProcess& hetd, const std::string& arguments) {
  return Shell(absl::StrCat(HETCTL_BINARY, " --socket ", hetd.socket(), " ", arguments));
}

std::vector<Json> Lines(const std::string& text) {
  std::vector<Json> lines;
  for (const auto& line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line[0] == '{') lines.push_back(*ParseJson(line));
  }
  return lines;
}

TEST(Operator, ReadsWhereTheHoursWent) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  auto request = AcquireOf("gpu-a", 30, 4 * kGiB);
  request.terms.tenant = "ana";
  ASSERT_TRUE(client->Acquire(request).ok());
  EXPECT_FALSE(client->Acquire(AcquireOf("gpu-a", 90, kGiB)).ok());
  ASSERT_TRUE(Eventually([&] {
    const Ran csv = Hetctl(hetd, "report -o csv");
    return csv.output.find(",HeldIdle,ana,") != std::string::npos;
  }));
  const Ran jsonl = Hetctl(hetd, "report -o jsonl");
  EXPECT_EQ(jsonl.exit_code, 0);
  EXPECT_THAT(jsonl.output, HasSubstr("is not over"));
  std::map<std::string, std::pair<double, double>> sums;
  double denied = 0;
  for (const Json& row : Lines(jsonl.output)) {
    auto& [memory, compute] =
        sums[row["periodStart"].get<std::string>() + row["deviceId"].get<std::string>()];
    memory += row["memoryShare"].get<double>();
    compute += row["computeShare"].get<double>();
    denied += row.value("deniedRequests", 0.0);
  }
  EXPECT_GE(sums.size(), 2u);
  for (const auto& [key, sum] : sums) {
    EXPECT_NEAR(sum.first, 1, 1e-9) << key;
    EXPECT_NEAR(sum.second, 1, 1e-9) << key;
  }
  EXPECT_EQ(denied, 1);
  EXPECT_THAT(Hetctl(hetd, "report").output, HasSubstr("ana"));

  const std::string file = hetd.directory().path() + "/report";
  for (const char* options : {"-o csv", "-o jsonl", "-o html", "-o csv --format focus-1.3"}) {
    const Ran ran = Hetctl(hetd, absl::StrCat("report --file ", file, " ", options));
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    std::ifstream sidecar(file + ".json");
    const auto json = ParseJson(std::string((std::istreambuf_iterator<char>(sidecar)), {}));
    ASSERT_TRUE(json.ok());
    const std::string sum = Shell("sha256sum " + file).output.substr(0, 64);
    EXPECT_EQ((*json)["sha256"], sum);
    EXPECT_GT((*json)["rows"], 2);
  }
}

TEST(Operator, IsToldWhatIsWrongWithTheTime) {
  HetdProcess hetd;
  hetd.Start();
  EXPECT_EQ(Hetctl(hetd, "report --from yesterday").exit_code, 2);
  EXPECT_EQ(Hetctl(hetd, "report --from 2025-01-02 --to 2025-01-01").exit_code, 2);
  EXPECT_EQ(Hetctl(hetd, "report -o xml").exit_code, 2);
  EXPECT_EQ(Hetctl(hetd, "report -o html --format focus-1.3").exit_code, 2);
  const Ran before = Hetctl(hetd, "report --from 2001-01-01 --to 2001-01-02");
  EXPECT_EQ(before.exit_code, 0);
  EXPECT_THAT(before.output, HasSubstr("nothing was sampled"));
}

TEST(Operator, GetsTheHourBackAfterAKill) {
  HetdProcess hetd;
  hetd.Start();
  const auto covered = [&] {
    const auto lines = Lines(Hetctl(hetd, "report -o jsonl").output);
    return lines.empty() ? 0.0 : lines.back().value("sampleCoverage", 0.0) * 3600;
  };
  ASSERT_TRUE(Eventually([&] { return covered() >= 2; }));
  hetd.Kill(SIGTERM);  // writes what it has; kill -9 may lose a minute
  hetd.Start();
  EXPECT_TRUE(Eventually([&] { return covered() >= 2; }, 1500));
}

TEST(Operator, ShowsPrometheusMetricsThatPromtoolTakes) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  ASSERT_TRUE(client->Acquire(AcquireOf("gpu-a", 30, 4 * kGiB)).ok());
  const std::string once = absl::StrCat(EXPORTER_BINARY, " --once --socket ", hetd.socket());
  const Ran metrics = Shell(once);
  ASSERT_EQ(metrics.exit_code, 0) << metrics.output;
  for (const char* name :
       {"hw_status{hw_id=\"gpu-a\"", "hw_gpu_memory_limit_bytes", "hw_gpu_memory_usage_bytes",
        "het_device_info", "het_device_memory_allocated_bytes",
        "het_device_compute_allocated_ratio", "het_device_largest_free_memory_bytes",
        "het_lease_memory_limit_bytes", "het_lease_info",
        "het_lease_requests_total{method=\"Acquire\",result=\"ok\"} 1",
        "het_acquire_duration_seconds_bucket", "het_db_commit_seconds_count", "het_up 1"}) {
    EXPECT_THAT(metrics.output, HasSubstr(name));
  }
  if (access("/usr/bin/promtool", X_OK) == 0) {
    const Ran checked = Shell(once + " | promtool check metrics");
    EXPECT_EQ(checked.exit_code, 0) << checked.output;
    EXPECT_EQ(checked.output, "");
  }
  hetd.Kill(SIGTERM);
  EXPECT_EQ(Shell(once).exit_code, 69);
}

TEST(Operator, ServesMetricsAndSaysWhenHetdIsDown) {
  HetdProcess hetd;
  hetd.Start();
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  const pid_t exporter = fork();
  if (exporter == 0) {
    dup2(out[1], STDOUT_FILENO);
    execl(EXPORTER_BINARY, "het-exporter", "--listen", "127.0.0.1:0", "--socket",
          hetd.socket().c_str(), nullptr);
    _exit(127);
  }
  close(out[1]);
  FILE* said = fdopen(out[0], "r");
  char line[256] = {};
  ASSERT_NE(fgets(line, sizeof(line), said), nullptr);
  const std::string url = std::string(line).substr(std::string(line).find("http"));
  const std::string get = absl::StrCat(
      "/usr/bin/python3 -c 'import urllib.request,sys; print(urllib.request.urlopen(\"",
      url.substr(0, url.find('\n')), "\").read().decode())'");
  EXPECT_THAT(Shell(get).output, HasSubstr("het_device_info"));
  hetd.Kill(SIGKILL);
  const std::string down = Shell(get).output;
  EXPECT_THAT(down, HasSubstr("het_up 0"));
  EXPECT_THAT(down, Not(HasSubstr("het_device_info")));
  hetd.Start();
  EXPECT_THAT(Shell(get).output, HasSubstr("het_device_info"));
  kill(exporter, SIGTERM);
  waitpid(exporter, nullptr, 0);
  fclose(said);
}

TEST(Operator, WatchesLeasesComeAndGo) {
  HetdProcess hetd;
  hetd.Start();
  const auto client = hetd.Connect();
  const auto lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB, Holder::kManual, 700));
  ASSERT_TRUE(lease.ok());
  const Ran watched = Hetctl(hetd, "watch leases -n 2 --interval 0.1 -o jsonl");
  const auto lines = Lines(watched.output);
  ASSERT_EQ(lines.size(), 2u) << watched.output;
  EXPECT_EQ(lines[0]["event"], "there");
  EXPECT_EQ(lines[1]["event"], "gone");
  EXPECT_EQ(lines[1]["item"]["id"], lease->front().id);
}

TEST(Operator, CompletesCommandsAndOptionsInBash) {
  const std::string script =
      "eval \"$(" HETCTL_BINARY
      " completion bash)\"; complete_it() { COMP_WORDS=(\"$@\"); "
      "COMP_CWORD=$(($#-1)); COMPREPLY=(); _hetctl; echo \"${COMPREPLY[@]}\"; }; ";
  const auto words = [&](const std::string& line) {
    return Shell("bash -c '" + script + "complete_it " + line + "'").output;
  };
  EXPECT_EQ(words("hetctl rep"), "report\n");
  EXPECT_THAT(words("hetctl report --f"), HasSubstr("--from"));
  EXPECT_THAT(words("hetctl report -o \"\""), HasSubstr("html"));
  EXPECT_THAT(words("hetctl slice \"\""), HasSubstr("create delete"));
  EXPECT_EQ(words("hetctl get dev"), "devices\n");
  for (const char* shell : {"zsh", "fish"}) {
    EXPECT_THAT(Shell(absl::StrCat(HETCTL_BINARY, " completion ", shell)).output,
                HasSubstr("report"));
  }
  EXPECT_EQ(Shell(HETCTL_BINARY " completion tcsh").exit_code, 2);
}

// The manual names every command and every option of it.
TEST(Operator, FindsEveryCommandInTheManual) {
  std::ifstream file(HET_SOURCE_DIR "/docs/man/hetctl.1");
  std::string manual((std::istreambuf_iterator<char>(file)), {});
  std::erase(manual, '\\');
  const Ran help = Shell(HETCTL_BINARY " --help");
  const size_t begin = help.output.find("Subcommands:");
  ASSERT_NE(begin, std::string::npos) << help.output;
  int commands = 0;
  for (const auto& line : absl::StrSplit(help.output.substr(begin), '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty() || !absl::StartsWith(line, "  ") || absl::StartsWith(line, "   ")) continue;
    ++commands;
    EXPECT_TRUE(absl::StrContains(manual, words[0])) << words[0] << " is not in docs/man/hetctl.1";
    const Ran own = Shell(absl::StrCat(HETCTL_BINARY, " ", words[0], " --help"));
    for (const auto& word :
         absl::StrSplit(own.output, absl::ByAnyChar(" ,\n"), absl::SkipEmpty())) {
      if (!absl::StartsWith(word, "--") || word == "--help" || word == "--") continue;
      const std::string option(
          word.substr(0, word.find_first_not_of("-abcdefghijklmnopqrstuvwxyz")));
      EXPECT_TRUE(absl::StrContains(manual, option))
          << option << " of " << words[0] << " is not in docs/man/hetctl.1";
    }
  }
  EXPECT_GE(commands, 15);
}

}  // namespace
}  // namespace het::daemon
