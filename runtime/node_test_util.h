// For tests: an embedded session over the host's processors and simulated devices, and a kernel
// that adds a number, to see which stages an item passed.
#ifndef HET_RUNTIME_NODE_TEST_UTIL_H_
#define HET_RUNTIME_NODE_TEST_UTIL_H_

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "runtime/pipeline.h"
#include "runtime/session.h"

namespace het::runtime {

class TestNode {
 public:
  // `simulated`: text of a profile, or empty.
  explicit TestNode(const std::string& simulated = "") {
    SessionOptions options;
    options.mode = SessionOptions::Mode::kEmbedded;
    if (!simulated.empty()) {
      char path[] = "/tmp/het_profile_XXXXXX";
      close(mkstemp(path));
      profile_ = path;
      std::ofstream(profile_) << simulated;
      options.simulate = profile_;
    }
    auto session = Session::Open(options);
    EXPECT_TRUE(session.ok()) << session.status();
    if (session.ok()) session_ = *std::move(session);
  }
  ~TestNode() {
    if (!profile_.empty()) unlink(profile_.c_str());
  }

  const Ref<Session>& session() const { return session_; }

  // The id of the first usable device of this backend, and of this name unless it is empty.
  std::string Find(const std::string& backend, const std::string& name = "") const {
    for (size_t i = 0; i < session_->device_count(); ++i) {
      const DeviceInfo& info = *session_->device(i)->info;
      if (info.backend == backend && info.name.find(name) == 0) return info.uuid;
    }
    ADD_FAILURE() << "no device " << backend << "/" << name;
    return "";
  }

  Ref<LeaseHandle> Acquire(const std::string& device, uint32_t percent = 50,
                           uint64_t memory = 32 * kMiB) const {
    auto leases = session_->Acquire({{device, Share::OfPercent(percent), memory, Policy::kCapped}});
    EXPECT_TRUE(leases.ok()) << leases.status();
    return leases.ok() ? leases->front() : nullptr;
  }

 private:
  std::string profile_;
  Ref<Session> session_;
};

struct AddParams {
  float value;
  uint32_t count;
};

inline void AddKernel(const het_native_call* call) {
  const auto* params = static_cast<const AddParams*>(call->params);
  const auto* in = static_cast<const float*>(call->buffers[0]);
  auto* out = static_cast<float*>(call->buffers[1]);
  for (uint64_t i = call->group_begin; i < call->group_end && i < params->count; ++i) {
    out[i] = in[i] + params->value;
  }
}

template <typename... S>
std::vector<Pipeline::Stage> Stages(S... stage) {
  std::vector<Pipeline::Stage> stages;
  (stages.push_back(std::move(stage)), ...);
  return stages;
}

// A stage on `lease` that writes input + value.
inline Pipeline::Stage AddStage(const Ref<LeaseHandle>& lease, float value, uint64_t bytes) {
  ProgramSource source;
  source.name = "add";
  source.native = {{"add", AddKernel}};
  Ref<Program> program = *(*lease->device())->Build(source);
  const Kernel* kernel = *program->GetKernel("add");
  return {"add", lease,
          [program, kernel, value](Pipeline::Call& call) -> absl::Status {
            const auto count = static_cast<uint32_t>(call.input_bytes / sizeof(float));
            const AddParams params{value, count};
            const BufferArg buffers[] = {{&**call.input, 0}, {&**call.output, 0}};
            Launch launch;
            launch.kernel = kernel;
            launch.groups[0] = count;
            launch.buffers = buffers;
            launch.params = {reinterpret_cast<const std::byte*>(&params), sizeof(params)};
            call.output_bytes = call.input_bytes;
            return (*call.queue)->Submit(launch);
          },
          bytes};
}

}  // namespace het::runtime

#endif  // HET_RUNTIME_NODE_TEST_UTIL_H_
