#include "tools/hetctl/interposers.h"

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace het::hetctl {
namespace {

namespace fs = std::filesystem;

constexpr char kLayer[] = "libhet_opencl_layer.so";
constexpr char kCuda[] = "libcuda.so.1", kManagement[] = "libnvidia-ml.so.1";

// `name` in het's private folders; empty, and where it was looked for, when it is in none.
std::string Ours(const std::string& name, std::vector<std::string>* looked) {
  std::error_code error;
  const fs::path prefix = fs::read_symlink("/proc/self/exe", error).parent_path().parent_path();
  for (const char* folder :
       {"lib", "lib/het", "lib/x86_64-linux-gnu/het", "lib/aarch64-linux-gnu/het", "lib64/het"}) {
    const fs::path path = prefix / folder / name;
    if (fs::exists(path, error)) return path.string();
    looked->push_back(path.string());
  }
  return "";
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The vendor's library; in a slice within a slice, that of the outer one.
std::string Theirs(const char* variable, const std::string& name, const std::string& shadow) {
  const std::string said = FromEnvironment(variable);
  return said.empty() ? FindLibrary({name}, "", shadow) : said;
}

}  // namespace

absl::StatusOr<std::string> FindOpenClLayer() {
  if (std::string said = FromEnvironment("HET_OPENCL_LAYER"); !said.empty()) return said;
  std::vector<std::string> looked;
  std::string path = Ours(kLayer, &looked);
  if (!path.empty()) return path;
  return absl::FailedPreconditionError(
      absl::StrCat("the OpenCL layer ", kLayer, " is not there (looked at ",
                   absl::StrJoin(looked, ", "), "); build it, or say where with HET_OPENCL_LAYER"));
}

absl::StatusOr<CudaShadow> FindCudaShadow() {
  std::vector<std::string> looked, missing;
  CudaShadow found;
  const std::string library = Ours(absl::StrCat("shadow/", kCuda), &looked);
  if (library.empty()) {
    missing.push_back(absl::StrCat("het's shadow of ", kCuda, " (looked at ",
                                   absl::StrJoin(looked, ", "),
                                   "; build it, or install het's package hetctl)"));
  } else {
    found.folder = fs::path(library).parent_path().string();
  }
  found.driver = Theirs("HET_CUDA_DRIVER", kCuda, found.folder);
  if (found.driver.empty()) {
    missing.push_back(absl::StrCat("NVIDIA's driver ", kCuda,
                                   " (hetctl doctor says how to get it; HET_CUDA_DRIVER, where it "
                                   "is, if it is in a folder of its own)"));
  }
  if (!missing.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("a CUDA program cannot be held here without ",
                                                      absl::StrJoin(missing, ", and ")));
  }
  found.management = Theirs("HET_NVML_DRIVER", kManagement, found.folder);
  return found;
}

std::string CudaName(const DeviceInfo& device) {
  return absl::StrCat(device.attributes.count("mig") != 0 ? "MIG-" : "GPU-", device.uuid);
}

std::vector<Finding> CheckInterposers() {
  using Verdict = Finding::Verdict;
  std::vector<Finding> findings;
  const absl::StatusOr<std::string> layer = FindOpenClLayer();
  findings.push_back({layer.ok() ? Verdict::kOk : Verdict::kProblem,
                      layer.ok() ? absl::StrCat("hetctl run holds OpenCL programs (", *layer, ")")
                                 : absl::StrCat("hetctl run cannot hold OpenCL programs: ",
                                                layer.status().message()),
                      ""});
  const absl::StatusOr<CudaShadow> cuda = FindCudaShadow();
  if (cuda.ok()) {
    findings.push_back({Verdict::kOk,
                        absl::StrCat("hetctl run holds CUDA programs (", cuda->folder, " before ",
                                     cuda->driver, ")"),
                        ""});
    return findings;
  }
  // Nothing is wrong where there is no driver whose programs could be held.
  const bool has_driver = !FindLibrary({kCuda}).empty();
  findings.push_back(
      {has_driver ? Verdict::kProblem : Verdict::kAbsent,
       has_driver ? absl::StrCat("hetctl run cannot hold CUDA programs: ", cuda.status().message())
                  : "hetctl run has no CUDA programs to hold: NVIDIA's driver is not on this node",
       ""});
  return findings;
}

}  // namespace het::hetctl
