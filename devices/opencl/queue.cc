#include "devices/opencl/queue.h"

#include <array>
#include <cstring>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "devices/opencl/errors.h"
#include "devices/opencl/timeline.h"

namespace het::opencl {
namespace {

constexpr size_t kWidestPattern = 16;  // bytes; OpenCL allows 128, beyond 16 nothing is gained
constexpr size_t kMostKept = 4096;     // then a stretch without a signal is cut
constexpr size_t kLookBack = 8;        // of the kept list, to keep it short

cl_mem Memory(Buffer& buffer) { return static_cast<ClBuffer&>(buffer).memory(); }
bool IsPinned(Buffer& buffer) {
  return static_cast<ClBuffer&>(buffer).storage() == Storage::kPinned;
}
uint8_t* PinnedAddress(Buffer& buffer, uint64_t offset) {
  return static_cast<uint8_t*>(buffer.host()) + offset;
}

absl::Status PinnedIsForCopies(absl::string_view what) {
  return absl::UnimplementedError(
      absl::StrCat(what, " of staging memory: use Copy, or its host() address"));
}

}  // namespace

// An operation of the backlog.
struct ClQueue::Deferred : RefCounted {
  explicit Deferred(ClQueue* queue) : queue(queue) {}

  absl::InlinedVector<Fence, 2> waits;
  Fence signal;
  absl::InlinedVector<Ref<RefCounted>, 2> uses;
  absl::AnyInvocable<absl::Status(const Sync&, IssuedList&)> issue;  // with the queue's lock

  // Guarded by the queue's lock.
  size_t open_waits = 0;
  absl::Status failure;

  absl::Mutex link_mutex;                      // taken before the queue's lock
  ClQueue* queue ABSL_GUARDED_BY(link_mutex);  // null: dropped, the queue may be gone
};

ClQueue::ClQueue(ClDevice& device, QueueKind kind, cl_command_queue queue, bool profiles)
    : Queue(device, kind),
      device_(device),
      api_(device.api()),
      queue_(queue),
      profiles_(profiles),
      completions_(MakeRef<Completions>(device.api(), profiles)) {}

ClQueue::~ClQueue() {
  IssuedList issued;
  {
    const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return backlog_.empty() && pumps_ == 0;
    };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&idle));
    (void)CloseStretch(issued);
  }
  (void)After(issued);
  api_.clFinish(queue_);
  completions_->WaitUntilEmpty();
  completions_->ReleaseOrphans();
  for (auto& [serial, own] : kernels_) api_.clReleaseKernel(own->kernel);
  api_.clReleaseCommandQueue(queue_);
}

bool ClQueue::MustDefer(const Sync& sync) {
  if (!refusal_.ok() || completions_->is_broken()) return false;
  if (!backlog_.empty()) return true;
  for (const Fence& fence : sync.waits) {
    if (fence.timeline->value() >= fence.value || fence.timeline->failed()) continue;
    auto* timeline = dynamic_cast<ClTimeline*>(fence.timeline.get());
    const cl_event event =
        timeline != nullptr ? timeline->EventFor(fence.value, device_.context()) : nullptr;
    if (event == nullptr && fence.timeline->value() < fence.value) return true;
    if (event != nullptr) api_.clReleaseEvent(event);
  }
  return false;
}

Ref<ClQueue::Deferred> ClQueue::Defer(const Sync& sync) {
  Ref<Deferred> deferred = MakeRef<Deferred>(this);
  deferred->waits.assign(sync.waits.begin(), sync.waits.end());
  deferred->signal = sync.signal;
  deferred->open_waits = sync.waits.size() + 1;  // one for WatchWaits itself
  backlog_.push_back(deferred);
  return deferred;
}

void ClQueue::WatchWaits(const Ref<Deferred>& deferred) {
  const auto ended = [deferred](const absl::Status& status) {
    ClQueue* queue = nullptr;
    {
      absl::MutexLock link(&deferred->link_mutex);
      queue = deferred->queue;
      if (queue == nullptr) return;
      absl::MutexLock lock(&queue->mutex_);
      ++queue->pumps_;  // keeps the queue alive until WaitEnded is done
    }
    queue->WaitEnded(*deferred, status);
  };
  for (const Fence& fence : deferred->waits) fence.timeline->OnReach(fence.value, ended);
  ended(absl::OkStatus());
}

