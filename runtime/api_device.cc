// The C ABI: memory, timelines, programs, queues. See include/het/het.h.
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "runtime/api_util.h"
#include "runtime/lease.h"

namespace het::runtime {
namespace {

absl::Duration FromNanos(uint64_t nanos) {
  return nanos > static_cast<uint64_t>(INT64_MAX) ? absl::InfiniteDuration()
                                                  : absl::Nanoseconds(static_cast<int64_t>(nanos));
}

// The caller's fences as a Sync; owns what the Sync borrows.
class SyncIn {
 public:
  absl::Status Read(const het_sync* sync) {
    if (sync == nullptr) return absl::OkStatus();
    HET_ASSIGN_OR_RETURN(const het_sync in, CopyIn(sync));
    if (in.waits == nullptr && in.wait_count > 0) {
      return absl::InvalidArgumentError("sync.waits is NULL");
    }
    for (size_t i = 0; i < in.wait_count; ++i) {
      HET_ASSIGN_OR_RETURN(const TimelineHandle* timeline,
                           FromC<TimelineHandle>(in.waits[i].timeline));
      waits_.push_back({timeline->ref(), in.waits[i].value});
    }
    if (in.signal.timeline != nullptr) {
      HET_ASSIGN_OR_RETURN(const TimelineHandle* timeline,
                           FromC<TimelineHandle>(in.signal.timeline));
      signal_ = {timeline->ref(), in.signal.value};
    }
    return absl::OkStatus();
  }
  Sync sync() const { return {waits_, signal_}; }

 private:
  absl::InlinedVector<Fence, 4> waits_;
  Fence signal_;
};

absl::Status Finish(QueueHandle& queue) {
  HET_ASSIGN_OR_RETURN(const Ref<Timeline> timeline, queue->device().CreateTimeline());
  HET_RETURN_IF_ERROR(queue->Barrier({{}, {timeline, 1}}));
  HET_RETURN_IF_ERROR(queue->Flush());
  return timeline->Wait(1);
}

}  // namespace
}  // namespace het::runtime

using namespace het;           // NOLINT: this file is the border, not a header
using namespace het::runtime;  // NOLINT

extern "C" {

// ---- memory ----

het_status het_buffer_create(het_lease* lease, uint64_t bytes, het_memory_kind kind,
                             het_buffer** buffer) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (buffer == nullptr) return NullOutput("buffer");
    if (kind != HET_MEMORY_DEVICE && kind != HET_MEMORY_STAGING) {
      return absl::InvalidArgumentError(absl::StrCat("memory kind ", kind));
    }
    HET_ASSIGN_OR_RETURN(Ref<BufferHandle> made,
                         handle->Allocate(bytes, kind == HET_MEMORY_STAGING ? MemoryKind::kStaging
                                                                            : MemoryKind::kDevice));
    *buffer = ToC<het_buffer>(std::move(made));
    return absl::OkStatus();
  });
}

het_status het_buffer_wrap(het_lease* lease, void* address, uint64_t bytes, int writable,
                           het_buffer** buffer) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (buffer == nullptr) return NullOutput("buffer");
    HET_ASSIGN_OR_RETURN(Ref<BufferHandle> made, handle->WrapHost(address, bytes, writable != 0));
    *buffer = ToC<het_buffer>(std::move(made));
    return absl::OkStatus();
  });
}

void het_buffer_release(het_buffer* buffer) { ReleaseC<BufferHandle>(buffer); }

uint64_t het_buffer_bytes(const het_buffer* buffer) {
  const auto handle = FromC<BufferHandle>(buffer);
  return handle.ok() ? (**handle)->bytes() : 0;
}

void* het_buffer_host(const het_buffer* buffer) {
  const auto handle = FromC<BufferHandle>(buffer);
  return handle.ok() ? (**handle)->host() : nullptr;
}

void* het_buffer_native(const het_buffer* buffer) {
  const auto handle = FromC<BufferHandle>(buffer);
  return handle.ok() ? (**handle)->native_handle() : nullptr;
}

// ---- timelines ----

