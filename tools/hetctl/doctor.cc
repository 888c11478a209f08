// hetctl doctor and version: what is wrong on this node, and what to do about it.
#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "tools/hetctl/connect.h"

namespace het::hetctl {
namespace {

// One thing that was looked at. ok: fine; else `advice` says what to do.
struct Finding {
  bool ok;
  std::string what;
  std::string advice;
};

// Where Debian and the vendors put shared libraries. Only names are looked at: hetctl loads no
// driver.
bool LibraryIsThere(const std::string& name) {
  static const char* const kFolders[] = {"/usr/lib/x86_64-linux-gnu",
                                         "/usr/lib/aarch64-linux-gnu",
                                         "/usr/lib64",
                                         "/usr/lib",
                                         "/lib/x86_64-linux-gnu",
                                         "/usr/local/lib",
                                         "/opt/rocm/lib",
                                         "/usr/local/nvidia/lib64"};
  for (const char* folder : kFolders) {
    if (access(absl::StrCat(folder, "/", name).c_str(), R_OK) == 0) return true;
  }
  return false;
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
  const bool loader = LibraryIsThere("libOpenCL.so.1");
  findings.push_back({loader,
                      loader ? "OpenCL loader is installed" : "no OpenCL loader (libOpenCL.so.1)",
                      "apt-get install ocl-icd-libopencl1"});
  const std::vector<std::string> vendors = OpenClVendors();
  findings.push_back(
      {!vendors.empty(),
       vendors.empty() ? "no OpenCL driver in /etc/OpenCL/vendors"
                       : absl::StrCat("OpenCL drivers: ", absl::StrJoin(vendors, ", ")),
       "install your vendor's OpenCL driver; for CPUs: apt-get install pocl-opencl-icd"});
}

// Hardware of vendors that this build has no backend for yet is reached through the vendor's OpenCL
// driver, if at all.
void CheckOtherVendors(std::vector<Finding>& findings) {
  static const struct {
    const char* node;
    const char* vendor;
  } kNodes[] = {{"/dev/nvidiactl", "NVIDIA"},
                {"/dev/kfd", "AMD"},
                {"/dev/accel/accel0", "NPU or accelerator"}};
  for (const auto& [node, vendor] : kNodes) {
    if (access(node, F_OK) != 0) continue;
    findings.push_back({false,
                        absl::StrCat(vendor, " device node ", node,
                                     " is there, and this build has no backend of its own for it"),
                        "it can be used through the vendor's OpenCL driver"});
  }
}

void CheckDaemon(const Globals& globals, std::vector<Finding>& findings) {
  auto client = Connect(globals);
  if (!client.ok()) {
    findings.push_back({false, std::string(client.status().message()),
                        "programs on libhet also work without hetd (embedded)"});
    return;
  }
  const auto info = (*client)->GetInfo();
  if (!info.ok()) {
    findings.push_back({false, std::string(info.status().message()), "look at hetd's log"});
    return;
  }
  findings.push_back({true,
                      absl::StrCat("hetd ", info->version, " answers on ", (*client)->socket_path(),
                                   " (pid ", info->pid, ")"),
                      ""});
  findings.push_back({info->store_error.empty(),
                      info->store_error.empty()
                          ? "its lease store is writable"
                          : absl::StrCat("its store refuses writes: ", info->store_error),
                      "free space in the state directory; hetd goes on by itself"});
  const auto devices = (*client)->ListDevices();
  if (!devices.ok()) return;
  for (const protocol::DeviceRow& row : *devices) {
    const DeviceInfo& device = row.info;
    findings.push_back({device.state == DeviceState::kOk,
                        absl::StrCat(device.backend, " device ", device.name, " is ",
                                     std::string(DeviceStateName(device.state)),
                                     device.reason.empty() ? "" : ": ", device.reason),
                        device.remedy.empty() ? "see the reason" : device.remedy});
  }
}

int Doctor(const Globals& globals) {
  std::vector<Finding> findings;
  CheckDaemon(globals, findings);
  CheckOpenCl(findings);
  CheckOtherVendors(findings);
  int problems = 0;
  std::vector<Json> items;
  for (const Finding& finding : findings) {
    problems += finding.ok ? 0 : 1;
    Json item = {{"ok", finding.ok}, {"what", finding.what}};
    if (!finding.ok) item["advice"] = finding.advice;
    items.push_back(std::move(item));
  }
  if (globals.format == Format::kTable || globals.format == Format::kWide) {
    for (const Finding& finding : findings) {
      std::printf("%s  %s\n", finding.ok ? "ok     " : "problem", finding.what.c_str());
      if (!finding.ok) std::printf("         -> %s\n", finding.advice.c_str());
    }
    std::printf("%d problem%s\n", problems, problems == 1 ? "" : "s");
  } else {
    PrintList({}, items, globals.format, globals.headers);
  }
  return problems == 0 ? kExitOk : kExitError;
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
