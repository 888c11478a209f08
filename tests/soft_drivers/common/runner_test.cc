// The parts that soft drivers are made of, on the real PoCL.
#include "tests/soft_drivers/common/runner.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "tests/soft_drivers/common/memory.h"
#include "tests/soft_drivers/common/stream.h"

namespace het::soft {
namespace {

constexpr char kText[] = R"CL(
struct StepParams { uint add; uint count; uchar tail[3]; };
HET_KERNEL HET_GROUP_SIZE(64) void step(HET_BUFFER(0), struct StepParams p) {
  HET_GLOBAL uint* x = HET_PTR(uint, 0);
  const uint i = het_global_id(0);
  if (i < p.count) x[i] = x[i] * SCALE + p.add + p.tail[2];
}
)CL";

struct Packed {
  void* buffer;
  uint64_t offset;
  uint32_t add, count;
  uint8_t tail[4];
};

std::shared_ptr<const Program> Build(const std::string& options = "-DSCALE=5") {
  std::string log;
  auto program = Program::Build(kText, options, log);
  EXPECT_NE(program, nullptr) << log;
  return program;
}

Launch StepOver(std::shared_ptr<const Program> program, void* address, uint32_t count) {
  Launch launch;
  launch.kernel = program->Find("step");
  launch.program = std::move(program);
  launch.groups[0] = (count + 63) / 64;
  launch.group_size[0] = 64;
  const Packed packed{address, 0, 1, count, {0, 0, 1, 0}};
  launch.arguments.resize(sizeof(Packed));
  std::memcpy(launch.arguments.data(), &packed, sizeof(packed));
  return launch;
}

TEST(Program, KnowsItsKernelsAndTheSizesOfTheirArguments) {
  const auto program = Build();
  ASSERT_EQ(program->kernels().size(), 1u);
  const KernelShape* step = program->Find("step");
  ASSERT_NE(step, nullptr);
  ASSERT_EQ(step->arguments.size(), 3u);
  EXPECT_TRUE(step->arguments[0].is_pointer);
  EXPECT_EQ(step->arguments[1].bytes, 8u);
  EXPECT_EQ(step->arguments[2].bytes, 12u);
  EXPECT_EQ(step->OffsetOf(2), 16u);
  EXPECT_EQ(step->OffsetOf(3), 28u);
  EXPECT_EQ(program->Find("stop"), nullptr);
}

TEST(Program, GivesTheCompilersLog) {
  std::string log;
  EXPECT_EQ(Program::Build("HET_KERNEL void f(HET_BUFFER(0)) { not_there(); }", "", log), nullptr);
  EXPECT_NE(log.find("not_there"), std::string::npos) << log;
}

TEST(Stream, RunsLaunchesAndFunctionsInOrder) {
  Memory memory;
  memory.SetSize(0, 1 << 20);
  auto* x = static_cast<uint32_t*>(memory.Allocate(0, 256 * 4));
  std::string failure;
  Stream stream([](const Launch&) { return true; }, [&](const std::string& why) { failure = why; });
  const auto program = Build();
  uint32_t seen = 0;
  for (int i = 0; i < 3; ++i) stream.Enqueue(StepOver(program, x, 256));
  stream.Enqueue([&] { seen = x[255]; });
  stream.Enqueue(StepOver(program, x, 256));
  const auto mark = stream.Record();
  mark->Wait();
  EXPECT_EQ(failure, "");
  EXPECT_EQ(seen, 62u);  // 2, 12, 62
  EXPECT_EQ(x[0], 312u);
  stream.Synchronize();
  EXPECT_TRUE(stream.idle());
}

TEST(Stream, DropsWorkButNotMarksWhenItIsStopped) {
  Stream stream([](const Launch&) { return true; }, [](const std::string&) {});
  stream.Stop();
  bool ran = false;
  stream.Enqueue([&] { ran = true; });
  stream.Record()->Wait();
  EXPECT_FALSE(ran);
}

TEST(Stream, TellsOfALaunchThatCannotRun) {
  std::string failure;
  uint32_t x[64] = {};
  {
    Stream stream([](const Launch&) { return true; },
                  [&](const std::string& why) { failure = why; });
    Launch launch = StepOver(Build(), x, 64);
    launch.arguments.resize(20);
    stream.Enqueue(launch);
  }
  EXPECT_NE(failure.find("argument 2"), std::string::npos) << failure;
}

TEST(Memory, IsLimitedByTheCard) {
  Memory memory;
  memory.SetSize(0, 10'000);
  void* half = memory.Allocate(0, 6'000);
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(memory.Allocate(0, 6'000), nullptr);
  EXPECT_EQ(memory.Allocate(1, 1), nullptr);
  EXPECT_EQ(memory.used(0), 6'000u);
  EXPECT_EQ(memory.Find(static_cast<char*>(half) + 5'999, 1).card, 0);
  EXPECT_EQ(memory.Find(static_cast<char*>(half) + 5'999, 2).bytes, 0u);
  EXPECT_TRUE(memory.Free(half));
  EXPECT_FALSE(memory.Free(half));
  EXPECT_EQ(memory.used(0), 0u);
}

}  // namespace
}  // namespace het::soft