het_status het_timeline_create(het_lease* lease, uint64_t initial, het_timeline** timeline) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (timeline == nullptr) return NullOutput("timeline");
    HET_ASSIGN_OR_RETURN(Device * device, handle->device());
    HET_ASSIGN_OR_RETURN(Ref<Timeline> made, device->CreateTimeline(initial));
    *timeline =
        ToC<het_timeline>(MakeRef<TimelineHandle>(Ref<LeaseHandle>(handle), std::move(made)));
    return absl::OkStatus();
  });
}

void het_timeline_release(het_timeline* timeline) { ReleaseC<TimelineHandle>(timeline); }

het_status het_timeline_query(het_timeline* timeline, uint64_t* value) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const TimelineHandle* handle, FromC<TimelineHandle>(timeline));
    if (value == nullptr) return NullOutput("value");
    HET_RETURN_IF_ERROR(handle->ref()->status());
    *value = handle->ref()->value();
    return absl::OkStatus();
  });
}

het_status het_timeline_signal(het_timeline* timeline, uint64_t value) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const TimelineHandle* handle, FromC<TimelineHandle>(timeline));
    handle->ref()->Signal(value);
    return absl::OkStatus();
  });
}

het_status het_timeline_wait(het_timeline* timeline, uint64_t value, uint64_t timeout_ns) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const TimelineHandle* handle, FromC<TimelineHandle>(timeline));
    return handle->ref()->Wait(value, FromNanos(timeout_ns));
  });
}

het_status het_timeline_on_reach(het_timeline* timeline, uint64_t value, het_timeline_fn fn,
                                 void* user) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const TimelineHandle* handle, FromC<TimelineHandle>(timeline));
    if (fn == nullptr) return absl::InvalidArgumentError("fn is NULL");
    handle->ref()->OnReach(value, [fn, user](const absl::Status& status) {
      const het_status borrowed = ToCStatus(status);
      fn(user, borrowed);
      het_status_free(borrowed);
    });
    return absl::OkStatus();
  });
}

het_status het_timeline_eventfd(het_timeline* timeline, uint64_t value, int* fd) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const TimelineHandle* handle, FromC<TimelineHandle>(timeline));
    if (fd == nullptr) return NullOutput("fd");
    HET_ASSIGN_OR_RETURN(*fd, handle->ref()->EventFd(value));
    return absl::OkStatus();
  });
}

// ---- programs ----

het_status het_program_build(het_lease* lease, const het_program_source* source,
                             het_program** program) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    HET_ASSIGN_OR_RETURN(const het_program_source in, CopyIn(source));
    if (program == nullptr) return NullOutput("program");
    if (in.native == nullptr && in.native_count > 0) {
      return absl::InvalidArgumentError("source.native is NULL");
    }
    ProgramSource form;
    form.name = Text(in.name);
    form.portable = Text(in.portable);
    form.options = Text(in.options);
    for (size_t i = 0; i < in.native_count; ++i) {
      if (in.native[i].name == nullptr || in.native[i].function == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("source.native[", i, "] has no name or no function"));
      }
      form.native.push_back({in.native[i].name, in.native[i].function});
    }
    if (in.graph == nullptr && in.graph_bytes > 0) {
      return absl::InvalidArgumentError("source.graph is NULL");
    }
    form.graph.assign(static_cast<const char*>(in.graph), in.graph_bytes);
    form.built_in = absl::StrSplit(Text(in.built_in), ';', absl::SkipWhitespace());
    HET_ASSIGN_OR_RETURN(Device * device, handle->device());
    HET_ASSIGN_OR_RETURN(Ref<Program> built, device->Build(form));
    *program = ToC<het_program>(MakeRef<ProgramHandle>(Ref<LeaseHandle>(handle), std::move(built)));
    return absl::OkStatus();
  });
}

void het_program_release(het_program* program) { ReleaseC<ProgramHandle>(program); }

het_status het_program_kernel(het_program* program, const char* name, het_kernel** kernel) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const ProgramHandle* handle, FromC<ProgramHandle>(program));
    if (kernel == nullptr) return NullOutput("kernel");
    HET_ASSIGN_OR_RETURN(const Kernel* found, (*handle)->GetKernel(Text(name)));
    *kernel = reinterpret_cast<het_kernel*>(const_cast<Kernel*>(found));
    return absl::OkStatus();
  });
}

