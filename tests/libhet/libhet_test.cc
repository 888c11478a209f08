// The C ABI and het.hpp, against libhet.so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "het/het.hpp"

namespace het::api {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

het_code Code(het_status status) {
  const het_code code = het_status_code(status);
  het_status_free(status);
  return code;
}

template <typename Call>
het_code CodeOf(Call call) {
  try {
    call();
    return HET_OK;
  } catch (const Error& error) {
    return error.code();
  }
}

template <typename Call>
std::string MessageOf(Call call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// A file that goes with the test.
class TextFile {
 public:
  explicit TextFile(const std::string& text) {
    char path[] = "/tmp/libhet_test_XXXXXX";
    close(mkstemp(path));
    path_ = path;
    std::ofstream(path_) << text;
  }
  ~TextFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Session Embedded(const std::string& profile = "") {
  SessionOptions options;
  options.flags = HET_SESSION_EMBEDDED;
  options.simulate = profile;
  return Session::Open(options);
}

het_device_info Find(const Session& session, const std::string& backend,
                     const std::string& name = "") {
  for (const het_device_info& info : session.Devices()) {
    if (backend == info.backend && std::string(info.name).find(name) == 0) return info;
  }
  ADD_FAILURE() << "no device " << backend << " " << name;
  return Init<het_device_info>();
}

Lease HalfTheHost(const Session& session, uint64_t memory = 64 * kMiB) {
  return session.Acquire(SliceRequest{Find(session, "cpu").id, 5000, memory});
}

// ---- arguments ----

TEST(Arguments, NullHandlesAreErrors) {
  EXPECT_EQ(Code(het_session_open(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_session_refresh(nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(het_session_device_count(nullptr), 0u);
  EXPECT_EQ(het_session_is_embedded(nullptr), 0);
  EXPECT_EQ(Code(het_session_device(nullptr, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_acquire(nullptr, nullptr, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_lease_get_info(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_lease_capabilities(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_lease_native_handle(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_work_begin(nullptr, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_work_end(nullptr, 0, nullptr, 0)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_buffer_create(nullptr, 1, HET_MEMORY_DEVICE, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_buffer_wrap(nullptr, nullptr, 1, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(het_buffer_bytes(nullptr), 0u);
  EXPECT_EQ(het_buffer_host(nullptr), nullptr);
  EXPECT_EQ(het_buffer_native(nullptr), nullptr);
  EXPECT_EQ(Code(het_timeline_create(nullptr, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_timeline_query(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_timeline_signal(nullptr, 1)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_timeline_wait(nullptr, 1, 0)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_timeline_on_reach(nullptr, 1, nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_timeline_eventfd(nullptr, 1, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_program_build(nullptr, nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_program_kernel(nullptr, "x", nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_queue_create(nullptr, HET_QUEUE_COMPUTE, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_queue_wrap(nullptr, nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(het_queue_native(nullptr), nullptr);
  EXPECT_EQ(het_queue_busy_ns(nullptr), 0u);
  EXPECT_EQ(Code(het_queue_launch(nullptr, nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_queue_multiply(nullptr, nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_queue_finish(nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_plan_make(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_link_measure(nullptr, nullptr, 1, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_calibration_load(nullptr, "k", nullptr, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_calibration_store(nullptr, "k", nullptr, 0)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_pipeline_create(nullptr, nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_pipeline_submit(nullptr, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_pipeline_drain(nullptr, 0)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(Code(het_pipeline_get_stage_stats(nullptr, 0, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(het_pipeline_failed_stage(nullptr), -1);
  // Releasing nothing is legal.
  het_session_close(nullptr);
  het_lease_release(nullptr);
  het_buffer_release(nullptr);
  het_timeline_release(nullptr);
  het_program_release(nullptr);
  het_queue_release(nullptr);
  het_pipeline_release(nullptr);
  het_plan_free(nullptr);
  het_status_free(nullptr);
}

TEST(Arguments, AHandleOfAnotherKindIsAnError) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session);
  const Queue queue = lease.CreateQueue();
  auto* wrong = reinterpret_cast<het_buffer*>(queue.get());
  char byte = 0;
  EXPECT_EQ(Code(het_queue_write(queue.get(), &byte, wrong, 0, 1, nullptr)), HET_INVALID_ARGUMENT);
  EXPECT_EQ(het_buffer_bytes(wrong), 0u);
  EXPECT_EQ(Code(het_buffer_create(reinterpret_cast<het_lease*>(session.get()), 1,
                                   HET_MEMORY_DEVICE, nullptr)),
            HET_INVALID_ARGUMENT);
  het_buffer_release(wrong);  // not this kind: nothing happens
  queue->Finish();
}

TEST(Arguments, RangesAndKindsAreChecked) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session);
  const Buffer buffer = lease.CreateBuffer(100);
  const Queue queue = lease.CreateQueue();
  char bytes[200] = {};
  EXPECT_EQ(CodeOf([&] { queue->Write(bytes, buffer.get(), 50, 51); }), HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { queue->Read(buffer.get(), UINT64_MAX, bytes, 2); }), HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { queue->Write(nullptr, buffer.get(), 0, 1); }), HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { lease.CreateBuffer(0); }), HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { lease.CreateBuffer(1, static_cast<het_memory_kind>(9)); }),
            HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { lease.CreateQueue(static_cast<het_queue_kind>(9)); }),
            HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { lease.Build({.name = "empty"}); }), HET_INVALID_ARGUMENT);
  EXPECT_EQ(CodeOf([&] { queue->Submit(Launch{}); }), HET_INVALID_ARGUMENT);
}

TEST(StructSize, AnOlderCallersShorterStructIsTaken) {
  // As a header would be that knew `flags` only.
  struct {
    size_t struct_size;
    uint32_t flags;
    uint32_t reserved;
  } old = {sizeof(old), HET_SESSION_EMBEDDED, 0};
  het_session* session = nullptr;
  Check(het_session_open(reinterpret_cast<het_session_options*>(&old), &session));
  const Session owned(session);
  EXPECT_TRUE(owned.embedded());
}

TEST(StructSize, OutputsAreWrittenUpToTheCallersSize) {
  const Session session = Embedded();
  het_device_info info;
  std::memset(&info, 0x5a, sizeof(info));
  info.struct_size = offsetof(het_device_info, free_memory_bytes);
  Check(het_session_device(session.get(), 0, &info));
  EXPECT_EQ(info.struct_size, offsetof(het_device_info, free_memory_bytes));
  EXPECT_GT(info.memory_bytes, 0u);
  EXPECT_NE(info.memory_bytes, 0x5a5a5a5a5a5a5a5au);
  EXPECT_EQ(info.free_memory_bytes, 0x5a5a5a5a5a5a5a5au);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(info.reason), 0x5a5a5a5a5a5a5a5au);
}

TEST(StructSize, AbsurdSizesAreRefused) {
  het_session* session = nullptr;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{8}, size_t{100000}, SIZE_MAX}) {
    auto options = Init<het_session_options>();
    options.struct_size = size;
    EXPECT_EQ(Code(het_session_open(&options, &session)), HET_INVALID_ARGUMENT) << size;
  }
  EXPECT_EQ(session, nullptr);
}

TEST(StructSize, ANewerCallersStructIsTakenWhileItsNewMembersAreUnused) {
  struct {
    het_session_options known;
    uint64_t new_member;
  } newer = {};
  newer.known.struct_size = sizeof(newer);
  newer.known.flags = HET_SESSION_EMBEDDED;
  het_session* session = nullptr;
  Check(het_session_open(&newer.known, &session));
  het_session_close(session);
  newer.new_member = 1;
  EXPECT_EQ(Code(het_session_open(&newer.known, &session)), HET_UNIMPLEMENTED);
}

// ---- sessions and leases ----

TEST(SessionApi, SaysWhereItLookedForADaemon) {
  SessionOptions options;
  options.socket = "/nonexistent/het.sock";
  EXPECT_EQ(CodeOf([&] { Session::Open(options); }), HET_UNAVAILABLE);
  EXPECT_THAT(MessageOf([&] { Session::Open(options); }), HasSubstr("/nonexistent/het.sock"));
  options.flags = HET_SESSION_FALLBACK;
  EXPECT_TRUE(Session::Open(options).embedded());
}

TEST(SessionApi, RefusesAProfileThatIsNotThere) {
  EXPECT_EQ(CodeOf([&] { Embedded("/nonexistent.toml"); }), HET_NOT_FOUND);
}

TEST(Leases, AreAcquiredAllOrNone) {
  const Session session = Embedded();
  const het_device_info cpu = Find(session, "cpu");
  const std::vector<SliceRequest> both = {{cpu.id, 5000, kMiB}, {cpu.id, 6000, kMiB}};
  EXPECT_EQ(CodeOf([&] { session.Acquire(both); }), HET_RESOURCE_EXHAUSTED);
  EXPECT_EQ(Find(session, "cpu").free_share, 10000u);
  EXPECT_EQ(CodeOf([&] {
              session.Acquire(SliceRequest{"no-such-device", 5000, kMiB});
            }),
            HET_NOT_FOUND);
  const Lease all = session.Acquire(SliceRequest{cpu.id, 10000, kMiB});
  EXPECT_EQ(Find(session, "cpu").free_share, 0u);
}

TEST(Leases, SayWhatTheyAre) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session, 3 * kMiB + 1);
  const het_lease_info info = lease.info();
  EXPECT_EQ(info.memory_limit_bytes, 4 * kMiB);  // rounded up
  EXPECT_EQ(info.share, 5000u);
  EXPECT_GE(info.core_count, 1u);
  EXPECT_STREQ(info.backend, "cpu");
  EXPECT_STREQ(info.device, Find(session, "cpu").id);
  EXPECT_EQ(std::string(info.id).size(), 36u);
  EXPECT_TRUE(lease.Can(HET_CAN_RUN_NATIVE));
  EXPECT_TRUE(lease.Can(HET_CAN_HOST_ADDRESS));
}

TEST(Leases, AreRefusedWhereLessWouldHoldThemThanWasAsked) {
  const Session session = Embedded();
  const het_device_info cpu = Find(session, "cpu");
  SliceRequest request{cpu.id, 10000, kMiB};
  request.isolation_at_least = HET_ISOLATION_DRIVER;
  {
    const std::vector<Lease> whole = session.Acquire(std::vector{request});
    EXPECT_STREQ(whole[0].info().isolation, "driver");
  }
  request.share = 3700;
  EXPECT_EQ(CodeOf([&] { session.Acquire(std::vector{request}); }), HET_FAILED_PRECONDITION);
  EXPECT_THAT(MessageOf([&] { session.Acquire(std::vector{request}); }),
              AllOf(HasSubstr("\"driver\""), HasSubstr("37%"), HasSubstr("\"cooperative\""),
                    HasSubstr("whole cores")));
  request.share = 10000;
  request.isolation_at_least = HET_ISOLATION_HARDWARE;
  EXPECT_THAT(MessageOf([&] { session.Acquire(std::vector{request}); }), HasSubstr("MIG"));
  request.isolation_at_least = HET_ISOLATION_DRIVER;
  EXPECT_NO_THROW(session.Acquire(std::vector{request})) << "what was refused is free again";
}

TEST(SessionApi, RefusesToIsolateABackendThatIsNotThere) {
  SessionOptions options;
  options.flags = HET_SESSION_EMBEDDED;
  options.isolate = "cpu,cudda";
  EXPECT_THAT(MessageOf([&] { Session::Open(options); }),
              AllOf(HasSubstr("cudda"), HasSubstr("simulated")));
}

TEST(SessionApi, IsolatesWhatItIsAskedTo) {
  SessionOptions options;
  options.flags = HET_SESSION_EMBEDDED;
  options.isolate = "cpu";
  const Session session = Session::Open(options);
  const std::vector<Lease> leases =
      session.Acquire(std::vector{SliceRequest{Find(session, "cpu").id, 10000, 4 * kMiB}});
  EXPECT_FALSE(leases[0].Can(HET_CAN_RUN_NATIVE)) << "a native kernel does not cross";
  options.isolate = "";
  const Session plain = Session::Open(options);
  const std::vector<Lease> here =
      plain.Acquire(std::vector{SliceRequest{Find(plain, "cpu").id, 10000, 4 * kMiB}});
  EXPECT_TRUE(here[0].Can(HET_CAN_RUN_NATIVE));
}

TEST(Leases, GoBackWithTheLastThatUsesThem) {
  Session session = Embedded();
  Lease lease = HalfTheHost(session);
  Buffer buffer = lease.CreateBuffer(kMiB);
  lease.reset();
  EXPECT_LT(Find(session, "cpu").free_share, 10000u);
  buffer.reset();
  EXPECT_EQ(Find(session, "cpu").free_share, 10000u);
}

TEST(Leases, OutliveTheirSessionsHandle) {
  Session session = Embedded();
  const Lease lease = HalfTheHost(session);
  session.reset();
  EXPECT_EQ(lease.CreateBuffer(kMiB).bytes(), kMiB);
}

// ---- memory ----

TEST(Quota, EightThreadsNeverPassItByAByte) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session, 4 * kMiB);
  std::atomic<uint64_t> held{0};  // the test's own count
  std::atomic<uint64_t> most{0};
  std::atomic<int> refused{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      std::vector<Buffer> mine;
      uint64_t my_bytes = 0;
      for (int i = 0; i < 300; ++i) {
        const uint64_t bytes = 1 + random() % 200000;
        het_buffer* buffer = nullptr;
        const het_code code =
            Code(het_buffer_create(lease.get(), bytes, HET_MEMORY_DEVICE, &buffer));
        if (code == HET_OK) {
          mine.emplace_back(buffer);
          my_bytes += bytes;
          const uint64_t now = held.fetch_add(bytes) + bytes;
          uint64_t seen = most;
          while (seen < now && !most.compare_exchange_weak(seen, now)) {
          }
        } else {
          EXPECT_EQ(code, HET_RESOURCE_EXHAUSTED);
          ++refused;
        }
        if (code != HET_OK) {  // full: let go of everything
          held.fetch_sub(my_bytes);
          my_bytes = 0;
          mine.clear();
        }
      }
      held.fetch_sub(my_bytes);
    });
  }
  threads.clear();
  EXPECT_LE(most, 4 * kMiB);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(lease.info().memory_used_bytes, 0u);
  EXPECT_LE(lease.info().memory_peak_bytes, 4 * kMiB);
}

TEST(Quota, TakesTheLastByteAndRefusesOneMore) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session, 2 * kMiB);
  const Buffer all = lease.CreateBuffer(2 * kMiB);
  EXPECT_THAT(MessageOf([&] { lease.CreateBuffer(1); }),
              HasSubstr("2 MiB of 2 MiB used; 0 B left"));
}

TEST(Quota, ChargesWrappedMemoryToo) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session, 2 * kMiB);
  if (!lease.Can(HET_CAN_WRAP_HOST)) FAIL() << "the host's own device wraps host memory";
  void* memory = aligned_alloc(64, kMiB);
  {
    const Buffer wrapped = lease.WrapHost(memory, kMiB, true);
    EXPECT_EQ(wrapped.host(), memory);
    EXPECT_EQ(lease.info().memory_used_bytes, kMiB);
    EXPECT_EQ(CodeOf([&] { lease.WrapHost(static_cast<char*>(memory) + 1, 64, true); }),
              HET_INVALID_ARGUMENT);
  }
  EXPECT_EQ(lease.info().memory_used_bytes, 0u);
  free(memory);
}

// ---- timelines and work ----

TEST(Timelines, TellInEveryWay) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session);
  const Timeline timeline = lease.CreateTimeline(5);
  EXPECT_EQ(timeline.Query(), 5u);
  EXPECT_EQ(CodeOf([&] { timeline.Wait(6, 1000); }), HET_DEADLINE_EXCEEDED);
  const int fd = timeline.EventFd(7);
  std::atomic<int> calls{0};
  Check(het_timeline_on_reach(
      timeline.get(), 7,
      [](void* user, het_status status) {
        EXPECT_EQ(status, nullptr);
        ++*static_cast<std::atomic<int>*>(user);
      },
      &calls));
  timeline.Signal(6);
  EXPECT_EQ(calls, 0);
  timeline.Signal(7);
  EXPECT_EQ(calls, 1);
  pollfd poll_fd{fd, POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 1000), 1);
  close(fd);
  timeline.Wait(7);
}

TEST(Work, IsBracketedOnce) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session);
  const Timeline timeline = lease.CreateTimeline();
  const uint64_t ticket = lease.BeginWork(1000);
  lease.EndWork(ticket, timeline.At(1));
  EXPECT_EQ(CodeOf([&] { lease.EndWork(ticket); }), HET_NOT_FOUND);
  timeline.Signal(1);
}

TEST(Calibration, OutlivesTheSession) {
  char directory[] = "/tmp/libhet_cache_XXXXXX";
  setenv("XDG_CACHE_HOME", mkdtemp(directory), 1);
  const std::vector<double> values = {1.5, 2.5};
  const std::string key = "libhet_test";
  HalfTheHost(Embedded()).StoreCalibration(key, values);
  EXPECT_EQ(HalfTheHost(Embedded()).LoadCalibration(key, 2), values);
  EXPECT_TRUE(HalfTheHost(Embedded()).LoadCalibration("another", 2).empty());
}

// ---- plans ----

TEST(Plans, AreMadeAndProven) {
  const std::vector<uint64_t> layers(4, 100);
  const std::vector<uint64_t> memory = {400, 200};
  const std::vector<double> ms = {1, 1, 1, 1, 2, 2, 2, 2};
  const Plan plan = Plan::Make({layers, memory, ms});
  ASSERT_EQ(plan.stages().size(), 2u);
  EXPECT_DOUBLE_EQ(plan->bottleneck_ms, 3);
  EXPECT_TRUE(plan->optimal);
  EXPECT_GE(plan->in_flight, 2u);
  const std::vector<uint64_t> small = {100, 200};
  EXPECT_EQ(CodeOf([&] { Plan::Make({layers, small, ms}); }), HET_RESOURCE_EXHAUSTED);
  auto bad = Init<het_plan_problem>();
  het_plan* none = nullptr;
  EXPECT_EQ(Code(het_plan_make(&bad, &none)), HET_INVALID_ARGUMENT);
  bad.layer_count = SIZE_MAX;
  bad.slice_count = SIZE_MAX;
  EXPECT_EQ(Code(het_plan_make(&bad, &none)), HET_INVALID_ARGUMENT);
}

// ---- pipelines ----

struct ScaleParams {
  float factor;
  uint32_t count;
};

void Scale(const het_native_call* call) {
  const auto* params = static_cast<const ScaleParams*>(call->params);
  const auto* in = static_cast<const float*>(call->buffers[0]);
  auto* out = static_cast<float*>(call->buffers[1]);
  for (uint64_t i = call->group_begin; i < call->group_end && i < params->count; ++i) {
    out[i] = in[i] * params->factor;
  }
}

Stage ScaleStage(const Lease& lease, Program& program, float factor, uint64_t bytes) {
  program = lease.Build({.name = "scale", .native = {{"scale", Scale}}});
  const Kernel kernel = program.GetKernel("scale");
  return {"scale", &lease,
          [kernel, factor](het_stage_call& call) {
            const ScaleParams params{factor, static_cast<uint32_t>(call.input_bytes / 4)};
            const het_buffer_arg buffers[] = {{call.input, 0}, {call.output, 0}};
            Launch launch;
            launch.kernel = kernel;
            launch.groups[0] = params.count;
            launch.buffers = buffers;
            launch.SetParams(params);
            QueueView(call.queue).Submit(launch);
            call.output_bytes = call.input_bytes;
          },
          bytes};
}

// Two simulated devices. Faults belong to a device's identity, which is made of the profile's name.
constexpr char kPair[] = R"(
mode = "functional"
[[device]]
name = "left"
vendor = "L"
memory = "64MiB"
compute_units = 4
memory_gb_per_s = 100
f32_tflops = 1
launch_us = 1
link_latency_us = 1
link_gb_per_s = 50
[[device]]
name = "right"
vendor = "R"
memory = "64MiB"
compute_units = 4
memory_gb_per_s = 100
f32_tflops = 1
launch_us = 1
link_latency_us = 1
link_gb_per_s = 50
)";

TEST(Pipelines, RunAcrossVendors) {
  const TextFile profile(std::string("name = \"libhet-pair\"") + kPair);
  const Session session = Embedded(profile.path());
  const Lease host = HalfTheHost(session);
  const Lease left =
      session.Acquire(SliceRequest{Find(session, "simulated", "left").id, 10000, kMiB});
  const Lease right =
      session.Acquire(SliceRequest{Find(session, "simulated", "right").id, 10000, kMiB});
  constexpr size_t kFloats = 100, kItems = 500;
  Program programs[3];
  std::vector<Stage> stages;
  stages.push_back(ScaleStage(host, programs[0], 2, kFloats * 4));
  stages.push_back(ScaleStage(left, programs[1], 3, kFloats * 4));
  stages.push_back(ScaleStage(right, programs[2], 5, kFloats * 4));
  const Pipeline pipeline(session, std::move(stages), kFloats * 4, 5);
  std::vector<std::vector<float>> in(kItems), out(kItems, std::vector<float>(kFloats));
  std::atomic<uint64_t> next{0};
  for (size_t i = 0; i < kItems; ++i) {
    in[i].assign(kFloats, static_cast<float>(i));
    Item item;
    item.input = in[i].data();
    item.input_bytes = kFloats * 4;
    item.output = out[i].data();
    item.output_capacity = kFloats * 4;
    item.done = [&next](uint64_t number, const Error* error, uint64_t bytes) {
      EXPECT_EQ(number, next++);  // in order
      EXPECT_EQ(error, nullptr);
      EXPECT_EQ(bytes, kFloats * 4);
    };
    pipeline.Submit(std::move(item));
  }
  pipeline.Drain();
  EXPECT_EQ(next, kItems);
  for (size_t i = 0; i < kItems; ++i) EXPECT_EQ(out[i][kFloats - 1], 30.0f * i) << i;
  EXPECT_EQ(pipeline.Stats(1).items, kItems);
  EXPECT_GT(pipeline.Stats(1).transfer_ns, 0u);
  EXPECT_GE(MeasureLink(left, right, 4096), 0.004);  // 2 us each way, at least
}

TEST(Pipelines, WhatAStageThrowsFailsItsItem) {
  const Session session = Embedded();
  const Lease lease = HalfTheHost(session);
  std::vector<Stage> stages;
  stages.push_back({"thrower", &lease,
                    [](het_stage_call& call) {
                      if (call.item == 1) throw Error(HET_ABORTED, "not this one");
                      if (call.item == 2) throw std::runtime_error("nor this");
                    },
                    0});
  const Pipeline pipeline(session, std::move(stages), 0);
  std::vector<het_code> codes(4, HET_UNKNOWN);
  for (size_t i = 0; i < 4; ++i) {
    pipeline.Submit({.done = [&codes, i](uint64_t, const Error* error, uint64_t) {
      codes[i] = error == nullptr ? HET_OK : error->code();
    }});
  }
  EXPECT_EQ(CodeOf([&] { pipeline.Drain(); }), HET_ABORTED);
  EXPECT_EQ(codes, (std::vector<het_code>{HET_OK, HET_ABORTED, HET_UNKNOWN, HET_OK}));
}

TEST(Pipelines, ALostDeviceIsToldAndTheRestGoesOn) {
  const TextFile profile(std::string("name = \"libhet-fault\"") + kPair +
                         "[device.fault]\nlose_after_ops = 30\n");
  const Session session = Embedded(profile.path());
  const Lease host = HalfTheHost(session);
  const Lease right =
      session.Acquire(SliceRequest{Find(session, "simulated", "right").id, 10000, kMiB});
  Program programs[3];
  std::vector<Stage> stages;
  stages.push_back(ScaleStage(host, programs[0], 2, 4));
  stages.push_back(ScaleStage(right, programs[1], 3, 4));
  const Pipeline pipeline(session, std::move(stages), 4);
  const float one = 1;
  std::atomic<int> failed{0};
  for (int i = 0; i < 50; ++i) {
    pipeline.Submit(
        {.input = &one, .input_bytes = 4, .done = [&](uint64_t, const Error* error, uint64_t) {
           if (error == nullptr) return;
           EXPECT_EQ(error->code(), HET_DATA_LOSS) << error->what();
           ++failed;
         }});
  }
  EXPECT_EQ(CodeOf([&] { pipeline.Drain(); }), HET_DATA_LOSS);
  EXPECT_GT(failed, 0);
  EXPECT_EQ(pipeline.failed_stage(), 1);
  std::vector<Stage> rest;
  rest.push_back(ScaleStage(host, programs[2], 6, 4));
  const Pipeline again(session, std::move(rest), 4);
  float result = 0;
  again.Submit({.input = &one, .input_bytes = 4, .output = &result, .output_capacity = 4});
  again.Drain();
  EXPECT_EQ(result, 6);
}

TEST(Pipelines, AreRefusedWithoutStages) {
  const Session session = Embedded();
  EXPECT_EQ(CodeOf([&] { Pipeline(session, {}, 4); }), HET_INVALID_ARGUMENT);
  std::vector<Stage> stages(1);
  stages[0].name = "no lease";
  EXPECT_EQ(CodeOf([&] { Pipeline(session, std::move(stages), 4); }), HET_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace het::api
