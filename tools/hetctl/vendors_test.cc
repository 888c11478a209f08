#include "tools/hetctl/vendors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace het::hetctl {
namespace {

using ::testing::HasSubstr;

class VendorsTest : public testing::Test {
 protected:
  VendorsTest() {
    char name[] = "/tmp/het-vendors-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~VendorsTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text = "") {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void Card(const std::string& address, const char* vendor, const char* pci_class) {
    Write("/sys/bus/pci/devices/" + address + "/vendor", vendor);
    Write("/sys/bus/pci/devices/" + address + "/class", pci_class);
  }
  // The findings that speak of `vendor`, one a line: "problem: what -> advice".
  std::string About(const std::string& vendor) {
    std::string text;
    for (const Finding& finding : CheckVendors(root_)) {
      if (finding.what.find(vendor) == std::string::npos) continue;
      const char* verdict = finding.verdict == Finding::Verdict::kOk        ? "ok"
                            : finding.verdict == Finding::Verdict::kProblem ? "problem"
                                                                            : "absent";
      text += std::string(verdict) + ": " + finding.what + " -> " + finding.advice + "\n";
    }
    return text;
  }
  std::string root_;
};

TEST_F(VendorsTest, SaysOfAVendorThatIsNotThereWhatItWouldNeed) {
  EXPECT_EQ(About("AMD GPU"),
            "absent: no AMD GPU on this node -> one would need libamdhip64.so.7\n");
  EXPECT_THAT(About("Intel NPU"), HasSubstr("libze_intel_vpu.so.1"));
}

TEST_F(VendorsTest, NamesTheKernelDriverThatIsMissing) {
  Card("0000:01:00.0", "0x10de", "0x030200");
  EXPECT_THAT(About("NVIDIA GPU at"),
              HasSubstr("problem: NVIDIA GPU at 0000:01:00.0 has no device node"));
  EXPECT_THAT(About("NVIDIA GPU at"), HasSubstr("modprobe nvidia"));
}

TEST_F(VendorsTest, NamesTheLibraryThatIsMissing) {
  Card("0000:01:00.0", "0x10de", "0x030200");
  Write("/dev/nvidiactl");
  Write("/usr/lib/x86_64-linux-gnu/libcuda.so.1");
  const std::string text = About("NVIDIA GPU");
  EXPECT_THAT(text, HasSubstr("ok: NVIDIA GPU: driver libcuda.so.1 is there"));
  EXPECT_THAT(text, HasSubstr("problem: NVIDIA GPU: run-time compiler"));
  EXPECT_THAT(text, HasSubstr("ok: NVIDIA GPU: sensors libnvidia-ml.so.1 is missing -> apt-get"))
      << "it works without";
}

TEST_F(VendorsTest, TellsIntelsGpuFromItsNpu) {
  Card("0000:00:0b.0", "0x8086", "0x120000");
  EXPECT_THAT(About("Intel NPU"), HasSubstr("problem"));
  EXPECT_THAT(About("Intel GPU"), HasSubstr("absent"));
}

}  // namespace
}  // namespace het::hetctl
