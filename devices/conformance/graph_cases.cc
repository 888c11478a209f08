// Programs of fixed function: compiled graphs, and kernels that are in the driver.
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

void ProgramsAreRefusedWithoutTheCapability(Fixture& t) {
  if (!t.device.Can(kRunsGraphs)) {
    ProgramSource source;
    source.name = "graph";
    source.graph = "a blob";
    EXPECT_EQ(t.device.Build(source).status().code(), absl::StatusCode::kUnimplemented);
  }
  if (!t.device.Can(kRunsBuiltIn)) {
    ProgramSource source;
    source.name = "built in";
    source.built_in = {"some.kernel"};
    EXPECT_EQ(t.device.Build(source).status().code(), absl::StatusCode::kUnimplemented);
  }
}

void GraphRunsOnBuffersAtOffsets(Fixture& t) {
  if (!t.device.Can(kRunsGraphs)) return;
  ASSERT_FALSE(t.backend.graph.empty()) << "the backend runs graphs, and has none to show it";
  ProgramSource source;
  source.name = "graph";
  source.graph = t.backend.graph;
  const Ref<Program> program = Must(t.device.Build(source), "Build");
  const Kernel* const kernel = Must(program->GetKernel(kGraphKernel), "GetKernel");
  EXPECT_EQ(kernel->form(), KernelForm::kGraph);
  EXPECT_EQ(program->GetKernel("another").status().code(), absl::StatusCode::kNotFound);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> x = t.NewBuffer(4 * 8 * 4 + 64), y = t.NewBuffer(4 * 3 * 4 + 128);
  for (const float sign : {1.0f, -1.0f}) {
    std::vector<float> input(32), want(12);
    for (size_t i = 0; i < input.size(); ++i) input[i] = sign * (static_cast<float>(i % 7) - 3);
    for (size_t r = 0; r < 4; ++r) {
      for (size_t o = 0; o < 3; ++o) {
        float sum = static_cast<float>(o) - 1;
        for (size_t i = 0; i < 8; ++i) {
          sum += input[r * 8 + i] * static_cast<float>(o + 1) * (static_cast<float>(i) - 3) * 0.25f;
        }
        want[r * 3 + o] = sum > 0 ? sum : 0;
      }
    }
    t.Upload(*queue, *x, input.data(), input.size() * 4, 64);
    const BufferArg buffers[] = {{x.get(), 64}, {y.get(), 128}};
    Launch launch;
    launch.kernel = kernel;
    launch.buffers = buffers;
    Must(queue->Submit(launch), "Submit");
    const std::vector<float> back = t.DownloadAs<float>(*queue, *y);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_FLOAT_EQ(back[32 + i], want[i]) << i;
  }
  Launch short_of_one;
  short_of_one.kernel = kernel;
  const BufferArg only[] = {{x.get(), 64}};
  short_of_one.buffers = only;
  EXPECT_EQ(queue->Submit(short_of_one).code(), absl::StatusCode::kInvalidArgument);
}

void AWrongGraphIsRefused(Fixture& t) {
  if (!t.device.Can(kRunsGraphs)) return;
  ProgramSource source;
  source.name = "no graph";
  source.graph = "this was never compiled";
  const absl::Status status = t.device.Build(source).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(status.message().find("no graph"), absl::string_view::npos) << status;
}

}  // namespace

std::vector<Case> GraphCases() {
  return {
      {"Graph", "ProgramsAreRefusedWithoutTheCapability", ProgramsAreRefusedWithoutTheCapability},
      {"Graph", "RunsOnBuffersAtOffsets", GraphRunsOnBuffersAtOffsets},
      {"Graph", "AWrongOneIsRefused", AWrongGraphIsRefused},
  };
}

}  // namespace het::conformance
