// het.hpp: a thin C++20 coat over the C ABI of het.h. Header-only: everything here is compiled into
// the caller's module, so no exception, no standard library type and no inline function crosses the
// border of libhet.
//
// Ownership: every handle class is move-only and releases its handle when it goes; an empty one
// holds nothing. Children keep their parents alive inside libhet, so the order in which handles go
// does not matter. Threads: as in het.h (one Queue is used by one thread at a time, everything else
// is thread-safe; a handle object itself is like any variable). Errors: a failing call throws
// het::api::Error with the canonical code and libhet's message; destructors and moves do not throw.
// Functions given to a Pipeline may throw: the coat turns what they throw into the item's failure.
#ifndef HET_HET_HPP_
#define HET_HET_HPP_

#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "het/het.h"

namespace het::api {

// ---- errors ----

class Error : public std::runtime_error {
 public:
  Error(het_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  het_code code() const noexcept { return code_; }

 private:
  het_code code_;
};

// Throws for anything but success, and frees the status.
inline void Check(het_status status) {
  if (status == nullptr) return;
  Error error(het_status_code(status), het_status_message(status));
  het_status_free(status);
  throw error;
}

// The exception being handled as a het_status, for functions that libhet calls. Only inside a catch
// block.
inline het_status StatusOfCurrentException() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return het_status_make(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return het_status_make(HET_RESOURCE_EXHAUSTED, "out of host memory");
  } catch (const std::exception& error) {
    return het_status_make(HET_UNKNOWN, error.what());
  } catch (...) {
    return het_status_make(HET_UNKNOWN, "an exception that is no std::exception");
  }
}

// A zeroed argument struct with struct_size set.
template <typename T>
T Init() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}

namespace internal {
template <typename T, void (*kRelease)(T*)>
struct Releaser {
  void operator()(T* handle) const noexcept { kRelease(handle); }
};
}  // namespace internal

// What all handle classes share: get() for the C functions, release() to give ownership up.
template <typename T, void (*kRelease)(T*)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(T* handle) : handle_(handle) {}
  T* get() const noexcept { return handle_.get(); }
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  void reset() noexcept { handle_.reset(); }
  T* release() noexcept { return handle_.release(); }

 private:
  std::unique_ptr<T, internal::Releaser<T, kRelease>> handle_;
};

// ---- timelines ----

class Timeline : public Handle<het_timeline, het_timeline_release> {
 public:
  using Handle::Handle;
  // The value reached; throws the failure of a failed timeline.
  uint64_t Query() const {
    uint64_t value = 0;
    Check(het_timeline_query(get(), &value));
    return value;
  }
  void Signal(uint64_t value) const { Check(het_timeline_signal(get(), value)); }
  void Wait(uint64_t value, uint64_t timeout_ns = UINT64_MAX) const {
    Check(het_timeline_wait(get(), value, timeout_ns));
  }
  int EventFd(uint64_t value) const {
    int fd = -1;
    Check(het_timeline_eventfd(get(), value, &fd));
    return fd;
  }
  het_fence At(uint64_t value) const { return {get(), value}; }
};

// What an operation waits for and signals. Borrows the waits. Convertible from nothing: `{}`.
struct Sync {
  std::span<const het_fence> waits{};
  het_fence signal{nullptr, 0};

  het_sync c() const {
    het_sync sync = Init<het_sync>();
    sync.waits = waits.data();
    sync.wait_count = waits.size();
    sync.signal = signal;
    return sync;
  }
};

// ---- memory ----

class Buffer : public Handle<het_buffer, het_buffer_release> {
 public:
  using Handle::Handle;
  uint64_t bytes() const { return het_buffer_bytes(get()); }
  // Null when the host cannot address it.
  void* host() const { return het_buffer_host(get()); }
  void* native() const { return het_buffer_native(get()); }
  het_buffer_arg At(uint64_t offset = 0) const { return {get(), offset}; }
};

// ---- programs ----

// A borrowed entry point; lives as long as its Program.
class Kernel {
 public:
  Kernel() = default;
  explicit Kernel(het_kernel* kernel) : kernel_(kernel) {}
  het_kernel* get() const noexcept { return kernel_; }
  het_kernel_form form() const { return het_kernel_get_form(kernel_); }
  explicit operator bool() const noexcept { return kernel_ != nullptr; }

 private:
  het_kernel* kernel_ = nullptr;
};

