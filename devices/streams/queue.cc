#include "devices/streams/queue.h"

#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/recording.h"
#include "devices/streams/timeline.h"

namespace het::streams {
namespace {

constexpr size_t kMostKept = 4096;  // then a stretch without a signal is cut
constexpr size_t kLookBack = 8;     // of the kept list, to keep it short

Address AddressOf(const Buffer& buffer, uint64_t offset) {
  return static_cast<const StreamBuffer&>(buffer).address() + offset;
}

// A launch in the driver's form: a buffer is an address and an offset; the parameters come last.
struct Packed {
  void* kernel;
  uint32_t groups[3], group_size[3];
  absl::InlinedVector<std::byte, 192> arguments;

  int PutOn(Gpu& gpu, void* stream) const {
    return gpu.Launch(kernel, groups, group_size, arguments.data(), arguments.size(), stream);
  }
};
using Uses = absl::InlinedVector<RefCounted*, 9>;

// `uses` gets what must live as long as the launch does.
absl::Status Pack(const StreamDevice& device, const Launch& launch, Packed& packed, Uses& uses) {
  const auto* kernel = dynamic_cast<const StreamKernel*>(launch.kernel);
  if (kernel == nullptr || &kernel->program().device() != &device) [[unlikely]] {
    return absl::InvalidArgumentError(absl::StrCat("launch of ", launch.kernel->name(),
                                                   ": it was not built for ", device.info().name));
  }
  packed.kernel = kernel->handle();
  memcpy(packed.groups, launch.groups, sizeof(packed.groups));
  memcpy(packed.group_size, launch.group_size, sizeof(packed.group_size));
  const size_t params_at = launch.buffers.size() * 2 * sizeof(uint64_t);
  packed.arguments.resize(params_at + launch.params.size());
  std::byte* to = packed.arguments.data();
  for (const BufferArg& argument : launch.buffers) {
    const uint64_t pair[2] = {AddressOf(*argument.buffer, 0), argument.offset};
    memcpy(to, pair, sizeof(pair));
    to += sizeof(pair);
    uses.push_back(argument.buffer);
  }
  if (!launch.params.empty()) memcpy(to, launch.params.data(), launch.params.size());
  uses.push_back(const_cast<StreamProgram*>(&kernel->program()));
  if (kernel->argument_bytes() != 0 && kernel->argument_bytes() != packed.arguments.size())
      [[unlikely]] {
    return absl::InvalidArgumentError(
        absl::StrCat("launch of ", kernel->name(), ": ", launch.buffers.size(), " buffers and ",
                     launch.params.size(), " bytes of parameters are ", packed.arguments.size(),
                     " bytes of arguments; the kernel takes ", kernel->argument_bytes()));
  }
  return absl::OkStatus();
}

class StreamRecording final : public Recording {
 public:
  StreamRecording(StreamDevice& device, size_t size)
      : Recording(device, size), gpu_(device.gpu()) {}

  // Called before anybody else sees it.
  void Keep(RefCounted& object) {
    if (known_.insert(&object).second) uses_.emplace_back(&object);
  }
  void Take(void* captured) { captured_ = captured; }

  int PutOn(void* stream) {
    absl::MutexLock lock(&mutex_);
    return gpu_.Replay(captured_, stream);
  }

 private:
  ~StreamRecording() override {
    if (captured_ == nullptr) return;
    const Current current(gpu_);
    gpu_.DeleteCaptured(captured_);
  }

  Gpu& gpu_;
  std::set<RefCounted*> known_;
  std::vector<Ref<RefCounted>> uses_;
  void* captured_ = nullptr;
  absl::Mutex mutex_;  // the driver's form is used by one thread at a time
};

}  // namespace

// The queue itself. Operations come from one thread at a time; what a timeline lets go of comes
// from the thread that signals it. Both hand work to the driver under the lock.
class StreamQueue::Core final : public RefCounted {
 public:
  Core(StreamDevice& device, void* stream)
      : device_(device), gpu_(device.gpu()), stream_(stream), completions_(gpu_) {}

  void* stream() const { return stream_; }
  int64_t busy_nanos() const { return completions_.busy_nanos(); }

  // `command` queues the work and gives the vendor's number; it is kept where the work must wait
  // for the host. `uses`: what it touches. No command: only the sync counts.
  template <typename Command>
  absl::Status Enqueue(const Sync& sync, absl::string_view what, absl::Span<RefCounted* const> uses,
                       Command command) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Barrier(const Sync& sync) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for everything. Nothing may come after.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Deferred final : RefCounted {
    absl::InlinedVector<Fence, 2> waits;
    Fence signal;
    std::string what;
    std::vector<Ref<RefCounted>> uses;
    absl::AnyInvocable<int()> command;  // null: a barrier
    // Guarded by the queue's lock.
    size_t open_waits = 0;
    absl::Status failure;
  };
  struct OpenWait {
    Fence fence;
    Ref<Record> record;
  };
  using OpenWaits = absl::InlinedVector<OpenWait, 2>;