het_kernel_form het_kernel_get_form(const het_kernel* kernel) {
  if (kernel == nullptr) return HET_FORM_NATIVE;
  static_assert(int{HET_FORM_PORTABLE} == static_cast<int>(KernelForm::kPortable) &&
                int{HET_FORM_GRAPH} == static_cast<int>(KernelForm::kGraph) &&
                int{HET_FORM_BUILT_IN} == static_cast<int>(KernelForm::kBuiltIn));
  return static_cast<het_kernel_form>(reinterpret_cast<const Kernel*>(kernel)->form());
}

// ---- queues ----

het_status het_queue_create(het_lease* lease, het_queue_kind kind, het_queue** queue) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (queue == nullptr) return NullOutput("queue");
    if (kind != HET_QUEUE_COMPUTE && kind != HET_QUEUE_TRANSFER) {
      return absl::InvalidArgumentError(absl::StrCat("queue kind ", kind));
    }
    HET_ASSIGN_OR_RETURN(Ref<QueueHandle> made,
                         handle->CreateQueue(kind == HET_QUEUE_TRANSFER ? QueueKind::kTransfer
                                                                        : QueueKind::kCompute));
    *queue = ToC<het_queue>(std::move(made));
    return absl::OkStatus();
  });
}

het_status het_queue_wrap(het_lease* lease, void* native, het_queue** queue) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (queue == nullptr) return NullOutput("queue");
    HET_ASSIGN_OR_RETURN(Device * device, handle->device());
    HET_ASSIGN_OR_RETURN(std::unique_ptr<Queue> wrapped, device->WrapNativeQueue(native));
    *queue = ToC<het_queue>(MakeRef<QueueHandle>(Ref<LeaseHandle>(handle), std::move(wrapped)));
    return absl::OkStatus();
  });
}

void het_queue_release(het_queue* queue) { ReleaseC<QueueHandle>(queue); }

void* het_queue_native(const het_queue* queue) {
  const auto handle = FromC<QueueHandle>(queue);
  return handle.ok() ? (**handle)->native_handle() : nullptr;
}

uint64_t het_queue_busy_ns(const het_queue* queue) {
  const auto handle = FromC<QueueHandle>(queue);
  return handle.ok() ? static_cast<uint64_t>((**handle)->busy_nanos()) : 0;
}

het_status het_queue_write(het_queue* queue, const void* host, het_buffer* to, uint64_t offset,
                           uint64_t bytes, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const BufferHandle* target, FromC<BufferHandle>(to));
    SyncIn in;
    HET_RETURN_IF_ERROR(in.Read(sync));
    return (*handle)->Write(host, **target, offset, bytes, in.sync());
  });
}

het_status het_queue_read(het_queue* queue, het_buffer* from, uint64_t offset, void* host,
                          uint64_t bytes, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const BufferHandle* source, FromC<BufferHandle>(from));
    SyncIn in;
    HET_RETURN_IF_ERROR(in.Read(sync));
    return (*handle)->Read(**source, offset, host, bytes, in.sync());
  });
}

het_status het_queue_copy(het_queue* queue, het_buffer* from, uint64_t from_offset, het_buffer* to,
                          uint64_t to_offset, uint64_t bytes, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const BufferHandle* source, FromC<BufferHandle>(from));
    HET_ASSIGN_OR_RETURN(const BufferHandle* target, FromC<BufferHandle>(to));
    SyncIn in;
    HET_RETURN_IF_ERROR(in.Read(sync));
    return (*handle)->Copy(**source, from_offset, **target, to_offset, bytes, in.sync());
  });
}

het_status het_queue_fill(het_queue* queue, het_buffer* to, uint64_t offset, uint64_t bytes,
                          uint8_t value, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const BufferHandle* target, FromC<BufferHandle>(to));
    SyncIn in;
    HET_RETURN_IF_ERROR(in.Read(sync));
    return (*handle)->Fill(**target, offset, bytes, value, in.sync());
  });
}