class Program : public Handle<het_program, het_program_release> {
 public:
  using Handle::Handle;
  Kernel GetKernel(const std::string& name) const {
    het_kernel* kernel = nullptr;
    Check(het_program_kernel(get(), name.c_str(), &kernel));
    return Kernel(kernel);
  }
};

// ---- queues ----

// One launch with the usual defaults: one work item per group unless said otherwise.
struct Launch {
  Kernel kernel;
  uint32_t groups[3] = {1, 1, 1};
  uint32_t group_size[3] = {1, 1, 1};
  std::span<const het_buffer_arg> buffers = {};
  const void* params = nullptr;
  size_t params_bytes = 0;
  double flops = 0;
  double bytes = 0;
  double batch = 0;

  template <typename Params>
  requires std::is_trivially_copyable_v<Params>
  void SetParams(const Params& value) {
    params = &value;
    params_bytes = sizeof(Params);
  }
};

// What QueueView::Record noted.
class Recording : public Handle<het_recording, het_recording_release> {
 public:
  using Handle::Handle;
};

// All operations are asynchronous; see het.h. A QueueView borrows (in a stage function), a Queue
// owns.
class QueueView {
 public:
  QueueView() = default;
  explicit QueueView(het_queue* queue) : queue_(queue) {}
  het_queue* get() const noexcept { return queue_; }
  explicit operator bool() const noexcept { return queue_ != nullptr; }

  void Write(const void* host, het_buffer* to, uint64_t offset, uint64_t bytes,
             const Sync& sync = {}) const {
    const het_sync c = sync.c();
    Check(het_queue_write(queue_, host, to, offset, bytes, &c));
  }
  void Read(het_buffer* from, uint64_t offset, void* host, uint64_t bytes,
            const Sync& sync = {}) const {
    const het_sync c = sync.c();
    Check(het_queue_read(queue_, from, offset, host, bytes, &c));
  }
  void Copy(het_buffer* from, uint64_t from_offset, het_buffer* to, uint64_t to_offset,
            uint64_t bytes, const Sync& sync = {}) const {
    const het_sync c = sync.c();
    Check(het_queue_copy(queue_, from, from_offset, to, to_offset, bytes, &c));
  }
  void Fill(het_buffer* to, uint64_t offset, uint64_t bytes, uint8_t value,
            const Sync& sync = {}) const {
    const het_sync c = sync.c();
    Check(het_queue_fill(queue_, to, offset, bytes, value, &c));
  }
  void Submit(const Launch& launch, const Sync& sync = {}) const {
    het_launch c = Init<het_launch>();
    c.kernel = launch.kernel.get();
    for (int axis = 0; axis < 3; ++axis) {
      c.groups[axis] = launch.groups[axis];
      c.group_size[axis] = launch.group_size[axis];
    }
    c.buffers = launch.buffers.data();
    c.buffer_count = launch.buffers.size();
    c.params = launch.params;
    c.params_bytes = launch.params_bytes;
    c.flops = launch.flops;
    c.bytes = launch.bytes;
    c.batch = launch.batch;
    const het_sync s = sync.c();
    Check(het_queue_launch(queue_, &c, &s));
  }
  struct Product {
    het_matrix_type type = HET_MATRIX_F32;
    uint32_t rows = 0, n_in = 0, n_out = 0;
    bool accumulate = false;
    uint32_t y_stride = 0;  // 0: n_out
    het_buffer_arg w = {}, x = {}, y = {};
  };
  void Multiply(const Product& product, const Sync& sync = {}) const {
    het_matrix_product c = Init<het_matrix_product>();
    c.type = product.type;
    c.rows = product.rows;
    c.n_in = product.n_in;
    c.n_out = product.n_out;
    c.accumulate = product.accumulate ? 1 : 0;
    c.y_stride = product.y_stride;
    c.w = product.w;
    c.x = product.x;
    c.y = product.y;
    const het_sync s = sync.c();
    Check(het_queue_multiply(queue_, &c, &s));
  }
  // Notes what `operations` puts on this queue, in place of running it. What that throws leaves the
  // queue as it was.
  template <typename Operations>
  Recording Record(Operations operations) const {
    Check(het_queue_begin_recording(queue_));
    het_recording* recording = nullptr;
    try {
      operations();
    } catch (...) {
      const het_status status = het_queue_end_recording(queue_, &recording);
      het_status_free(status);
      het_recording_release(recording);
      throw;
    }
    Check(het_queue_end_recording(queue_, &recording));
    return Recording(recording);
  }
  void Replay(const Recording& recording, const Sync& sync = {}) const {
    const het_sync c = sync.c();
    Check(het_queue_replay(queue_, recording.get(), &c));
  }
  void Barrier(const Sync& sync) const {
    const het_sync c = sync.c();
    Check(het_queue_barrier(queue_, &c));
  }
  void Flush() const { Check(het_queue_flush(queue_)); }
  // Blocks: for loading and tests, never inside a stage.
  void Finish() const { Check(het_queue_finish(queue_)); }
  uint64_t busy_ns() const { return het_queue_busy_ns(queue_); }
  void* native() const { return het_queue_native(queue_); }

