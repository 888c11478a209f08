// Every portable kernel compiles with NVIDIA's and AMD's own run-time compilers, where they are
// installed: that needs no GPU. (A skip here means that the compiler is not installed.)
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "devices/conformance/kernels.h"
#include "devices/cuda/compile.h"
#include "devices/hip/compile.h"
#include "engine/kernels/kernels.h"

namespace het {
namespace {

ProgramSource EngineProgram() {
  return {.name = "hetllm",
          .portable = std::string(hetllm::PortableSource()),
          .options = "",
          .native = {}};
}

const std::vector<std::string>& EngineKernels() {
  static const auto* const names =
      new std::vector<std::string>{"get_rows_f32",    "get_rows_f16",   "get_rows_q8_0",
                                   "get_rows_q4_0",   "rmsnorm",        "matmul_f32",
                                   "matmul_f16",      "matmul_q8_0",    "matmul_q4_0",
                                   "matvec_q8_0_q8",  "matvec_q4_0_q8", "matvec_q4_k_q8",
                                   "matvec_f16",      "quantize_q8",    "rope",
                                   "kv_append",       "attention",      "attention_part",
                                   "attention_join",  "silu_mul",       "add",
                                   "argmax",          "to_half",        "dequantize_q4_0",
                                   "dequantize_bf16", "rmsnorm_q8",     "silu_mul_q8"};
  return *names;
}

void ExpectKernels(const streams::Code& code, const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted) {
    EXPECT_EQ(std::count(code.kernels.begin(), code.kernels.end(), name), 1) << name;
  }
}

class Nvidia : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Architectures, Nvidia, testing::Values(75, 80, 90),
                         [](const auto& info) { return "sm_" + std::to_string(info.param); });

TEST_P(Nvidia, CompilesTheEngine) {
  const auto nvrtc = cuda::LoadNvrtc(13000);
  if (!nvrtc.ok()) GTEST_SKIP() << nvrtc.status();
  const auto code = cuda::CompileProgram(**nvrtc, EngineProgram(), GetParam(), "a test");
  ASSERT_TRUE(code.ok()) << code.status();
  ExpectKernels(*code, EngineKernels());
  // On matrix units where there are such.
  EXPECT_EQ(std::count(code->kernels.begin(), code->kernels.end(), "attention_tiles"),
            GetParam() >= 80 ? 1 : 0);
  EXPECT_TRUE(absl::StartsWith(code->image,
                               "\x7f"
                               "ELF"))
      << "device code, not PTX";
}

TEST(Nvidia, CompilesTheSuite) {
  const auto nvrtc = cuda::LoadNvrtc(13000);
  if (!nvrtc.ok()) GTEST_SKIP() << nvrtc.status();
  const auto code = cuda::CompileProgram(**nvrtc, conformance::TestProgram(), 90, "a test");
  ASSERT_TRUE(code.ok()) << code.status();
  ExpectKernels(*code, {"saxpy", "reduce", "grid", "step", "mixed"});
}

TEST(Nvidia, ADeviceNewerThanTheCompilerGetsPtx) {
  const auto nvrtc = cuda::LoadNvrtc(13000);
  if (!nvrtc.ok()) GTEST_SKIP() << nvrtc.status();
  const auto code = cuda::CompileProgram(**nvrtc, conformance::TestProgram(), 999, "a test");
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_TRUE(absl::StrContains(code->image, ".target sm_")) << code->image.substr(0, 200);
}

TEST(Nvidia, ALogCountsTheLinesOfTheTextAlone) {
  const auto nvrtc = cuda::LoadNvrtc(13000);
  if (!nvrtc.ok()) GTEST_SKIP() << nvrtc.status();
  ProgramSource source;
  source.name = "wrong";
  source.portable = "HET_KERNEL void f(HET_BUFFER(0)) {\n  int a = not_declared;\n}\n";
  const absl::Status status = cuda::CompileProgram(**nvrtc, source, 90, "a test").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "(2): error")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "not_declared")) << status;
}

class Amd : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Architectures, Amd, testing::Values("gfx90a", "gfx1030"),
                         [](const auto& info) { return info.param; });

TEST_P(Amd, CompilesTheEngine) {
  const auto hiprtc = hip::LoadHiprtc();
  if (!hiprtc.ok()) GTEST_SKIP() << hiprtc.status();
  const auto code = hip::CompileProgram(**hiprtc, EngineProgram(), GetParam(), "a test");
  ASSERT_TRUE(code.ok()) << code.status();
  ExpectKernels(*code, EngineKernels());
  EXPECT_EQ(std::count(code->kernels.begin(), code->kernels.end(), "attention_tiles"),
            GetParam() == std::string("gfx90a") ? 1 : 0);
}

TEST(Amd, CompilesTheSuite) {
  const auto hiprtc = hip::LoadHiprtc();
  if (!hiprtc.ok()) GTEST_SKIP() << hiprtc.status();
  const auto code = hip::CompileProgram(**hiprtc, conformance::TestProgram(), "gfx90a", "a test");
  ASSERT_TRUE(code.ok()) << code.status();
  ExpectKernels(*code, {"saxpy", "reduce", "grid", "step", "mixed"});
}

}  // namespace
}  // namespace het
