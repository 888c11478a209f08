// Needs clang-15 and llvm-spirv-15, which are test packages of het; spirv-val (spirv-tools) where
// it is there.
#include "devices/spirv/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"

namespace het::spirv {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kText[] = R"(
struct Params { uint count; float factor; };
HET_KERNEL void scale(HET_BUFFER(0), struct Params p) {
  HET_GLOBAL float* x = HET_PTR(float, 0);
  const uint i = het_global_id(0);
  if (i < p.count) x[i] = x[i] * p.factor * BOOST;
}
HET_KERNEL void nothing(HET_BUFFER(0)) {}
)";

class Modules : public testing::Test {
 protected:
  Modules() {
    char name[] = "/tmp/het-modules-XXXXXX";
    folder_ = mkdtemp(name);
    setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
  }
  ~Modules() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(Modules, AreMadeOnceAndThenFound) {
  const auto made = ModuleFor(kText, "-DBOOST=2");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(*EntryPoints(*made), testing::UnorderedElementsAre("scale", "nothing"));
  setenv("PATH", "/nonexistent", 1);
  const auto found = ModuleFor(kText, "-DBOOST=2");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, *made);
  const auto other = ModuleFor(kText, "-DBOOST=3");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("llvm-spirv-15"));
  setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}

TEST_F(Modules, SayWhatTheyWereMadeFrom) {
  const auto made = ModuleFor(kText, "-DBOOST=2");
  ASSERT_TRUE(made.ok()) << made.status();
  const auto source = SourceOf(*made);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->text, kText);
  EXPECT_EQ(source->options, "-DBOOST=2");
}

TEST_F(Modules, AreValidSpirv) {
  if (access("/usr/bin/spirv-val", X_OK) != 0) GTEST_SKIP() << "spirv-tools is not installed";
  const auto made = Compile(kText, "-DBOOST=2");
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/m.spv", *made).ok());
  EXPECT_EQ(system(("spirv-val --target-env opencl2.1 " + folder_ + "/m.spv").c_str()), 0);
}

TEST_F(Modules, TellTheCompilersLogWithTheTextsOwnLines) {
  const auto made = ModuleFor("\nHET_KERNEL void broken(HET_BUFFER(0)) { nonsense; }\n", "");
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr(":2:"));
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("nonsense"));
}

TEST(SpirvReader, RefusesWhatIsNoModule) {
  EXPECT_FALSE(EntryPoints("").ok());
  EXPECT_FALSE(EntryPoints(std::string(64, 'x')).ok());
  std::string cut("\x03\x02\x23\x07", 4);
  cut += std::string(16, '\0');
  cut += std::string("\x0f\x00\xff\x00", 4);  // an instruction of 255 words
  EXPECT_FALSE(EntryPoints(cut).ok());
  EXPECT_EQ(SourceOf(cut.substr(0, 20)).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace het::spirv