het_status het_queue_launch(het_queue* queue, const het_launch* launch, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const het_launch in, CopyIn(launch));
    if (in.buffers == nullptr && in.buffer_count > 0) {
      return absl::InvalidArgumentError("launch.buffers is NULL");
    }
    if (in.params == nullptr && in.params_bytes > 0) {
      return absl::InvalidArgumentError("launch.params is NULL");
    }
    Launch out;
    out.kernel = reinterpret_cast<const Kernel*>(in.kernel);
    for (int axis = 0; axis < 3; ++axis) {
      out.groups[axis] = in.groups[axis];
      out.group_size[axis] = in.group_size[axis];
    }
    absl::InlinedVector<BufferArg, 16> buffers;
    for (size_t i = 0; i < in.buffer_count; ++i) {
      const auto buffer = FromC<BufferHandle>(in.buffers[i].buffer);
      if (!buffer.ok()) {
        return Annotate(buffer.status(), absl::StrCat("launch.buffers[", i, "]"));
      }
      buffers.push_back({&***buffer, in.buffers[i].offset});
    }
    out.buffers = buffers;
    out.params = {static_cast<const std::byte*>(in.params), in.params_bytes};
    out.work = {in.flops, in.bytes, in.batch};
    SyncIn fences;
    HET_RETURN_IF_ERROR(fences.Read(sync));
    return (*handle)->Submit(out, fences.sync());
  });
}

het_status het_queue_multiply(het_queue* queue, const het_matrix_product* product,
                              const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const het_matrix_product in, CopyIn(product));
    if (in.type < HET_MATRIX_F32 || in.type > HET_MATRIX_BF16) {
      return absl::InvalidArgumentError(absl::StrCat("product.type is ", in.type));
    }
    MatrixProduct out{.type = static_cast<MatrixType>(in.type),
                      .rows = in.rows,
                      .n_in = in.n_in,
                      .n_out = in.n_out,
                      .accumulate = in.accumulate != 0,
                      .y_stride = in.y_stride,
                      .w = {},
                      .x = {},
                      .y = {}};
    const struct {
      const het_buffer_arg& from;
      BufferArg& to;
      const char* name;
    } operands[] = {{in.w, out.w, "w"}, {in.x, out.x, "x"}, {in.y, out.y, "y"}};
    for (const auto& [from, to, name] : operands) {
      const auto buffer = FromC<BufferHandle>(from.buffer);
      if (!buffer.ok()) return Annotate(buffer.status(), absl::StrCat("product.", name));
      to = {&***buffer, from.offset};
    }
    SyncIn fences;
    HET_RETURN_IF_ERROR(fences.Read(sync));
    return (*handle)->Multiply(out, fences.sync());
  });
}

het_status het_queue_begin_recording(het_queue* queue) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    return (*handle)->BeginRecording();
  });
}

het_status het_queue_end_recording(het_queue* queue, het_recording** recording) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    if (recording == nullptr) return NullOutput("recording");
    HET_ASSIGN_OR_RETURN(Ref<Recording> made, (*handle)->EndRecording());
    *recording = ToC<het_recording>(
        MakeRef<RecordingHandle>(Ref<LeaseHandle>(&handle->lease()), std::move(made)));
    return absl::OkStatus();
  });
}

void het_recording_release(het_recording* recording) { ReleaseC<RecordingHandle>(recording); }

het_status het_queue_replay(het_queue* queue, het_recording* recording, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    HET_ASSIGN_OR_RETURN(const RecordingHandle* recorded, FromC<RecordingHandle>(recording));
    SyncIn in;
    HET_RETURN_IF_ERROR(in.Read(sync));
    return (*handle)->Replay(**recorded, in.sync());
  });
}

het_status het_queue_barrier(het_queue* queue, const het_sync* sync) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    SyncIn in;
    HET_RETURN_IF_ERROR(in.Read(sync));
    return (*handle)->Barrier(in.sync());
  });
}

het_status het_queue_flush(het_queue* queue) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const QueueHandle* handle, FromC<QueueHandle>(queue));
    return (*handle)->Flush();
  });
}

het_status het_queue_finish(het_queue* queue) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(QueueHandle * handle, FromC<QueueHandle>(queue));
    return Finish(*handle);
  });
}

}  // extern "C"