 private:
  het_queue* queue_ = nullptr;
};

class Queue : public Handle<het_queue, het_queue_release> {
 public:
  using Handle::Handle;
  QueueView view() const { return QueueView(get()); }
  QueueView operator*() const { return view(); }
  // queue->Write(...)
  struct Arrow {
    QueueView view;
    const QueueView* operator->() const { return &view; }
  };
  Arrow operator->() const { return {view()}; }
};

// ---- leases ----

struct NativeKernel {
  std::string name;
  het_native_fn function = nullptr;
};

struct ProgramSource {
  std::string name;
  std::string portable = {};  // empty: none
  std::string options = {};
  std::vector<NativeKernel> native = {};
  std::string graph = {};     // the vendor's compiled form
  std::string built_in = {};  // names of the driver's kernels, "a;b"
};

class Lease : public Handle<het_lease, het_lease_release> {
 public:
  using Handle::Handle;

  het_lease_info info() const {
    auto info = Init<het_lease_info>();
    Check(het_lease_get_info(get(), &info));
    return info;
  }
  uint32_t capabilities() const {
    uint32_t capabilities = 0;
    Check(het_lease_capabilities(get(), &capabilities));
    return capabilities;
  }
  bool Can(uint32_t capability) const { return (capabilities() & capability) != 0; }
  void* native_handle() const {
    void* handle = nullptr;
    Check(het_lease_native_handle(get(), &handle));
    return handle;
  }

  Buffer CreateBuffer(uint64_t bytes, het_memory_kind kind = HET_MEMORY_DEVICE) const {
    het_buffer* buffer = nullptr;
    Check(het_buffer_create(get(), bytes, kind, &buffer));
    return Buffer(buffer);
  }
  Buffer WrapHost(void* address, uint64_t bytes, bool writable) const {
    het_buffer* buffer = nullptr;
    Check(het_buffer_wrap(get(), address, bytes, writable ? 1 : 0, &buffer));
    return Buffer(buffer);
  }
  Timeline CreateTimeline(uint64_t initial = 0) const {
    het_timeline* timeline = nullptr;
    Check(het_timeline_create(get(), initial, &timeline));
    return Timeline(timeline);
  }
  Queue CreateQueue(het_queue_kind kind = HET_QUEUE_COMPUTE) const {
    het_queue* queue = nullptr;
    Check(het_queue_create(get(), kind, &queue));
    return Queue(queue);
  }
  Queue WrapQueue(void* native) const {
    het_queue* queue = nullptr;
    Check(het_queue_wrap(get(), native, &queue));
    return Queue(queue);
  }
  Program Build(const ProgramSource& source) const {
    std::vector<het_native_kernel> table;
    for (const NativeKernel& kernel : source.native)
      table.push_back({kernel.name.c_str(), kernel.function});
    auto c = Init<het_program_source>();
    c.name = source.name.c_str();
    c.portable = source.portable.empty() ? nullptr : source.portable.c_str();
    c.options = source.options.empty() ? nullptr : source.options.c_str();
    c.native = table.data();
    c.native_count = table.size();
    c.graph = source.graph.empty() ? nullptr : source.graph.data();
    c.graph_bytes = source.graph.size();
    c.built_in = source.built_in.empty() ? nullptr : source.built_in.c_str();
    het_program* program = nullptr;
    Check(het_program_build(get(), &c, &program));
    return Program(program);
  }

  uint64_t BeginWork(uint64_t estimate_ns) const {
    uint64_t ticket = 0;
    Check(het_work_begin(get(), estimate_ns, &ticket));
    return ticket;
  }
  void EndWork(uint64_t ticket, het_fence fence = {nullptr, 0}) const {
    Check(het_work_end(get(), ticket, fence.timeline, fence.value));
  }

  // Empty when there is none stored of that count.
  std::vector<double> LoadCalibration(const std::string& key, size_t count) const {
    std::vector<double> values(count);
    int found = 0;
    Check(het_calibration_load(get(), key.c_str(), values.data(), count, &found));
    if (!found) values.clear();
    return values;
  }
  void StoreCalibration(const std::string& key, std::span<const double> values) const {
    Check(het_calibration_store(get(), key.c_str(), values.data(), values.size()));
  }
};

