#include "tools/hetctl/vendors.h"

#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/files.h"

namespace het::hetctl {
namespace {

constexpr uint32_t kDisplayClass = 0x03;
constexpr uint32_t kAcceleratorClass = 0x12;

struct Library {
  std::vector<std::string> names;  // any one of them
  const char* purpose;
  bool required;  // else the vendor's devices work without it, with less
  const char* advice;
};

struct Vendor {
  const char* name;
  uint32_t pci_vendor;
  uint32_t pci_class;
  std::vector<std::string> nodes;  // any one of them is there when the kernel's driver is
  const char* kernel_advice;
  std::vector<Library> libraries;
};

const std::vector<Vendor>& Vendors() {
  static const auto* const vendors = new std::vector<Vendor>{
      {"NVIDIA GPU",
       0x10de,
       kDisplayClass,
       {"/dev/nvidiactl"},
       "load NVIDIA's kernel module (modprobe nvidia; Debian: nvidia-driver, non-free); with "
       "nouveau bound to the card, blacklist it first",
       {{{"libcuda.so.1"}, "driver", true, "apt-get install libcuda1 (non-free), or NVIDIA's own"},
        {{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"},
         "run-time compiler, without which no kernel runs",
         true,
         "install cuda-nvrtc (NVIDIA's repository) or libnvrtc (Debian, non-free)"},
        {{"libnvidia-ml.so.1"}, "sensors", false, "apt-get install libnvidia-ml1 (non-free)"},
        {{"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"},
         "fast matrix products",
         false,
         "install libcublas (NVIDIA's repository)"}}},
      {"AMD GPU",
       0x1002,
       kDisplayClass,
       {"/dev/kfd"},
       "load amdgpu with compute (modprobe amdgpu; firmware-amd-graphics), and be in the groups "
       "render and video",
       {{{"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"},
         "HIP runtime and compiler",
         true,
         "apt-get install libamdhip64-5, or AMD's ROCm"},
        {{"librocm_smi64.so.7", "librocm_smi64.so.6", "librocm_smi64.so.5", "libamd_smi.so.26"},
         "sensors",
         false,
         "apt-get install librocm-smi64-1, or AMD's ROCm"},
        {{"librocblas.so.5", "librocblas.so.4", "librocblas.so.0"},
         "fast matrix products",
         false,
         "install rocblas (AMD's repository)"}}},
      {"Intel GPU",
       0x8086,
       kDisplayClass,
       {"/dev/dri/renderD128", "/dev/dri/renderD129"},
       "load i915 or xe (firmware-misc-nonfree), and be in the group render",
       {{{"libze_loader.so.1"}, "Level Zero loader", true, "apt-get install libze1"},
        {{"libze_intel_gpu.so.1"},
         "Level Zero driver",
         true,
         "install intel-level-zero-gpu (Intel's repository)"}}},
      {"Intel NPU",
       0x8086,
       kAcceleratorClass,
       {"/dev/accel/accel0"},
       "load intel_vpu (Linux 6.3 or newer), and be in the group render",
       {{{"libze_loader.so.1"}, "Level Zero loader", true, "apt-get install libze1"},
        {{"libze_intel_vpu.so.1"},
         "Level Zero driver",
         true,
         "install intel-level-zero-npu (Intel's linux-npu-driver)"}}},
  };
  return *vendors;
}

uint32_t ReadHex(const std::string& path) {
  const auto text = ReadFile(path, 4096);
  uint32_t value = 0;
  if (!text.ok() || !absl::SimpleHexAtoi(absl::StripAsciiWhitespace(*text), &value)) return 0;
  return value;
}

// Addresses of the vendor's devices of a class.
std::vector<std::string> OnBus(const std::string& root, const Vendor& vendor) {
  std::vector<std::string> found;
  const std::string folder = root + "/sys/bus/pci/devices";
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory)) {
    const std::string path = absl::StrCat(folder, "/", entry->d_name);
    if (entry->d_name[0] != '.' && ReadHex(path + "/vendor") == vendor.pci_vendor &&
        ReadHex(path + "/class") >> 16 == vendor.pci_class) {
      found.emplace_back(entry->d_name);
    }
  }
  closedir(directory);
  return found;
}

void Check(const std::string& root, const Vendor& vendor, std::vector<Finding>& findings) {
  using Verdict = Finding::Verdict;
  const std::vector<std::string> cards = OnBus(root, vendor);
  bool has_node = false;
  for (const std::string& node : vendor.nodes) {
    has_node |= access((root + node).c_str(), F_OK) == 0;
  }
  // A container may see the nodes and not the bus. A render node alone may be anybody's.
  const bool is_there = !cards.empty() || (has_node && vendor.pci_vendor != 0x8086);
  if (!is_there) {
    std::vector<std::string> needs;
    for (const Library& library : vendor.libraries) {
      if (library.required) needs.push_back(library.names.front());
    }
    findings.push_back({Verdict::kAbsent, absl::StrCat("no ", vendor.name, " on this node"),
                        absl::StrCat("one would need ", absl::StrJoin(needs, ", "))});
    return;
  }
  findings.push_back(
      {has_node ? Verdict::kOk : Verdict::kProblem,
       absl::StrCat(vendor.name, cards.empty() ? "" : " at ", absl::StrJoin(cards, ", "),
                    has_node ? " has its kernel driver"
                             : absl::StrCat(" has no device node (", vendor.nodes.front(), ")")),
       has_node ? "" : vendor.kernel_advice});
  for (const Library& library : vendor.libraries) {
    const bool there = !FindLibrary(library.names, root).empty();
    findings.push_back({there || !library.required ? Verdict::kOk : Verdict::kProblem,
                        absl::StrCat(vendor.name, ": ", library.purpose, " ", library.names.front(),
                                     there ? " is there" : " is missing"),
                        there ? "" : library.advice});
  }
}

// Portable kernels reach Level Zero as SPIR-V.
void CheckSpirv(const std::string& root, std::vector<Finding>& findings) {
  if (FindLibrary({"libze_loader.so.1"}, root).empty()) return;
  bool tools = false;
  for (const char* suffix : {"-19", "-18", "-17", "-16", "-15", "-14", ""}) {
    tools |= access(absl::StrCat(root, "/usr/bin/clang", suffix).c_str(), X_OK) == 0 &&
             access(absl::StrCat(root, "/usr/bin/llvm-spirv", suffix).c_str(), X_OK) == 0;
  }
  findings.push_back({Finding::Verdict::kOk,
                      tools ? "Level Zero: kernels that were not built with het are made here"
                            : "Level Zero: only the kernels that were built with het can run",
                      tools ? "" : "for others: apt-get install clang-15 llvm-spirv-15"});
}

// What /etc/ld.so.conf.d adds to the loader's own folders.
std::vector<std::string> ConfiguredFolders(const std::string& root) {
  std::vector<std::string> folders;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/etc/ld.so.conf.d", error)) {
    const auto text = ReadFile(entry.path().string(), 65536);
    if (!text.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      line = absl::StripAsciiWhitespace(line);
      if (absl::StartsWith(line, "/")) folders.push_back(absl::StrCat(root, line));
    }
  }
  return folders;
}

}  // namespace