void ClQueue::WaitEnded(Deferred& deferred, const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    --deferred.open_waits;
    if (deferred.failure.ok()) deferred.failure = status;
  }
  Pump();
  absl::MutexLock lock(&mutex_);
  --pumps_;
}

void ClQueue::Pump() {
  while (true) {
    IssuedList issued;
    std::vector<Ref<Deferred>> dropped;
    {
      absl::MutexLock lock(&mutex_);
      if (backlog_.empty()) return;
      const Ref<Deferred> front = backlog_.front();
      if (refusal_.ok() && completions_->is_broken()) refusal_ = completions_->broken();
      if (refusal_.ok() && !front->failure.ok()) {
        (void)CloseStretch(issued);
        refusal_ = front->failure;
      }
      if (refusal_.ok()) {
        if (front->open_waits > 0) return;
        backlog_.pop_front();
        const absl::Status status = front->issue({front->waits, front->signal}, issued);
        if (!status.ok()) {
          refusal_ = status;
          Refuse(front->signal, issued);
        }
      } else {
        dropped.assign(backlog_.begin(), backlog_.end());
        backlog_.clear();
        for (const Ref<Deferred>& one : dropped) Refuse(one->signal, issued);
      }
    }
    for (const Ref<Deferred>& one : dropped) {
      absl::MutexLock link(&one->link_mutex);
      one->queue = nullptr;
    }
    (void)After(issued);
  }
}

void ClQueue::Keep(RefCounted& object) {
  std::vector<Ref<RefCounted>>& keep = stretch_->keep;
  const size_t begin = keep.size() > kLookBack ? keep.size() - kLookBack : 0;
  for (size_t i = begin; i < keep.size(); ++i) {
    if (keep[i].get() == &object) return;
  }
  keep.emplace_back(&object);
}

void ClQueue::Refuse(const Fence& signal, IssuedList& issued) {
  Ref<Record> record = MakeRef<Record>(api_);
  record->signal = signal;
  record->failure = refusal_;
  completions_->Push(record);
  issued.push_back({std::move(record), {}});
}

absl::Status ClQueue::Issue(const Sync& sync, absl::string_view what, bool work, Command command,
                            IssuedList& issued) {
  if (refusal_.ok() && completions_->is_broken()) refusal_ = completions_->broken();
  absl::InlinedVector<OpenWait, 2> waits;
  absl::InlinedVector<cl_event, 4> events;
  for (const Fence& fence : sync.waits) {
    if (!refusal_.ok()) break;
    auto* timeline = dynamic_cast<ClTimeline*>(fence.timeline.get());
    const cl_event event = timeline != nullptr && fence.timeline->value() < fence.value
                               ? timeline->EventFor(fence.value, device_.context())
                               : nullptr;
    if (event != nullptr) {
      waits.push_back({fence, event});
      events.push_back(event);
    } else if (fence.timeline->value() < fence.value) {
      refusal_ = fence.timeline->status();  // MustDefer left only those that failed
    }
  }
  const auto release_waits = [&] {
    for (const cl_event event : events) api_.clReleaseEvent(event);
  };
  if (!refusal_.ok()) {
    release_waits();
    const absl::Status closed = CloseStretch(issued);
    Refuse(sync.signal, issued);
    return closed;
  }
  if (!events.empty()) {
    if (absl::Status closed = CloseStretch(issued); !closed.ok()) {
      release_waits();
      return closed;
    }
  }
  const bool ends = sync.signal.timeline || !events.empty();
  const bool opened = !stretch_;
  if (opened) {
    stretch_ = MakeRef<Record>(api_);
    stretch_->begin_nanos = Clock::Real().MonotonicNanos();
  }
  const bool starts = profiles_ && work && stretch_->first == nullptr;
  cl_event event = nullptr;
  const cl_int error =
      command(static_cast<cl_uint>(events.size()), events.empty() ? nullptr : events.data(),
              ends || starts ? &event : nullptr);
  if (error != CL_SUCCESS) {
    release_waits();
    if (opened) stretch_ = nullptr;
    return ErrorStatus(error, absl::StrCat(what, " on ", device_.info().name));
  }
  stretch_->has_work |= work;
  if (starts) {
    stretch_->first = event;
    if (ends) api_.clRetainEvent(event);
  }
  if (!ends) return stretch_->keep.size() > kMostKept ? CloseStretch(issued) : absl::OkStatus();

  Ref<Record> record = std::move(stretch_);
  record->last = event;
  record->signal = sync.signal;
  record->open_waits = static_cast<int>(waits.size());
  if (auto* timeline = dynamic_cast<ClTimeline*>(sync.signal.timeline.get())) {
    timeline->Remember(sync.signal.value, device_.context(), event);
  }
  completions_->Push(record);
  issued.push_back({std::move(record), std::move(waits)});
  return absl::OkStatus();
}