// Milliseconds for `bytes` from one lease's device to the other's, as a pipeline does it.
inline double MeasureLink(const Lease& from, const Lease& to, uint64_t bytes) {
  double ms = 0;
  Check(het_link_measure(from.get(), to.get(), bytes, &ms));
  return ms;
}

// ---- session ----

struct SliceRequest {
  std::string device;
  uint32_t share = 10000;  // 1/10000
  uint64_t memory_bytes = 0;
  het_policy policy = HET_GUARANTEED;
  het_priority priority = HET_PRIORITY_NORMAL;
  std::string name = {};  // of a slice the operator cut: then only isolation_at_least counts
  het_isolation isolation_at_least = HET_ISOLATION_ANY;
};

struct SessionOptions {
  uint32_t flags = 0;
  std::string socket = {};                  // empty: the default places
  std::string simulate = {};                // empty: none
  std::string tenant = {};                  // empty: the user
  std::optional<std::string> isolate = {};  // backends in worker processes; none: $HET_ISOLATE
};

class Session : public Handle<het_session, het_session_close> {
 public:
  using Handle::Handle;
  static Session Open(const SessionOptions& options = {}) {
    auto c = Init<het_session_options>();
    c.flags = options.flags;
    c.socket = options.socket.empty() ? nullptr : options.socket.c_str();
    c.simulate = options.simulate.empty() ? nullptr : options.simulate.c_str();
    c.tenant = options.tenant.empty() ? nullptr : options.tenant.c_str();
    c.isolate = options.isolate.has_value() ? options.isolate->c_str() : nullptr;
    het_session* session = nullptr;
    Check(het_session_open(&c, &session));
    return Session(session);
  }
  bool embedded() const { return het_session_is_embedded(get()) != 0; }
  void Refresh() const { Check(het_session_refresh(get())); }
  std::vector<het_device_info> Devices() const {
    std::vector<het_device_info> devices(het_session_device_count(get()), Init<het_device_info>());
    for (size_t i = 0; i < devices.size(); ++i) Check(het_session_device(get(), i, &devices[i]));
    return devices;
  }
  // All or none.
  std::vector<Lease> Acquire(std::span<const SliceRequest> requests) const {
    std::vector<het_slice_request> c(requests.size(), Init<het_slice_request>());
    for (size_t i = 0; i < requests.size(); ++i) {
      c[i].device = requests[i].device.c_str();
      c[i].name = requests[i].name.empty() ? nullptr : requests[i].name.c_str();
      c[i].priority = requests[i].priority;
      c[i].isolation_at_least = requests[i].isolation_at_least;
      c[i].share = requests[i].share;
      c[i].policy = requests[i].policy;
      c[i].memory_bytes = requests[i].memory_bytes;
    }
    std::vector<het_lease*> handles(requests.size());
    std::vector<Lease> leases;
    leases.reserve(requests.size());
    Check(het_acquire(get(), c.data(), c.size(), handles.data()));
    for (het_lease* handle : handles) leases.emplace_back(handle);
    return leases;
  }
  Lease Acquire(const SliceRequest& request) const {
    return std::move(Acquire(std::span<const SliceRequest>(&request, 1)).front());
  }
};

// ---- planning ----

struct PlanProblem {
  std::span<const uint64_t> layer_bytes;
  std::span<const uint64_t> slice_memory_bytes;
  std::span<const double> layer_ms;      // [slice][layer]
  std::span<const double> link_ms = {};  // [from][to]; empty: free
  het_objective objective = HET_THROUGHPUT;
};

class Plan : public Handle<het_plan, het_plan_free> {
 public:
  using Handle::Handle;
  static Plan Make(const PlanProblem& problem) {
    const size_t slices = problem.slice_memory_bytes.size();
    if (problem.layer_ms.size() != slices * problem.layer_bytes.size() ||
        (!problem.link_ms.empty() && problem.link_ms.size() != slices * slices)) {
      throw Error(HET_INVALID_ARGUMENT,
                  "layer_ms must be [slice][layer] and link_ms [slice][slice]");
    }
    auto c = Init<het_plan_problem>();
    c.layer_count = problem.layer_bytes.size();
    c.layer_bytes = problem.layer_bytes.data();
    c.slice_count = slices;
    c.slice_memory_bytes = problem.slice_memory_bytes.data();
    c.layer_ms = problem.layer_ms.data();
    c.link_ms = problem.link_ms.empty() ? nullptr : problem.link_ms.data();
    c.objective = problem.objective;
    het_plan* plan = nullptr;
    Check(het_plan_make(&c, &plan));
    return Plan(plan);
  }
  const het_plan* operator->() const { return get(); }
  std::span<const het_plan_stage> stages() const { return {get()->stages, get()->stage_count}; }
};

