// What isolation is for: a driver that crashes takes its worker along, and nothing else. The driver
// is the soft Level Zero driver, told to crash through its control file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "runtime/isolation/driver.h"

namespace het::runtime::isolation {
namespace {

using ::testing::HasSubstr;

constexpr char kScale[] = R"(
struct Params { uint count; float factor; };
HET_KERNEL void scale(HET_BUFFER(0), struct Params p) {
  HET_GLOBAL float* x = HET_PTR(float, 0);
  const uint i = het_global_id(0);
  const float factor = p.factor;
  if (i < p.count) x[i] = x[i] * factor;
}
)";
struct Params {
  uint32_t count;
  float factor;
};

// A device with work on it.
class Job {
 public:
  static absl::StatusOr<Job> Make(Driver& driver) {
    Job job;
    auto devices = driver.Enumerate();
    if (!devices.ok()) return devices.status();
    auto device = driver.Open(devices->front().uuid, {});
    if (!device.ok()) return device.status();
    job.device_ = *std::move(device);
    job.buffer_ = *job.device_->Allocate(kCount * sizeof(float));
    job.queue_ = *job.device_->CreateQueue(QueueKind::kCompute);
    job.timeline_ = *job.device_->CreateTimeline();
    ProgramSource source;
    source.name = "scale";
    source.portable = kScale;
    auto program = job.device_->Build(source);
    if (!program.ok()) return program.status();
    job.program_ = *program;
    return job;
  }

  // Writes ones, multiplies them by 3 twice, reads: nine if all went well.
  absl::StatusOr<float> Run() {
    std::vector<float> values(kCount, 1.0f);
    const Params params = {kCount, 3.0f};
    const BufferArg buffers[] = {{buffer_.get(), 0}};
    auto kernel = program_->GetKernel("scale");
    if (!kernel.ok()) return kernel.status();
    Launch launch;
    launch.kernel = *kernel;
    launch.groups[0] = kCount / 64;
    launch.group_size[0] = 64;
    launch.buffers = buffers;
    launch.params = {reinterpret_cast<const std::byte*>(&params), sizeof(params)};
    const uint64_t bytes = values.size() * sizeof(float);
    for (const absl::Status& status : {queue_->Write(values.data(), *buffer_, 0, bytes),
                                       queue_->Submit(launch), queue_->Submit(launch),
                                       queue_->Read(*buffer_, 0, values.data(), bytes,
                                                    {.waits = {}, .signal = {timeline_, ++value_}}),
                                       queue_->Flush()}) {
      if (!status.ok()) return status;
    }
    if (const absl::Status done = timeline_->Wait(value_, absl::Seconds(20)); !done.ok())
      return done;
    return values.back();
  }

 private:
  static constexpr uint32_t kCount = 4096;
  std::unique_ptr<Device> device_;
  Ref<Buffer> buffer_;
  Ref<Program> program_;
  Ref<Timeline> timeline_;
  uint64_t value_ = 0;
  std::unique_ptr<Queue> queue_;
};

class IsolationTest : public testing::Test {
 protected:
  IsolationTest() { Control(""); }
  ~IsolationTest() override { Control(""); }
  static void Control(const std::string& text) {
    std::ofstream(std::getenv("HET_SOFT_LEVEL_ZERO_FILE")) << text;
    // The soft driver looks at the file a few times a second.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
};

TEST_F(IsolationTest, WorksThroughAWorkerProcess) {
  auto driver = CreateIsolatedDriver("level_zero", {});
  ASSERT_TRUE(driver.ok()) << driver.status();
  auto job = Job::Make(**driver);
  ASSERT_TRUE(job.ok()) << job.status();
  for (int i = 0; i < 3; ++i) {
    const auto value = job->Run();
    ASSERT_TRUE(value.ok()) << value.status();
    EXPECT_EQ(*value, 9.0f);
  }
}

TEST_F(IsolationTest, ADriverThatCrashesFailsOnlyItsOwnWork) {
  auto crashing = CreateIsolatedDriver("level_zero", {});
  auto other = CreateIsolatedDriver("opencl", {});
  ASSERT_TRUE(crashing.ok() && other.ok()) << crashing.status() << other.status();
  auto job = Job::Make(**crashing), other_job = Job::Make(**other);
  ASSERT_TRUE(job.ok() && other_job.ok()) << job.status() << other_job.status();
  ASSERT_TRUE(job->Run().ok());

  Control("fault=kernel:crash");
  const auto lost = job->Run();
  EXPECT_EQ(lost.status().code(), absl::StatusCode::kDataLoss) << lost.status();
  EXPECT_THAT(std::string(lost.status().message()), HasSubstr("signal 11"));
  const auto well = other_job->Run();
  ASSERT_TRUE(well.ok()) << well.status();
  EXPECT_EQ(*well, 9.0f);

  Control("");
  auto again = Job::Make(**crashing);
  ASSERT_TRUE(again.ok()) << "a new worker: " << again.status();
  const auto value = again->Run();
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, 9.0f);
}

TEST_F(IsolationTest, AWorkerThatIsKilledLosesItsDevices) {
  auto driver = CreateIsolatedDriver("level_zero", {});
  ASSERT_TRUE(driver.ok()) << driver.status();
  auto job = Job::Make(**driver);
  ASSERT_TRUE(job.ok()) << job.status();
  kill(static_cast<IsolatedDriver&>(**driver).worker_pid(), SIGKILL);
  EXPECT_EQ(job->Run().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(job->Run().status().code(), absl::StatusCode::kDataLoss) << "and for good";
}

TEST_F(IsolationTest, SaysWhyABackendCannotBeUsed) {
  const auto driver = CreateIsolatedDriver("simulated", {});
  EXPECT_FALSE(driver.ok());
  EXPECT_THAT(std::string(driver.status().message()), HasSubstr("profile"));
}

TEST(IsIsolated, GoesByNames) {
  EXPECT_TRUE(IsIsolated("cuda,opencl", "opencl"));
  EXPECT_FALSE(IsIsolated("cuda,opencl", "cpu"));
  EXPECT_TRUE(IsIsolated("all", "cpu"));
  EXPECT_FALSE(IsIsolated("", "opencl"));
  setenv("HET_ISOLATE", "hip", 1);
  EXPECT_EQ(IsolatedByEnvironment(), "hip");
  unsetenv("HET_ISOLATE");
  EXPECT_EQ(IsolatedByEnvironment(), "");
}

TEST(IsIsolated, RefusesABackendThatIsNotThere) {
  EXPECT_TRUE(CheckIsolated("cpu,opencl").ok());
  EXPECT_TRUE(CheckIsolated("").ok());
  const absl::Status status = CheckIsolated("cpu,cudda");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cudda"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("simulated"));
}

}  // namespace
}  // namespace het::runtime::isolation