  ~Core() override = default;

  bool MustDefer(const Sync& sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Watch(const Ref<Deferred>& deferred) ABSL_LOCKS_EXCLUDED(mutex_);
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Issue(const Sync& sync, absl::string_view what, absl::Span<RefCounted* const> uses,
                     absl::FunctionRef<int()> command, bool work, OpenWaits& open)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WaitForEvents(absl::Span<const Fence> waits, OpenWaits& open)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CloseStretch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status EndStretch(const Fence& signal) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Ref<Event>> RecordEvent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `signal` will fail with refusal_, after what was queued before.
  void Refuse(const Fence& signal) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Keep(RefCounted& object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellWhenOver(OpenWaits& open) ABSL_LOCKS_EXCLUDED(mutex_);

  StreamDevice& device_;
  Gpu& gpu_;
  void* const stream_;
  Completions completions_;

  absl::Mutex mutex_;
  Ref<Record> stretch_ ABSL_GUARDED_BY(mutex_);   // work since the last record
  Ref<Event> last_end_ ABSL_GUARDED_BY(mutex_);   // of the last record
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);  // why nothing goes to the device any more
  std::deque<Ref<Deferred>> backlog_ ABSL_GUARDED_BY(mutex_);
  int pumps_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that work on the backlog
};

bool StreamQueue::Core::MustDefer(const Sync& sync) {
  if (!refusal_.ok() || completions_.is_broken()) return false;
  if (!backlog_.empty()) return true;
  for (const Fence& fence : sync.waits) {
    if (fence.timeline->value() >= fence.value || fence.timeline->failed()) continue;
    auto* timeline = dynamic_cast<StreamTimeline*>(fence.timeline.get());
    if (timeline != nullptr && timeline->EventFor(fence.value)) continue;
    if (fence.timeline->value() < fence.value) return true;
  }
  return false;
}

template <typename Command>
absl::Status StreamQueue::Core::Enqueue(const Sync& sync, absl::string_view what,
                                        absl::Span<RefCounted* const> uses, Command command) {
  OpenWaits open;
  Ref<Deferred> deferred;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (MustDefer(sync)) [[unlikely]] {
      deferred = MakeRef<Deferred>();
      deferred->waits.assign(sync.waits.begin(), sync.waits.end());
      deferred->signal = sync.signal;
      deferred->what = std::string(what);
      for (RefCounted* object : uses) deferred->uses.emplace_back(object);
      deferred->command = std::move(command);
      deferred->open_waits = sync.waits.size() + 1;  // one for Watch itself
      backlog_.push_back(deferred);
    } else {
      status = Issue(sync, what, uses, command, true, open);
    }
  }
  if (deferred) Watch(deferred);
  TellWhenOver(open);
  return status;
}

absl::Status StreamQueue::Core::Barrier(const Sync& sync) {
  if (sync.waits.empty() && !sync.signal.timeline) return absl::OkStatus();
  OpenWaits open;
  Ref<Deferred> deferred;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (MustDefer(sync)) {
      deferred = MakeRef<Deferred>();
      deferred->waits.assign(sync.waits.begin(), sync.waits.end());
      deferred->signal = sync.signal;
      deferred->what = "barrier";
      deferred->open_waits = sync.waits.size() + 1;
      backlog_.push_back(deferred);
    } else {
      status = Issue(
          sync, "barrier", {}, [] { return 0; }, false, open);
    }
  }
  if (deferred) Watch(deferred);
  TellWhenOver(open);
  return status;
}

void StreamQueue::Core::Watch(const Ref<Deferred>& deferred) {
  const auto ended = [core = Ref<Core>(this), deferred](const absl::Status& status) {
    {
      absl::MutexLock lock(&core->mutex_);
      --deferred->open_waits;
      if (deferred->failure.ok()) deferred->failure = status;
      ++core->pumps_;
    }
    core->Pump();
    absl::MutexLock lock(&core->mutex_);
    --core->pumps_;
  };
  for (const Fence& fence : deferred->waits) fence.timeline->OnReach(fence.value, ended);
  ended(absl::OkStatus());
}

