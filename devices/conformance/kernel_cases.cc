#include <numeric>

#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

const Kernel* KernelOf(const Ref<Program>& program, const char* name) {
  return Must(program->GetKernel(name), "GetKernel");
}

void SaxpyWithOffsets(Fixture& t) {
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  for (uint32_t count : {1u, 63u, 64u, 1000u, 100'000u}) {
    const uint64_t skip_x = 64, skip_y = 192;  // bytes
    std::vector<float> x(count + skip_x / 4), y(count + skip_y / 4, 1.0f);
    std::iota(x.begin(), x.end(), 0.0f);
    const Ref<Buffer> x_buffer = t.NewBuffer(x.size() * 4);
    const Ref<Buffer> y_buffer = t.NewBuffer(y.size() * 4);
    t.Upload(*queue, *x_buffer, x.data(), x_buffer->bytes());
    t.Upload(*queue, *y_buffer, y.data(), y_buffer->bytes());
    const BufferArg args[] = {{x_buffer.get(), skip_x}, {y_buffer.get(), skip_y}};
    const SaxpyParams params = {2.0f, count};
    Launch launch;
    launch.kernel = KernelOf(program, "saxpy");
    launch.groups[0] = (count + 63) / 64;
    launch.group_size[0] = 64;
    launch.buffers = args;
    launch.params = BytesOf(params);
    Must(queue->Submit(launch), "Submit");
    for (uint32_t i = 0; i < count; ++i) y[skip_y / 4 + i] = 2.0f * x[skip_x / 4 + i] + 1.0f;
    ASSERT_EQ(t.DownloadAs<float>(*queue, *y_buffer), y) << count;
  }
}

void ReduceWithLocalMemory(Fixture& t) {
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  for (uint32_t count : {1u, 64u, 1000u, 64'000u}) {
    const uint32_t groups = (count + kReduceGroup - 1) / kReduceGroup;
    std::vector<float> in(count);
    for (uint32_t i = 0; i < count; ++i) in[i] = static_cast<float>(i % 17);  // exact sums
    const Ref<Buffer> in_buffer = t.NewBuffer(count * 4);
    const Ref<Buffer> out_buffer = t.NewBuffer(groups * 4);
    t.Upload(*queue, *in_buffer, in.data(), in_buffer->bytes());
    const BufferArg args[] = {{in_buffer.get(), 0}, {out_buffer.get(), 0}};
    const ReduceParams params = {count};
    Launch launch;
    launch.kernel = KernelOf(program, "reduce");
    launch.groups[0] = groups;
    launch.group_size[0] = kReduceGroup;
    launch.buffers = args;
    launch.params = BytesOf(params);
    Must(queue->Submit(launch), "Submit");
    const std::vector<float> sums = t.DownloadAs<float>(*queue, *out_buffer);
    for (uint32_t group = 0; group < groups; ++group) {
      const auto begin = in.begin() + group * kReduceGroup;
      const auto end = in.begin() + std::min(count, (group + 1) * kReduceGroup);
      ASSERT_EQ(sums[group], std::accumulate(begin, end, 0.0f)) << group << " of " << groups;
    }
  }
}

void GridHasThreeAxes(Fixture& t) {
  struct Shape {
    uint32_t groups[3];
    uint32_t size[3];
  };
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  for (const Shape& shape : {Shape{{1, 1, 1}, {1, 1, 1}}, Shape{{5, 3, 2}, {4, 2, 2}},
                             Shape{{1, 7, 3}, {8, 1, 1}}, Shape{{2, 1, 9}, {3, 5, 1}}}) {
    uint32_t extent[3];
    for (int axis = 0; axis < 3; ++axis) extent[axis] = shape.groups[axis] * shape.size[axis];
    const uint64_t items = uint64_t{extent[0]} * extent[1] * extent[2];
    const Ref<Buffer> buffer = t.NewBuffer(items * 4);
    Must(queue->Fill(*buffer, 0, buffer->bytes(), 0), "Fill");
    const BufferArg args[] = {{buffer.get(), 0}};
    Launch launch;
    launch.kernel = KernelOf(program, "grid");
    std::copy_n(shape.groups, 3, launch.groups);
    std::copy_n(shape.size, 3, launch.group_size);
    launch.buffers = args;
    Must(queue->Submit(launch), "Submit without parameters");
    const std::vector<uint32_t> out = t.DownloadAs<uint32_t>(*queue, *buffer);
    size_t at = 0;
    for (uint32_t z = 0; z < extent[2]; ++z) {
      for (uint32_t y = 0; y < extent[1]; ++y) {
        for (uint32_t x = 0; x < extent[0]; ++x) {
          ASSERT_EQ(out[at++], 1 + x + 100 * y + 10000 * z);
        }
      }
    }
  }
}

void ParametersArriveFieldByField(Fixture& t) {
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(kMixedFields * 8);
  const BufferArg args[] = {{buffer.get(), 0}};
  MixedParams params = {};
  params.small = 200;
  params.word = 3'000'000'000u;
  params.half_word = 40'000;
  params.wide = 0x0123456789abcdefu;
  params.real = 2.25f;
  params.list[0] = -1;
  params.list[1] = 2;
  params.list[2] = -3;
  Launch launch;
  launch.kernel = KernelOf(program, "mixed");
  launch.buffers = args;
  launch.params = BytesOf(params);
  Must(queue->Submit(launch), "Submit");
  params = {};  // they were copied at submission
  EXPECT_EQ(t.DownloadAs<uint64_t>(*queue, *buffer),
            (std::vector<uint64_t>{200, 3'000'000'000u, 40'000, 0x0123456789abcdefu, 9,
                                   ~uint64_t{0}, 2, ~uint64_t{2}}));
}

void EstimatesChangeNoResult(Fixture& t) {
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(64 * 4);
  const BufferArg args[] = {{buffer.get(), 0}};
  const StepParams params = {1, 64};
  Must(queue->Fill(*buffer, 0, buffer->bytes(), 0), "Fill");
  for (const WorkEstimate& work : {WorkEstimate{}, WorkEstimate{1e6, 1e6, 1},
                                   WorkEstimate{-1, -1, -1}, WorkEstimate{0, 0, 7}}) {
    Launch launch;
    launch.kernel = KernelOf(program, "step");
    launch.group_size[0] = 64;
    launch.buffers = args;
    launch.params = BytesOf(params);
    launch.work = work;
    Must(queue->Submit(launch), "Submit");
  }
  EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *buffer), std::vector<uint32_t>(64, 156));
}