absl::Status ClQueue::CloseStretch(IssuedList& issued) {
  if (!stretch_) return absl::OkStatus();
  cl_event marker = nullptr;
  HET_CL_RETURN_IF_ERROR(api_.clEnqueueMarkerWithWaitList(queue_, 0, nullptr, &marker),
                         "clEnqueueMarkerWithWaitList");
  Ref<Record> record = std::move(stretch_);
  record->last = marker;
  completions_->Push(record);
  issued.push_back({std::move(record), {}});
  return absl::OkStatus();
}

absl::Status ClQueue::After(IssuedList& issued) {
  if (issued.empty()) return absl::OkStatus();
  for (Issued& one : issued) {
    completions_->Watch(one.record);
    for (OpenWait& wait : one.waits) {
      api_.clReleaseEvent(wait.event);
      wait.fence.timeline->OnReach(wait.fence.value, [record = one.record](const absl::Status& s) {
        record->owner->WaitEnded(*record, s);
      });
    }
  }
  HET_CL_RETURN_IF_ERROR(api_.clFlush(queue_), "clFlush");
  return absl::OkStatus();
}

template <typename Callable>
absl::Status ClQueue::Enqueue(const Sync& sync, absl::string_view what, bool work,
                              const Buffers& uses, Callable command) {
  const auto issue = [this, what, work, uses, command](const Sync& with, IssuedList& issued) {
    mutex_.AssertHeld();
    return Issue(
        with, what, work,
        [&](cl_uint count, const cl_event* waits, cl_event* event) {
          mutex_.AssertHeld();
          for (Buffer* buffer : uses) Keep(*buffer);
          return command(count, waits, event);
        },
        issued);
  };
  IssuedList issued;
  Ref<Deferred> deferred;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (MustDefer(sync)) {
      deferred = Defer(sync);
      for (Buffer* buffer : uses) deferred->uses.emplace_back(buffer);
      deferred->issue = issue;
    } else {
      status = issue(sync, issued);
    }
  }
  if (deferred) WatchWaits(deferred);
  const absl::Status after = After(issued);
  return status.ok() ? after : status;
}

absl::Status ClQueue::EnqueueBarrier(const Sync& sync) {
  if (sync.waits.empty() && !sync.signal.timeline) return absl::OkStatus();
  return Enqueue(sync, "barrier", false, {},
                 [this](cl_uint count, const cl_event* waits, cl_event* event) {
                   return api_.clEnqueueBarrierWithWaitList(queue_, count, waits, event);
                 });
}

absl::Status ClQueue::DoBarrier(const Sync& sync) { return EnqueueBarrier(sync); }

absl::Status ClQueue::DoFlush() {
  IssuedList issued;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    status = CloseStretch(issued);
  }
  const absl::Status after = After(issued);
  return status.ok() ? after : status;
}

absl::Status ClQueue::DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                              const Sync& sync) {
  if (bytes == 0) return EnqueueBarrier(sync);
  if (IsPinned(to)) return PinnedIsForCopies("write");
  const cl_mem memory = Memory(to);
  return Enqueue(sync, "write", true, {&to},
                 [=, this](cl_uint count, const cl_event* waits, cl_event* event) {
                   return api_.clEnqueueWriteBuffer(queue_, memory, CL_FALSE, offset, bytes, host,
                                                    count, waits, event);
                 });
}

absl::Status ClQueue::DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                             const Sync& sync) {
  if (bytes == 0) return EnqueueBarrier(sync);
  if (IsPinned(from)) return PinnedIsForCopies("read");
  const cl_mem memory = Memory(from);
  return Enqueue(sync, "read", true, {&from},
                 [=, this](cl_uint count, const cl_event* waits, cl_event* event) {
                   return api_.clEnqueueReadBuffer(queue_, memory, CL_FALSE, offset, bytes, host,
                                                   count, waits, event);
                 });
}