void StreamQueue::Core::Pump() {
  const Current current(gpu_);
  while (true) {
    OpenWaits open;
    {
      absl::MutexLock lock(&mutex_);
      if (backlog_.empty()) return;
      const Ref<Deferred> front = backlog_.front();
      if (refusal_.ok() && completions_.is_broken()) refusal_ = completions_.broken();
      if (refusal_.ok() && !front->failure.ok()) {
        (void)CloseStretch();
        refusal_ = front->failure;
      }
      if (!refusal_.ok()) {
        for (const Ref<Deferred>& one : backlog_) Refuse(one->signal);
        backlog_.clear();
        return;
      }
      if (front->open_waits > 0) return;
      backlog_.pop_front();
      std::vector<RefCounted*> uses;
      for (const Ref<RefCounted>& object : front->uses) uses.push_back(object.get());
      const bool work = front->command != nullptr;
      const absl::Status status = Issue(
          {front->waits, front->signal}, front->what, uses,
          [&] { return work ? front->command() : 0; }, work, open);
      if (!status.ok()) {
        refusal_ = status;
        Refuse(front->signal);
      }
    }
    TellWhenOver(open);
  }
}

void StreamQueue::Core::Refuse(const Fence& signal) {
  Ref<Record> record = MakeRef<Record>();
  record->signal = signal;
  record->failure = refusal_;
  completions_.Push(std::move(record));
}

void StreamQueue::Core::Keep(RefCounted& object) {
  std::vector<Ref<RefCounted>>& keep = stretch_->keep;
  const size_t begin = keep.size() > kLookBack ? keep.size() - kLookBack : 0;
  for (size_t i = begin; i < keep.size(); ++i) {
    if (keep[i].get() == &object) return;
  }
  keep.emplace_back(&object);
}

absl::StatusOr<Ref<Event>> StreamQueue::Core::RecordEvent() {
  HET_ASSIGN_OR_RETURN(Ref<Event> event, device_.events().Take());
  HET_GPU_RETURN_IF_ERROR(gpu_, gpu_.Record(event->handle(), stream_), "recording an event");
  return event;
}

absl::Status StreamQueue::Core::WaitForEvents(absl::Span<const Fence> waits, OpenWaits& open) {
  for (const Fence& fence : waits) {
    if (fence.timeline->value() >= fence.value) continue;
    auto* timeline = dynamic_cast<StreamTimeline*>(fence.timeline.get());
    const Ref<Event> event = timeline != nullptr ? timeline->EventFor(fence.value) : nullptr;
    if (!event) {
      if (fence.timeline->value() >= fence.value) continue;
      return fence.timeline->status();  // MustDefer left only those that failed
    }
    if (open.empty()) HET_RETURN_IF_ERROR(CloseStretch());  // waiting is no work
    HET_GPU_RETURN_IF_ERROR(gpu_, gpu_.WaitFor(event->handle(), stream_), "waiting for an event");
    open.push_back({fence, nullptr});
  }
  return absl::OkStatus();
}

absl::Status StreamQueue::Core::Issue(const Sync& sync, absl::string_view what,
                                      absl::Span<RefCounted* const> uses,
                                      absl::FunctionRef<int()> command, bool work,
                                      OpenWaits& open) {
  const Current current(gpu_);
  if (refusal_.ok() && completions_.is_broken()) [[unlikely]]
    refusal_ = completions_.broken();
  if (refusal_.ok() && !sync.waits.empty()) refusal_ = WaitForEvents(sync.waits, open);
  if (!refusal_.ok()) [[unlikely]] {
    open.clear();
    const absl::Status closed = CloseStretch();
    Refuse(sync.signal);
    return closed;
  }
  const bool opens = !stretch_;
  if (opens) stretch_ = MakeRef<Record>();
  if (work && !stretch_->begin) {
    // Where work is still queued, this stretch begins when that ends.
    if (last_end_ && !completions_.idle() && open.empty()) {
      stretch_->begin = last_end_;
    } else {
      HET_ASSIGN_OR_RETURN(stretch_->begin, RecordEvent());
    }
  }
  if (const int error = command(); error != 0) [[unlikely]] {
    if (opens) stretch_ = nullptr;
    open.clear();
    return gpu_.Error(error, absl::StrCat(what, " on ", device_.info().name));
  }
  for (RefCounted* object : uses) Keep(*object);
  stretch_->open_waits += static_cast<int>(open.size());
  for (OpenWait& wait : open) wait.record = stretch_;
  if (!sync.signal.timeline && open.empty() && stretch_->keep.size() <= kMostKept) {
    return absl::OkStatus();
  }
  return EndStretch(sync.signal);
}

