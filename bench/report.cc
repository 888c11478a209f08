// The allocation report of 30 days and 16 devices, from a real hetd to a file: hetctl report as a
// user calls it, process start included. Control: the same rows read from SQLite and nothing else.
// The usage is generated (day and night, tenants that sleep on what they hold, a device that falls
// ill), through the same roll-up that hetd uses.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "daemon/usage_store.h"
#include "report/page.h"
#include "report/rollup.h"

namespace het {
namespace {

using report::DeviceHour;
using report::DeviceSample;
using report::HolderSample;
using report::Report;

constexpr int kDevices = 16;
constexpr int64_t kFirstHour = 1'761'955'200;  // 2025-11-01T00:00:00Z

double Wave(double hour_of_day) { return 0.5 - 0.5 * std::cos(hour_of_day / 24 * 2 * M_PI); }

HolderSample Holder(const std::string& lease, const std::string& tenant, int64_t owner,
                    uint32_t parts, uint64_t memory_kib, double busy) {
  HolderSample holder;
  holder.lease = lease;
  holder.tenant = tenant;
  holder.owner = owner;
  holder.share_parts = parts;
  holder.memory_limit_kib = memory_kib;
  holder.memory_used_kib =
      static_cast<uint64_t>(static_cast<double>(memory_kib) * (0.4 + busy / 2));
  holder.used_ns = static_cast<uint64_t>(3.6e12 * parts / report::kWholeParts * busy);
  holder.wait_ns = static_cast<uint64_t>(6e10 * busy);
  return holder;
}

Report Generate(int days) {
  Report report;
  report.node = "generated-node";
  report.generator = "bench/report (generated usage)";
  report.from = kFirstHour;
  report.to = kFirstHour + int64_t{days} * 24 * report::kHourSeconds;
  for (int d = 0; d < kDevices; ++d) {
    report::Device device;
    device.id =
        absl::StrCat(absl::Hex(0x6f0c0000 + d, absl::kZeroPad8), "-0000-4000-8000-000000000000");
    device.name = d < 8 ? "Model A 80G" : d < 14 ? "Model B 64G" : "Model C 16G";
    device.vendor = d < 8 ? "Acme" : d < 14 ? "Bolt" : "Corp";
    device.kind = d < 14 ? "gpu" : "npu";
    device.partition_mode = "none";
    device.memory_kib = uint64_t{d < 8 ? 80u : d < 14 ? 64u : 16u} << 20;
    device.simulated = true;
    report.devices.push_back(device);
  }
  static const char* const kTenants[] = {"search", "speech", "ads",     "research", "batch-eval",
                                         "vision", "ana",    "interns", "robotics"};
  std::mt19937 random(7);
  const auto chance = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  for (int64_t h = 0; h < int64_t{days} * 24; ++h) {
    const double day = Wave(static_cast<double>(h % 24));
    for (int d = 0; d < kDevices; ++d) {
      const uint64_t memory = report.devices[static_cast<size_t>(d)].memory_kib;
      DeviceSample sample;
      sample.interval_ms = report::kHourMs;
      sample.memory_kib = memory;
      sample.healthy = !(d == 5 && h >= 200 && h < 226);
      const int tenant = (d + static_cast<int>(h / 96)) % 9;
      const auto lease = [&](int i) { return absl::StrCat("lease-", d, "-", i, "-", h / 24); };
      sample.holders.push_back(Holder(lease(0), kTenants[tenant], 1000 + tenant, 5000, memory / 2,
                                      std::min(1.0, 0.25 + 0.7 * day + 0.05 * chance())));
      sample.holders.push_back(Holder(lease(1), kTenants[(tenant + 3) % 9], 1000 + (tenant + 3) % 9,
                                      3000, memory / 4, 0.1 + 0.3 * day * chance()));
      if (h % 24 >= 8 && h % 24 < 20 && d % 2 == 0) {
        sample.holders.push_back(Holder(lease(2), kTenants[(tenant + 5) % 9],
                                        1000 + (tenant + 5) % 9, 2000, memory / 16, 0.95));
      }
      uint32_t parts = report::kWholeParts;
      uint64_t left = memory;
      for (const HolderSample& holder : sample.holders) {
        parts -= holder.share_parts;
        left -= holder.memory_limit_kib;
      }
      sample.free_parts = parts;
      sample.free_kib = left - left / 5;  // a fifth in pieces
      if (parts == 0 && chance() < day * 0.4)
        sample.denied = 1 + static_cast<uint32_t>(9 * chance());
      DeviceHour hour;
      hour.Add(sample);
      for (report::Row& row :
           hour.Rows(kFirstHour + h * report::kHourSeconds, static_cast<uint32_t>(d))) {
        report.rows.push_back(std::move(row));
      }
    }
  }
  return report;
}

void Fill(const std::string& state_dir, const Report& report) {
  auto store = *daemon::UsageStore::Open(state_dir);
  std::vector<report::Row> rows;
  for (size_t i = 0; i < report.rows.size();) {
    const int64_t hour = report.rows[i].hour;
    rows.clear();
    while (i < report.rows.size() && report.rows[i].hour == hour) rows.push_back(report.rows[i++]);
    const absl::Status closed = store->Close(hour, report.devices, rows);
    if (!closed.ok()) {
      std::fprintf(stderr, "%s\n", closed.ToString().c_str());
      std::exit(1);
    }
  }
}

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

pid_t Spawn(const std::vector<std::string>& words) {
  std::fflush(nullptr);  // not once more by the child
  const pid_t child = fork();
  if (child != 0) return child;
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  if (freopen("/dev/null", "w", stdout) == nullptr ||
      freopen("/dev/null", "w", stderr) == nullptr) {
    _exit(1);
  }
  execv(arguments[0], arguments.data());
  _exit(127);
}

int Main(int argc, char** argv) {
  CLI::App app("The allocation report of 30 days and 16 devices");
  int days = 30, repeats = 5;
  std::string page;
  bool json = false;
  app.add_option("--days", days, "of usage")->capture_default_str();
  app.add_option("--repeats", repeats, "of each")->capture_default_str();
  app.add_option("--page", page, "only write the page of the generated usage to this file");
  app.add_flag("--json", json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  const Report report = Generate(days);
  if (!page.empty()) {
    std::ofstream(page) << *report::WritePage(report);
    return 0;
  }
  const std::string bin =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().string() +
      "/bin/";
  char pattern[] = "/tmp/het-bench-XXXXXX";
  const std::string directory = mkdtemp(pattern);
  Fill(directory + "/state", report);
  const auto control = [&] {
    auto store = *daemon::UsageStore::Open(directory + "/state");
    daemon::UsageStore::Place place;
    size_t rows = 0;
    for (size_t got = 1; got > 0; rows += got) {
      got = store->Read(place, INT64_MAX, std::nullopt, 256)->size();
    }
    if (rows != report.rows.size()) std::exit(1);
  };
  std::vector<double> controls;
  for (int i = 0; i < repeats; ++i) controls.push_back(Seconds(control));
  const pid_t hetd = Spawn({bin + "hetd", "--runtime-dir", directory + "/run", "--state-dir",
                            directory + "/state", "--backends", "cpu"});
  const std::string socket = directory + "/run/het.sock";
  for (int i = 0; i < 200 && access(socket.c_str(), F_OK) != 0; ++i) usleep(20'000);
  Json results = Json::array();
  const auto print = [&](const std::string& name, std::vector<double> seconds, size_t bytes) {
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2];
    results.push_back({{"name", name},
                       {"rows", report.rows.size()},
                       {"bytes", bytes},
                       {"median", median},
                       {"min", seconds.front()},
                       {"max", seconds.back()}});
    if (json) return;
    std::printf("%-34s %7zu rows %6.1f MB   %.3f s (%.3f-%.3f)\n", name.c_str(), report.rows.size(),
                static_cast<double>(bytes) / 1e6, median, seconds.front(), seconds.back());
  };
  print("control: the rows out of SQLite", controls, 0);
  bool failed = false;
  for (const auto& [format, encoding] : std::vector<std::pair<std::string, std::string>>{
           {"native", "csv"}, {"native", "jsonl"}, {"focus-1.3", "csv"}, {"native", "html"}}) {
    const std::string file = directory + "/report." + encoding;
    std::vector<double> seconds;
    for (int i = 0; i < repeats; ++i) {
      seconds.push_back(Seconds([&, format = format, encoding = encoding] {
        const pid_t child =
            Spawn({bin + "hetctl", "--socket", socket, "report", "--from",
                   absl::StrCat("@", report.from), "--to", absl::StrCat("@", report.to), "--format",
                   format, "-o", encoding, "--file", file});
        int status = 0;
        waitpid(child, &status, 0);
        failed = failed || status != 0;
      }));
    }
    std::error_code error;
    print("hetctl report " + format + " " + encoding, seconds,
          std::filesystem::file_size(file, error));
  }
  if (json) std::printf("%s\n", PrintJson({{"results", results}}, 2).c_str());
  kill(hetd, SIGTERM);
  waitpid(hetd, nullptr, 0);
  std::filesystem::remove_all(directory);
  if (failed) std::fprintf(stderr, "a report failed\n");
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) { return het::Main(argc, argv); }