std::string FindLibrary(const std::vector<std::string>& names, const std::string& root,
                        const std::string& except) {
  namespace fs = std::filesystem;
  std::vector<std::string> folders;
  if (const char* path = std::getenv("LD_LIBRARY_PATH"); path != nullptr && root.empty()) {
    for (absl::string_view folder : absl::StrSplit(path, ':', absl::SkipEmpty())) {
      folders.emplace_back(folder);
    }
  }
  for (const char* folder :
       {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib",
        "/lib/x86_64-linux-gnu", "/usr/local/lib", "/usr/local/cuda/lib64",
        "/usr/local/cuda/targets/x86_64-linux/lib", "/opt/rocm/lib", "/usr/local/nvidia/lib64"}) {
    folders.push_back(root + folder);
  }
  for (const std::string& folder : ConfiguredFolders(root)) folders.push_back(folder);
  std::error_code error;
  for (const std::string& folder : folders) {
    if (!except.empty() && fs::equivalent(folder, except, error)) continue;
    for (const std::string& name : names) {
      const fs::path path = fs::path(folder) / name;
      if (access(path.c_str(), R_OK) == 0) return fs::absolute(path, error).string();
    }
  }
  return "";
}

std::vector<Finding> CheckVendors(const std::string& root) {
  std::vector<Finding> findings;
  for (const Vendor& vendor : Vendors()) Check(root, vendor, findings);
  CheckSpirv(root, findings);
  return findings;
}

}  // namespace het::hetctl