absl::Status StreamQueue::Core::EndStretch(const Fence& signal) {
  absl::StatusOr<Ref<Event>> end = RecordEvent();
  Ref<Record> record = std::move(stretch_);
  record->signal = signal;
  if (end.ok()) {
    record->end = *end;
    last_end_ = *end;
    if (auto* timeline = dynamic_cast<StreamTimeline*>(signal.timeline.get())) {
      timeline->Remember(signal.value, *std::move(end));
    }
  } else {
    record->begin = nullptr;
    record->failure = end.status();  // the device is lost
  }
  completions_.Push(std::move(record));
  return absl::OkStatus();
}

absl::Status StreamQueue::Core::CloseStretch() {
  if (!stretch_) return absl::OkStatus();
  return EndStretch({});
}

void StreamQueue::Core::TellWhenOver(OpenWaits& open) {
  for (OpenWait& wait : open) {
    wait.fence.timeline->OnReach(
        wait.fence.value, [core = Ref<Core>(this), record = wait.record](const absl::Status& s) {
          core->completions_.WaitEnded(*record, s);
        });
  }
}

absl::Status StreamQueue::Core::Flush() {
  const Current current(gpu_);
  absl::MutexLock lock(&mutex_);
  return CloseStretch();
}

void StreamQueue::Core::Close() {
  {
    const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return backlog_.empty() && pumps_ == 0;
    };
    const Current current(gpu_);
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&idle));
    (void)CloseStretch();
    last_end_ = nullptr;
  }
  completions_.Stop();
}

StreamQueue::StreamQueue(StreamDevice& device, QueueKind kind, void* stream, bool owned)
    : Queue(device, kind),
      gpu_(device.gpu()),
      owned_(owned),
      core_(MakeRef<Core>(device, stream)) {}

StreamQueue::~StreamQueue() {
  core_->Close();
  const Current current(gpu_);
  multiplier_ = nullptr;
  if (!owned_) return;
  gpu_.DeleteStream(core_->stream());
}

int64_t StreamQueue::busy_nanos() const { return core_->busy_nanos(); }

void* StreamQueue::native_handle() const { return core_->stream(); }

// Staging memory is host memory: to it and from it, any kind of copy does.
absl::Status StreamQueue::DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                                  const Sync& sync) {
  if (bytes == 0) return core_->Barrier(sync);
  RefCounted* const uses[] = {&to};
  return core_->Enqueue(sync, "write", uses,
                        [&gpu = gpu_, stream = core_->stream(), address = AddressOf(to, offset),
                         host, bytes, staging = to.host() != nullptr] {
                          return staging ? gpu.Copy(address, reinterpret_cast<Address>(host), bytes,
                                                    stream)
                                         : gpu.Write(address, host, bytes, stream);
                        });
}

absl::Status StreamQueue::DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                                 const Sync& sync) {
  if (bytes == 0) return core_->Barrier(sync);
  RefCounted* const uses[] = {&from};
  return core_->Enqueue(sync, "read", uses,
                        [&gpu = gpu_, stream = core_->stream(), address = AddressOf(from, offset),
                         host, bytes, staging = from.host() != nullptr] {
                          return staging ? gpu.Copy(reinterpret_cast<Address>(host), address, bytes,
                                                    stream)
                                         : gpu.Read(host, address, bytes, stream);
                        });
}

absl::Status StreamQueue::DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                                 uint64_t bytes, const Sync& sync) {
  if (bytes == 0) return core_->Barrier(sync);
  RefCounted* const uses[] = {&from, &to};
  // Pinned host memory is everybody's.
  if (&from.device() != &to.device() && from.host() == nullptr && to.host() == nullptr) {
    const Gpu& from_gpu = static_cast<const StreamDevice&>(from.device()).gpu();
    const Gpu& to_gpu = static_cast<const StreamDevice&>(to.device()).gpu();
    return core_->Enqueue(
        sync, "copy between devices", uses,
        [&gpu = gpu_, &from_gpu, &to_gpu, stream = core_->stream(),
         source = AddressOf(from, from_offset), target = AddressOf(to, to_offset),
         bytes] { return gpu.CopyAcross(target, to_gpu, source, from_gpu, bytes, stream); });
  }
  return core_->Enqueue(sync, "copy", uses,
                        [&gpu = gpu_, stream = core_->stream(),
                         source = AddressOf(from, from_offset), target = AddressOf(to, to_offset),
                         bytes] { return gpu.Copy(target, source, bytes, stream); });
}

absl::Status StreamQueue::DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                                 const Sync& sync) {
  if (bytes == 0) return core_->Barrier(sync);
  RefCounted* const uses[] = {&to};
  return core_->Enqueue(sync, "fill", uses,
                        [&gpu = gpu_, stream = core_->stream(), address = AddressOf(to, offset),
                         value, bytes] { return gpu.Fill(address, value, bytes, stream); });
}