absl::Status ClQueue::DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                             uint64_t bytes, const Sync& sync) {
  if (bytes == 0) return EnqueueBarrier(sync);
  if (IsPinned(from) && IsPinned(to)) return PinnedIsForCopies("copy between two pieces");
  const cl_mem source = Memory(from), target = Memory(to);
  const void* pinned_source = IsPinned(from) ? PinnedAddress(from, from_offset) : nullptr;
  void* pinned_target = IsPinned(to) ? PinnedAddress(to, to_offset) : nullptr;
  return Enqueue(sync, "copy", true, {&from, &to},
                 [=, this](cl_uint count, const cl_event* waits, cl_event* event) {
                   if (pinned_source != nullptr) {
                     return api_.clEnqueueWriteBuffer(queue_, target, CL_FALSE, to_offset, bytes,
                                                      pinned_source, count, waits, event);
                   }
                   if (pinned_target != nullptr) {
                     return api_.clEnqueueReadBuffer(queue_, source, CL_FALSE, from_offset, bytes,
                                                     pinned_target, count, waits, event);
                   }
                   return api_.clEnqueueCopyBuffer(queue_, source, target, from_offset, to_offset,
                                                   bytes, count, waits, event);
                 });
}

absl::Status ClQueue::DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                             const Sync& sync) {
  if (bytes == 0) return EnqueueBarrier(sync);
  if (IsPinned(to)) return PinnedIsForCopies("fill");
  // OpenCL wants the offset and the size to be multiples of the pattern; a wide one is faster.
  size_t width = kWidestPattern;
  while (offset % width != 0 || bytes % width != 0) width /= 2;
  std::array<uint8_t, kWidestPattern> pattern;
  pattern.fill(value);
  const cl_mem memory = Memory(to);
  return Enqueue(sync, "fill", true, {&to},
                 [=, this](cl_uint count, const cl_event* waits, cl_event* event) {
                   return api_.clEnqueueFillBuffer(queue_, memory, pattern.data(), width, offset,
                                                   bytes, count, waits, event);
                 });
}

