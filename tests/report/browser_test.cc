// The report's page in headless Chromium, without a network: it draws everything, in both themes,
// and says nothing on the console.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "report/page.h"
#include "report/rollup.h"

namespace het::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Browser() {
  for (const char* path :
       {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

Report TwoDays() {
  Report report;
  report.node = "node-1";
  report.generator = "browser_test";
  report.from = 0;
  report.to = 48 * kHourSeconds;
  report.open_hour = 47 * kHourSeconds;
  for (int d = 0; d < 3; ++d) {
    report.devices.push_back({absl::StrCat("device-", d), absl::StrCat("GPU ", d), "Acme", "gpu",
                              "none", uint64_t{16} << 20, d == 2});
  }
  for (int64_t h = 0; h < 48; ++h) {
    for (uint32_t d = 0; d < 3; ++d) {
      if (d == 1 && h >= 10 && h < 15) continue;  // nobody looked
      DeviceSample sample;
      sample.interval_ms = kHourMs;
      sample.memory_kib = uint64_t{16} << 20;
      sample.healthy = d != 2 || h < 40;
      sample.free_parts = d == 0 ? 0 : 5000;
      sample.free_kib = uint64_t{6} << 20;
      sample.denied = static_cast<uint32_t>(h % 5);
      HolderSample holder;
      holder.lease = absl::StrCat("lease-", d);
      holder.tenant = d == 0 ? "</script><b>ana" : "bo";
      holder.owner = 1000;
      holder.share_parts = d == 0 ? 10'000 : 5000;
      holder.memory_limit_kib = uint64_t{8} << 20;
      holder.memory_used_kib = uint64_t{3} << 20;
      holder.used_ns = static_cast<uint64_t>(h) * 20'000'000'000;
      sample.holders.push_back(holder);
      DeviceHour hour;
      hour.Add(sample);
      for (Row& row : hour.Rows(h * kHourSeconds, d)) report.rows.push_back(std::move(row));
    }
  }
  return report;
}

std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  std::array<char, 65536> block;
  while (pipe != nullptr) {
    const size_t got = fread(block.data(), 1, block.size(), pipe);
    if (got == 0) break;
    text.append(block.data(), got);
  }
  if (pipe != nullptr) pclose(pipe);
  return text;
}

class BrowserTest : public testing::TestWithParam<bool> {};

TEST_P(BrowserTest, DrawsThePageOffline) {
  const std::string browser = Browser();
  if (browser.empty()) GTEST_SKIP() << "SKIPPED: no Chromium (apt-get install chromium)";
  char pattern[] = "/tmp/het-page-XXXXXX";
  const std::string directory = mkdtemp(pattern);
  const std::string page = directory + "/page.html";
  std::ofstream(page) << *WritePage(TwoDays());
  const std::string command = absl::StrCat(
      "HOME=", directory, " timeout 50 ", browser,
      " --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
      " --user-data-dir=",
      directory,
      "/profile --host-resolver-rules='MAP * ~NOTFOUND'"
      " --enable-logging=stderr --log-level=0 --virtual-time-budget=4000",
      GetParam() ? " --force-dark-mode --blink-settings=preferredColorScheme=0" : "",
      " --dump-dom file://", page, " 2>", directory, "/console");
  const std::string dom = Output(command);
  std::ifstream console_file(directory + "/console");
  const std::string console((std::istreambuf_iterator<char>(console_file)), {});
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  // The fleet, 3 devices, 2 tenants, fragmentation, refused requests.
  ASSERT_THAT(dom, HasSubstr("data-drawn=\"8\"")) << console.substr(0, 2000);
  const std::string shown = dom.substr(0, dom.find("<script"));
  EXPECT_THAT(dom, HasSubstr("Where the accelerator hours of node-1 went"));
  EXPECT_THAT(dom, HasSubstr("GPU 2 (simulated)"));
  EXPECT_THAT(dom, HasSubstr("is not over"));
  EXPECT_THAT(shown, Not(HasSubstr("NaN")));
  EXPECT_THAT(shown, Not(HasSubstr("undefined")));
  EXPECT_THAT(shown, Not(HasSubstr("<b>ana")));
  EXPECT_THAT(console, Not(HasSubstr("CONSOLE")));
}

INSTANTIATE_TEST_SUITE_P(Themes, BrowserTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Dark" : "Light"; });

}  // namespace
}  // namespace het::report