absl::Status StreamQueue::DoSubmit(const Launch& launch, const Sync& sync) {
  Packed packed;
  Uses uses;
  HET_RETURN_IF_ERROR(Pack(static_cast<StreamDevice&>(device()), launch, packed, uses));
  return core_->Enqueue(sync, launch.kernel->name(), uses,
                        [&gpu = gpu_, stream = core_->stream(), packed = std::move(packed)] {
                          return packed.PutOn(gpu, stream);
                        });
}

absl::Status StreamQueue::DoMultiply(const MatrixProduct& product, const Sync& sync) {
  if (multiplier_ == nullptr) {
    const Current current(gpu_);
    HET_ASSIGN_OR_RETURN(multiplier_, gpu_.NewMultiplier(core_->stream()));
  }
  RefCounted* const uses[] = {product.w.buffer, product.x.buffer, product.y.buffer};
  const auto place = [](const BufferArg& argument) {
    return AddressOf(*argument.buffer, argument.offset);
  };
  const Product addressed{product.type,     product.rows,     product.n_in,
                          product.n_out,    product.stride(), product.accumulate,
                          place(product.w), place(product.x), place(product.y)};
  // Kept by what waits for the host: the queue may be gone by then.
  return core_->Enqueue(sync, "matrix product", uses, [multiplier = multiplier_, addressed] {
    return multiplier->Multiply(addressed);
  });
}

absl::StatusOr<Ref<Recording>> StreamQueue::DoRecord(absl::Span<const Command> commands) {
  auto& owner = static_cast<StreamDevice&>(device());
  const std::string what = absl::StrCat("recording on ", owner.info().name);
  const Ref<StreamRecording> recording = MakeRef<StreamRecording>(owner, commands.size());
  // Everything that can be refused is refused before the driver captures.
  std::vector<absl::AnyInvocable<int(void*)>> work;
  for (const Command& command : commands) {
    if (const auto* kept = std::get_if<KeptLaunch>(&command.operation)) {
      Packed packed;
      Uses uses;
      HET_RETURN_IF_ERROR(Pack(owner, kept->launch(), packed, uses));
      for (RefCounted* object : uses) recording->Keep(*object);
      work.push_back(
          [this, packed = std::move(packed)](void* on) { return packed.PutOn(gpu_, on); });
    } else if (const auto* copy = std::get_if<KeptCopy>(&command.operation)) {
      recording->Keep(*copy->from);
      recording->Keep(*copy->to);
      work.push_back([this, to = AddressOf(*copy->to, copy->to_offset),
                      from = AddressOf(*copy->from, copy->from_offset),
                      bytes = copy->bytes](void* on) { return gpu_.Copy(to, from, bytes, on); });
    } else {
      const auto& fill = std::get<KeptFill>(command.operation);
      recording->Keep(*fill.to);
      work.push_back([this, to = AddressOf(*fill.to, fill.offset), value = fill.value,
                      bytes = fill.bytes](void* on) { return gpu_.Fill(to, value, bytes, on); });
    }
  }
  const Current current(gpu_);
  void* stream = nullptr;
  HET_GPU_RETURN_IF_ERROR(gpu_, gpu_.NewStream(kind(), &stream), what);
  int error = gpu_.BeginCapture(stream);
  if (error == 0) {
    for (size_t i = 0; i < work.size() && error == 0; ++i) error = work[i](stream);
    void* captured = nullptr;
    const int ended = gpu_.EndCapture(stream, &captured);
    recording->Take(captured);
    if (error == 0) error = ended;
  }
  gpu_.DeleteStream(stream);
  HET_GPU_RETURN_IF_ERROR(gpu_, error, what);
  return Ref<Recording>(recording);
}

absl::Status StreamQueue::DoReplay(Recording& recording, const Sync& sync) {
  auto* captured = dynamic_cast<StreamRecording*>(&recording);
  if (captured == nullptr) {
    return absl::InvalidArgumentError(
        "replay: the recording was made on a queue of the lease that waits its turn, and this one "
        "wraps a queue of the caller's");
  }
  RefCounted* const uses[] = {&recording};
  return core_->Enqueue(sync, "replay", uses,
                        [captured, stream = core_->stream()] { return captured->PutOn(stream); });
}

absl::Status StreamQueue::DoBarrier(const Sync& sync) { return core_->Barrier(sync); }

absl::Status StreamQueue::DoFlush() { return core_->Flush(); }

}  // namespace het::streams
