// The shadow's lists against NVIDIA's headers: every function of the driver is hooked, refused or
// passed, and has the arguments that the hooks take it to have. Where no CUDA toolkit is
// installed, what needs its headers skips.
#include <dlfcn.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interpose/cuda/hooked.h"
#include "interpose/cuda/passed.h"
#include "interpose/nvml/passed.h"

namespace het::interpose {
namespace {

using ::testing::IsEmpty;

constexpr char kIncludes[] = HET_CUDA_INCLUDES;  // empty: no toolkit

std::map<std::string, int> Listed() {
  std::map<std::string, int> times;
#define HET_COUNT(name, version, what) ++times[#name];
  HET_SHADOW_HOOKED(HET_COUNT)
  HET_SHADOW_REFUSED(HET_COUNT)
#undef HET_COUNT
#define HET_COUNT(name) ++times[#name];
  HET_SHADOW_PASSED(HET_COUNT)
#undef HET_COUNT
  return times;
}

std::string Header(const std::string& name) {
  std::ifstream file(std::string(kIncludes) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What a header declares, and what it renames functions to: "#define cuMemAlloc cuMemAlloc_v2",
// "#define cuMemcpy __CUDA_API_PTDS(cuMemcpy)".
void AddFunctions(const std::string& header, std::set<std::string>* names) {
  static const std::regex declared(R"(CUDAAPI\s+(cu[A-Z]\w*)\s*\()");
  static const std::regex renamed(R"(#\s*define\s+cu[A-Z]\w*\s+(cu[A-Z]\w*)\s*\n)");
  static const std::regex by_stream(R"(__CUDA_API_PT(SZ|DS)\((cu[A-Z]\w*)\))");
  using Each = std::sregex_iterator;
  for (Each it(header.begin(), header.end(), declared), end; it != end; ++it) {
    names->insert((*it)[1]);
  }
  for (Each it(header.begin(), header.end(), renamed), end; it != end; ++it) {
    names->insert((*it)[1]);
  }
  for (Each it(header.begin(), header.end(), by_stream), end; it != end; ++it) {
    names->insert((*it)[2]);
    names->insert(std::string((*it)[2]) + ((*it)[1] == "SZ" ? "_ptsz" : "_ptds"));
  }
}

std::set<std::string> Functions() {
  std::set<std::string> names;
  for (const char* header : {"cuda.h", "cudaGL.h", "cudaEGL.h", "cudaVDPAU.h", "cudaProfiler.h"}) {
    AddFunctions(Header(header), &names);
  }
  names.erase("cuGetProcAddress_v2_ptsz");  // an inline function of the header's
  names.erase("cuWGLGetDevice");            // Windows only
  return names;
}

TEST(CudaLists, NameNothingTwice) {
  for (const auto& [name, times] : Listed()) EXPECT_EQ(times, 1) << name;
}

TEST(CudaLists, RefuseWithAReason) {
#define HET_HAS_REASON(name, version, reason) EXPECT_GE(std::string(reason).size(), 12u) << #name;
  HET_SHADOW_REFUSED(HET_HAS_REASON)
#undef HET_HAS_REASON
}

TEST(CudaLists, AreWhatTheShadowsExport) {
  void* cuda = dlopen(HET_SHADOW_FOLDER "/libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(cuda, nullptr) << dlerror();
  for (const auto& [name, times] : Listed()) EXPECT_NE(dlsym(cuda, name.c_str()), nullptr) << name;
  void* nvml = dlopen(HET_SHADOW_FOLDER "/libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(nvml, nullptr) << dlerror();
#define HET_IS_THERE(name) EXPECT_NE(dlsym(nvml, #name), nullptr) << #name;
  HET_SHADOW_NVML_PASSED(HET_IS_THERE)
#undef HET_IS_THERE
  // Without a driver behind it, every function says that there is no device.
  const auto init = reinterpret_cast<int (*)(unsigned int)>(dlsym(cuda, "cuInit"));
  EXPECT_EQ(init(0), cuda::CUDA_ERROR_NO_DEVICE);
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(cuda, "cuDeviceGetCount"));
  int devices = 0;
  EXPECT_EQ(count(&devices), cuda::CUDA_ERROR_NO_DEVICE);
}

TEST(CudaLists, HoldEveryFunctionOfTheInstalledHeaders) {
  if (*kIncludes == '\0') GTEST_SKIP() << "no CUDA toolkit here: no cuda.h to compare with";
  const std::map<std::string, int> listed = Listed();
  const std::set<std::string> functions = Functions();
  EXPECT_GE(functions.size(), 500u) << "the headers were not understood";
  std::set<std::string> missing;
  for (const std::string& name : functions) {
    if (listed.count(name) == 0) missing.insert(name);
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(CudaLists, HoldNothingThatIsNoFunction) {
  static const std::regex version(R"(#\s*define\s+CUDA_VERSION\s+(\d+))");
  std::smatch match;
  const std::string header = *kIncludes == '\0' ? "" : Header("cuda.h");
  if (!std::regex_search(header, match, version) || std::stoi(match[1]) < 13000) {
    GTEST_SKIP() << "the lists are of CUDA 13.0, whose cuda.h is not here";
  }
  const std::set<std::string> functions = Functions();
  std::set<std::string> unknown;
  for (const auto& [name, times] : Listed()) {
    // Declared by no line of the header: what cuGraphExecUpdate is called in it.
    if (functions.count(name) == 0 && name != "cuGraphExecUpdate_v2") unknown.insert(name);
  }
  EXPECT_THAT(unknown, IsEmpty());
}

TEST(CudaLists, HookWhateverAllocatesOrLaunches) {
  std::set<std::string> held;
#define HET_COLLECT(name, version, what) held.insert(#name);
  HET_SHADOW_HOOKED(HET_COLLECT)
  HET_SHADOW_REFUSED(HET_COLLECT)
#undef HET_COLLECT
  static const std::regex takes(
      R"(cu(MemAlloc|MemFree|MemCreate|MemMap|MemUnmap|MemRelease|MemGetInfo|ArrayCreate|Array3DCreate|MipmappedArrayCreate|)"
      R"(IpcOpenMem|Launch|GraphLaunch|CtxDestroy|DevicePrimaryCtxRe|StreamBeginCapture|GetProcAddress).*)");
  for (const auto& [name, times] : Listed()) {
    if (!std::regex_match(name, takes) || absl::StartsWith(name, "cuLaunchHostFunc")) continue;
    EXPECT_EQ(held.count(name), 1u) << name;
  }
}

}  // namespace
}  // namespace het::interpose