void KernelsHaveNamesAndTheForm(Fixture& t) {
  const Ref<Program> program = t.NewProgram();
  for (const char* name : {"saxpy", "reduce", "grid", "step", "mixed"}) {
    const Kernel* kernel = KernelOf(program, name);
    EXPECT_EQ(kernel->name(), name);
    EXPECT_EQ(kernel->form(), t.backend.form);
    EXPECT_EQ(KernelOf(program, name), kernel) << "the same object each time";
  }
}

void AnUnknownKernelIsNotFoundAndTheOthersAreNamed(Fixture& t) {
  const absl::Status status = t.NewProgram()->GetKernel("saxpi").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_NE(status.message().find("saxpi"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("saxpy"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("reduce"), absl::string_view::npos) << status;
}

void RefusesProgramsItHasNoFormOf(Fixture& t) {
  ProgramSource source = TestProgram();
  source.portable.clear();
  source.native.clear();
  EXPECT_EQ(t.device.Build(source).status().code(), absl::StatusCode::kInvalidArgument);
  source = TestProgram();
  if (!t.device.Can(kRunsPortable)) source.native.clear();
  if (!t.device.Can(kRunsNative)) source.portable.clear();
  if (t.device.Can(kRunsPortable) && t.device.Can(kRunsNative)) return;
  EXPECT_EQ(t.device.Build(source).status().code(), absl::StatusCode::kUnimplemented);
}

void RefusesImpossibleLaunches(Fixture& t) {
  class Stranger : public Kernel {
   public:
    Stranger() : Kernel("stranger", KernelForm::kNative) {}
  };
  const Stranger stranger;
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(64);
  const auto submit = [&](auto change) {
    BufferArg args[] = {{buffer.get(), 0}};
    Launch launch;
    launch.kernel = KernelOf(program, "grid");
    launch.buffers = args;
    change(launch, args[0]);
    const absl::Status status = queue->Submit(launch);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  };
  submit([](Launch& launch, BufferArg&) { launch.kernel = nullptr; });
  submit([](Launch& launch, BufferArg&) { launch.groups[1] = 0; });
  submit([](Launch& launch, BufferArg&) { launch.group_size[2] = 0; });
  submit([](Launch&, BufferArg& arg) { arg.buffer = nullptr; });
  submit([](Launch&, BufferArg& arg) { arg.offset = 65; });
  submit([&](Launch& launch, BufferArg&) { launch.kernel = &stranger; });
  t.Finish(*queue);  // the queue is not broken by it
}

void PortableErrorsCarryTheCompilersLog(Fixture& t) {
  ProgramSource source;
  source.name = "wrong";
  source.portable = "HET_KERNEL void f(HET_BUFFER(0)) {\n  int a = not_declared_anywhere;\n}\n";
  const absl::Status status = t.device.Build(source).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(status.message().find("not_declared_anywhere"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("wrong"), absl::string_view::npos)
      << "the program is named: " << status;
}

void PortableOptionsDefine(Fixture& t) {
  ProgramSource source;
  source.name = "defined";
  source.portable =
      "HET_KERNEL void f(HET_BUFFER(0)) { HET_PTR(uint, 0)[het_global_id(0)] = VALUE; }\n";
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(16);
  const BufferArg args[] = {{buffer.get(), 0}};
  for (uint32_t value : {11u, 22u}) {
    source.options = "-DVALUE=" + std::to_string(value);
    const Ref<Program> program = Must(t.device.Build(source), "Build");
    Launch launch;
    launch.kernel = KernelOf(program, "f");
    launch.groups[0] = 4;
    launch.buffers = args;
    Must(queue->Submit(launch), "Submit");
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *buffer), std::vector<uint32_t>(4, value));
  }
}

}  // namespace

std::vector<Case> KernelCases() {
  return {
      {"Kernel", "SaxpyWithOffsets", SaxpyWithOffsets},
      {"Kernel", "ReduceWithLocalMemory", ReduceWithLocalMemory},
      {"Kernel", "GridHasThreeAxes", GridHasThreeAxes},
      {"Kernel", "ParametersArriveFieldByField", ParametersArriveFieldByField},
      {"Kernel", "EstimatesChangeNoResult", EstimatesChangeNoResult},
      {"Kernel", "KernelsHaveNamesAndTheForm", KernelsHaveNamesAndTheForm},
      {"Kernel", "AnUnknownKernelIsNotFoundAndTheOthersAreNamed",
       AnUnknownKernelIsNotFoundAndTheOthersAreNamed},
      {"Kernel", "RefusesProgramsItHasNoFormOf", RefusesProgramsItHasNoFormOf},
      {"Kernel", "RefusesImpossibleLaunches", RefusesImpossibleLaunches},
      {"Kernel", "PortableErrorsCarryTheCompilersLog", PortableErrorsCarryTheCompilersLog},
      {"Kernel", "PortableOptionsDefine", PortableOptionsDefine},
  };
}

}  // namespace het::conformance