absl::Status ClQueue::CheckLaunch(const Launch& launch, const ClKernel& kernel) const {
  if (&kernel.program().device() != &device_) {
    return absl::InvalidArgumentError(absl::StrCat("launch of ", kernel.name(),
                                                   ": the kernel was built for another device, ",
                                                   kernel.program().device().info().name));
  }
  const bool built_in = kernel.form() == KernelForm::kBuiltIn;
  const size_t given = (built_in ? 1 : 2) * launch.buffers.size() + (launch.params.empty() ? 0 : 1);
  if (given != kernel.arguments()) {
    return absl::InvalidArgumentError(
        absl::StrCat("launch of ", kernel.name(), ": ", launch.buffers.size(), " buffers and ",
                     launch.params.size(), " bytes of parameters are ", given,
                     " arguments; the kernel takes ", kernel.arguments(),
                     built_in ? " (one for each buffer, one for the parameters)"
                              : " (two for each buffer, one for the parameters)"));
  }
  for (size_t i = 0; built_in && i < launch.buffers.size(); ++i) {
    if (launch.buffers[i].offset == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("launch of ", kernel.name(), ": buffer ", i,
                                                   " is at offset ", launch.buffers[i].offset,
                                                   "; a built-in kernel takes whole buffers"));
  }
  const uint64_t group =
      uint64_t{launch.group_size[0]} * launch.group_size[1] * launch.group_size[2];
  // What this kernel takes at most, the driver says at the launch: CL_KERNEL_WORK_GROUP_SIZE is
  // wrong on rusticl 22.3 (32 for any kernel).
  const uint64_t largest = device_.found().max_group_size;
  if (group > largest) {
    return absl::InvalidArgumentError(absl::StrCat("launch of ", kernel.name(), ": groups of ",
                                                   group, " items; ", device_.info().name,
                                                   " takes at most ", largest));
  }
  for (const BufferArg& argument : launch.buffers) {
    if (IsPinned(*argument.buffer)) {
      return absl::InvalidArgumentError(
          absl::StrCat("launch of ", kernel.name(),
                       ": staging memory cannot be a kernel's argument on ", device_.info().name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ClQueue::OwnKernel*> ClQueue::Own(const ClKernel& kernel) {
  std::unique_ptr<OwnKernel>& own = kernels_[kernel.serial()];
  if (own == nullptr) {
    cl_int error = CL_SUCCESS;
    const cl_kernel made =
        api_.clCreateKernel(kernel.program().program(), kernel.driver_name().c_str(), &error);
    HET_CL_RETURN_IF_ERROR(error, absl::StrCat("kernel ", kernel.name()));
    own = std::make_unique<OwnKernel>();
    own->kernel = made;
    own->program = Ref<RefCounted>(const_cast<ClProgram*>(&kernel.program()));
  }
  return own.get();
}

absl::Status ClQueue::SetArguments(OwnKernel& own, const Launch& launch) {
  own.buffers.resize(launch.buffers.size());
  own.offsets.resize(launch.buffers.size(), UINT64_MAX);
  cl_int error = CL_SUCCESS;
  cl_uint index = 0;
  const bool built_in = launch.kernel->form() == KernelForm::kBuiltIn;
  for (size_t i = 0; i < launch.buffers.size() && error == CL_SUCCESS;
       ++i, index += built_in ? 1 : 2) {
    auto& buffer = static_cast<ClBuffer&>(*launch.buffers[i].buffer);
    const uint64_t offset = launch.buffers[i].offset;
    if (own.buffers[i] != buffer.serial()) {
      const cl_mem memory = buffer.memory();
      error = api_.clSetKernelArg(own.kernel, index, sizeof(memory), &memory);
      own.buffers[i] = buffer.serial();
    }
    if (!built_in && own.offsets[i] != offset && error == CL_SUCCESS) {
      const cl_ulong value = offset;
      error = api_.clSetKernelArg(own.kernel, index + 1, sizeof(value), &value);
      own.offsets[i] = offset;
    }
  }
  if (error == CL_SUCCESS && !launch.params.empty() &&
      (own.params.size() != launch.params.size() ||
       memcmp(own.params.data(), launch.params.data(), launch.params.size()) != 0)) {
    error = api_.clSetKernelArg(own.kernel, index, launch.params.size(), launch.params.data());
    own.params.assign(launch.params.begin(), launch.params.end());
  }
  if (error == CL_SUCCESS) return absl::OkStatus();
  own.buffers.clear();
  own.offsets.clear();
  own.params.clear();
  return ErrorStatus(error, absl::StrCat("launch of ", launch.kernel->name(), ": argument ", index,
                                         " (", launch.params.size(), " bytes of parameters)"));
}

absl::Status ClQueue::IssueLaunch(const Launch& launch, const Sync& sync, IssuedList& issued) {
  const auto& kernel = static_cast<const ClKernel&>(*launch.kernel);
  HET_ASSIGN_OR_RETURN(OwnKernel* const own, Own(kernel));
  HET_RETURN_IF_ERROR(SetArguments(*own, launch));
  size_t global[3], local[3];
  for (int axis = 0; axis < 3; ++axis) {
    local[axis] = launch.group_size[axis];
    global[axis] = local[axis] * launch.groups[axis];
  }
  const cl_uint axes = global[2] > 1 ? 3 : global[1] > 1 ? 2 : 1;
  return Issue(
      sync, kernel.name(), true,
      [&](cl_uint count, const cl_event* waits, cl_event* event) {
        mutex_.AssertHeld();
        for (const BufferArg& argument : launch.buffers) Keep(*argument.buffer);
        return api_.clEnqueueNDRangeKernel(queue_, own->kernel, axes, nullptr, global, local, count,
                                           waits, event);
      },
      issued);
}

absl::Status ClQueue::DoSubmit(const Launch& launch, const Sync& sync) {
  const auto* kernel = dynamic_cast<const ClKernel*>(launch.kernel);
  if (kernel == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("launch of ", launch.kernel->name(),
                                                   ": it is no kernel of the opencl backend"));
  }
  HET_RETURN_IF_ERROR(CheckLaunch(launch, *kernel));
  IssuedList issued;
  Ref<Deferred> deferred;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (MustDefer(sync)) {
      HET_RETURN_IF_ERROR(Own(*kernel).status());  // keeps the program
      deferred = Defer(sync);
      for (const BufferArg& argument : launch.buffers) deferred->uses.emplace_back(argument.buffer);
      deferred->issue =
          [this, own = launch,
           buffers = std::vector<BufferArg>(launch.buffers.begin(), launch.buffers.end()),
           params = std::vector<std::byte>(launch.params.begin(), launch.params.end())](
              const Sync& with, IssuedList& out) mutable {
            mutex_.AssertHeld();
            own.buffers = buffers;
            own.params = params;
            return IssueLaunch(own, with, out);
          };
    } else {
      status = IssueLaunch(launch, sync, issued);
    }
  }
  if (deferred) WatchWaits(deferred);
  const absl::Status after = After(issued);
  return status.ok() ? after : status;
}

}  // namespace het::opencl
