// hetctl doctor and version: what is wrong on this node, and what to do about it.
#include <dirent.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/interposers.h"
#include "tools/hetctl/vendors.h"

namespace het::hetctl {
namespace {

using Verdict = Finding::Verdict;

void Add(bool ok, std::string what, std::string advice, std::vector<Finding>& findings) {
  findings.push_back({ok ? Verdict::kOk : Verdict::kProblem, std::move(what),
                      ok ? std::string() : std::move(advice)});
}

std::vector<std::string> OpenClVendors() {
  std::vector<std::string> names;
  if (DIR* folder = opendir("/etc/OpenCL/vendors")) {
    while (const dirent* entry = readdir(folder)) {
      if (absl::EndsWith(entry->d_name, ".icd")) names.emplace_back(entry->d_name);
    }
    closedir(folder);
  }
  return names;
}

void CheckOpenCl(std::vector<Finding>& findings) {
  const bool loader = !FindLibrary({"libOpenCL.so.1"}).empty();
  Add(loader, loader ? "OpenCL loader is installed" : "no OpenCL loader (libOpenCL.so.1)",
      "apt-get install ocl-icd-libopencl1", findings);
  const std::vector<std::string> vendors = OpenClVendors();
  Add(!vendors.empty(),
      vendors.empty() ? "no OpenCL driver in /etc/OpenCL/vendors"
                      : absl::StrCat("OpenCL drivers: ", absl::StrJoin(vendors, ", ")),
      "install your vendor's OpenCL driver; for CPUs: apt-get install pocl-opencl-icd", findings);
}

// A device that is not well is a problem; a backend without its driver is one only where the
// vendor's hardware is, which CheckVendors knows.
void CheckDevice(const DeviceInfo& device, std::vector<Finding>& findings) {
  const bool is_backend_alone = device.state == DeviceState::kUnsupported &&
                                device.compute_units == 0 && device.attributes.empty();
  findings.push_back({device.state == DeviceState::kOk ? Verdict::kOk
                      : is_backend_alone               ? Verdict::kAbsent
                                                       : Verdict::kProblem,
                      absl::StrCat(device.backend, " device ", device.name, " is ",
                                   std::string(DeviceStateName(device.state)),
                                   device.reason.empty() ? "" : ": ", device.reason),
                      device.remedy});
}

void CheckDaemon(const Globals& globals, std::vector<Finding>& findings) {
  auto client = Connect(globals);
  if (!client.ok()) {
    Add(false, std::string(client.status().message()),
        "programs on libhet also work without hetd (embedded)", findings);
    return;
  }
  const auto info = (*client)->GetInfo();
  if (!info.ok()) {
    Add(false, std::string(info.status().message()), "look at hetd's log", findings);
    return;
  }
  Add(true,
      absl::StrCat("hetd ", info->version, " answers on ", (*client)->socket_path(), " (pid ",
                   info->pid, ")"),
      "", findings);
  Add(info->store_error.empty(),
      info->store_error.empty() ? "its lease store is writable"
                                : absl::StrCat("its store refuses writes: ", info->store_error),
      "free space in the state directory; hetd goes on by itself", findings);
  const auto devices = (*client)->ListDevices();
  if (!devices.ok()) return;
  for (const protocol::DeviceRow& row : *devices) CheckDevice(row.info, findings);
}

const char* NameOf(Verdict verdict) {
  return verdict == Verdict::kOk ? "ok" : verdict == Verdict::kProblem ? "problem" : "absent";
}

int Doctor(const Globals& globals) {
  std::vector<Finding> findings;
  CheckDaemon(globals, findings);
  CheckOpenCl(findings);
  for (Finding& finding : CheckInterposers()) findings.push_back(std::move(finding));
  for (Finding& finding : CheckVendors()) findings.push_back(std::move(finding));
  const auto count = std::count_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.verdict == Verdict::kProblem;
  });
  if (globals.format == Format::kTable || globals.format == Format::kWide) {
    for (const Finding& finding : findings) {
      std::printf("%-8s %s\n", NameOf(finding.verdict), finding.what.c_str());
      if (!finding.advice.empty()) std::printf("         -> %s\n", finding.advice.c_str());
    }
    std::printf("%d problem%s\n", static_cast<int>(count), count == 1 ? "" : "s");
  } else {
    std::vector<Json> items;
    for (const Finding& finding : findings) {
      items.push_back({{"ok", finding.verdict != Verdict::kProblem},
                       {"verdict", NameOf(finding.verdict)},
                       {"what", finding.what}});
      if (!finding.advice.empty()) items.back()["advice"] = finding.advice;
    }
    PrintList({}, items, globals.format, globals.headers);
  }
  return count == 0 ? kExitOk : kExitError;
}

int Version(const Globals& globals) {
  Json json = {{"client", HET_VERSION}};
  if (auto client = Connect(globals); client.ok()) {
    if (const auto info = (*client)->GetInfo(); info.ok()) json["daemon"] = info->version;
  }
  PrintObject(json, globals.format);
  return kExitOk;
}

}  // namespace

void RegisterDoctor(CLI::App& app, Globals& globals) {
  CLI::App* doctor =
      app.add_subcommand("doctor", "Say what is wrong on this node, and what to do about it.");
  doctor->callback([&globals] { globals.run = [&globals] { return Doctor(globals); }; });
  CLI::App* version = app.add_subcommand("version", "The versions of hetctl and of hetd.");
  version->callback([&globals] { globals.run = [&globals] { return Version(globals); }; });
}

}  // namespace het::hetctl