// ---- pipelines ----

// Enqueues one item's work of one stage on call.queue and returns; see het_stage_fn.
using StageFunction = std::function<void(het_stage_call& call)>;

struct Stage {
  std::string name;
  const Lease* lease = nullptr;
  StageFunction run;
  uint64_t output_capacity = 0;
};

// `error` is null on success and valid during the call. Called on a completing thread: be short, do
// not throw.
using ItemDone = std::function<void(uint64_t item, const Error* error, uint64_t output_bytes)>;

struct Item {
  void* data = nullptr;
  const void* input = nullptr;
  uint64_t input_bytes = 0;
  void* output = nullptr;
  uint64_t output_capacity = 0;
  ItemDone done = {};  // may be empty
};

class Pipeline {
 public:
  Pipeline() = default;
  Pipeline(const Session& session, std::vector<Stage> stages, uint64_t input_capacity,
           uint32_t in_flight = 0) {
    std::vector<het_stage> c(stages.size(), Init<het_stage>());
    for (size_t i = 0; i < stages.size(); ++i) {
      functions_.push_back(std::make_unique<StageFunction>(std::move(stages[i].run)));
      c[i].name = stages[i].name.c_str();
      c[i].lease = stages[i].lease == nullptr ? nullptr : stages[i].lease->get();
      c[i].run = &RunStage;
      c[i].user = functions_.back().get();
      c[i].output_capacity = stages[i].output_capacity;
    }
    auto options = Init<het_pipeline_options>();
    options.stages = c.data();
    options.stage_count = c.size();
    options.input_capacity = input_capacity;
    options.in_flight = in_flight;
    het_pipeline* pipeline = nullptr;
    Check(het_pipeline_create(session.get(), &options, &pipeline));
    handle_ = Handle<het_pipeline, het_pipeline_release>(pipeline);
  }

  Pipeline(Pipeline&&) = default;
  Pipeline& operator=(Pipeline&& other) noexcept {
    handle_ = std::move(other.handle_);  // the old pipeline goes before the functions that it calls
    functions_ = std::move(other.functions_);
    return *this;
  }

  void Submit(Item item) const {
    auto c = Init<het_item>();
    c.data = item.data;
    c.input = item.input;
    c.input_bytes = item.input_bytes;
    c.output = item.output;
    c.output_capacity = item.output_capacity;
    std::unique_ptr<ItemDone> done;
    if (item.done) {
      done = std::make_unique<ItemDone>(std::move(item.done));
      c.done = &FinishItem;
      c.user = done.get();
    }
    Check(het_pipeline_submit(get(), &c));
    (void)done.release();  // FinishItem owns it now
  }
  void Drain(uint64_t timeout_ns = UINT64_MAX) const {
    Check(het_pipeline_drain(get(), timeout_ns));
  }
  het_stage_stats Stats(size_t stage) const {
    auto stats = Init<het_stage_stats>();
    Check(het_pipeline_get_stage_stats(get(), stage, &stats));
    return stats;
  }
  void ResetStats() const { het_pipeline_reset_stats(get()); }
  int failed_stage() const { return het_pipeline_failed_stage(get()); }
  het_pipeline* get() const noexcept { return handle_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

 private:
  static het_status RunStage(void* user, het_stage_call* call) noexcept {
    try {
      (*static_cast<StageFunction*>(user))(*call);
      return nullptr;
    } catch (...) {
      return StatusOfCurrentException();
    }
  }
  static void FinishItem(void* user, uint64_t item, het_status status,
                         uint64_t output_bytes) noexcept {
    const std::unique_ptr<ItemDone> done(static_cast<ItemDone*>(user));
    if (status == nullptr) {
      (*done)(item, nullptr, output_bytes);
    } else {
      const Error error(het_status_code(status), het_status_message(status));
      (*done)(item, &error, output_bytes);
    }
  }

  std::vector<std::unique_ptr<StageFunction>>
      functions_;  // outlive the pipeline: declared before it
  Handle<het_pipeline, het_pipeline_release> handle_;
};

}  // namespace het::api

#endif  // HET_HET_HPP_
