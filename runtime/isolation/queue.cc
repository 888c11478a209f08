#include "runtime/isolation/queue.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "base/units.h"

namespace het::runtime::isolation {
namespace {

constexpr uint64_t kWindowBytes = 8 * kMiB;

uint64_t IdOf(const Buffer& buffer) { return static_cast<const IsolatedBuffer&>(buffer).id(); }

}  // namespace

absl::StatusOr<std::unique_ptr<Queue>> IsolatedQueue::Create(IsolatedDevice& device,
                                                             uint64_t device_id, QueueKind kind) {
  const int shared = memfd_create("het-isolation", MFD_CLOEXEC);
  if (shared < 0) return ErrnoStatus(errno, "cannot make shared memory");
  void* window = MAP_FAILED;
  if (ftruncate(shared, kWindowBytes) == 0) {
    window = mmap(nullptr, kWindowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
  }
  if (window == MAP_FAILED) {
    const int error = errno;
    close(shared);
    return ErrnoStatus(error, "cannot map shared memory");
  }
  std::unique_ptr<IsolatedQueue> queue(new IsolatedQueue(device, kind, static_cast<char*>(window)));
  auto answer = device.connection()->Call(
      Verb::kCreateQueue,
      Packer().Put(device_id).Put(static_cast<uint32_t>(kind)).Put(kWindowBytes).Take(), shared);
  close(shared);
  HET_RETURN_IF_ERROR(answer.status());
  queue->id_ = Unpacker(*answer).Get<uint64_t>();
  queue->thread_ = std::thread([raw = queue.get()] { raw->Work(); });
  return queue;
}

IsolatedQueue::~IsolatedQueue() {
  {
    absl::MutexLock lock(&mutex_);
    ends_ = true;
  }
  if (thread_.joinable()) thread_.join();
  // Answered when what is queued there is done.
  if (id_ != 0) (void)device_.connection()->Call(Verb::kDestroyQueue, Packer().Put(id_).Take());
  munmap(window_, kWindowBytes);
}

absl::Status IsolatedQueue::Push(const Sync& sync, std::vector<Ref<RefCounted>> keep,
                                 Command command) {
  Op op;
  op.waits.assign(sync.waits.begin(), sync.waits.end());
  op.signal = sync.signal;
  op.keep = std::move(keep);
  op.command = std::move(command);
  absl::MutexLock lock(&mutex_);
  ops_.push_back(std::move(op));
  return absl::OkStatus();
}

void IsolatedQueue::Work() {
  const auto wanted = [this]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !ops_.empty() || ends_; };
  while (true) {
    Op op;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wanted));
      if (ops_.empty()) return;
      op = std::move(ops_.front());
      ops_.pop_front();
    }
    if (broken_.ok()) broken_ = Execute(op);
    // Before the signal: whoever sees it may count the device's memory.
    op.keep.clear();
    op.command = nullptr;
    if (!op.signal.timeline) continue;
    if (broken_.ok()) {
      op.signal.timeline->Signal(op.signal.value);
    } else {
      op.signal.timeline->Fail(broken_);
    }
  }
}

absl::Status IsolatedQueue::Execute(Op& op) {
  for (const Fence& fence : op.waits) {
    HET_RETURN_IF_ERROR(fence.timeline->Wait(fence.value));
  }
  const bool must_end = op.signal.timeline != nullptr;
  if (op.command) return op.command(must_end);
  return must_end ? Order(Verb::kSync, "", true) : absl::OkStatus();
}

absl::Status IsolatedQueue::Order(Verb verb, std::string payload, bool must_end) {
  std::string message = Packer().Put(id_).Take() + payload;
  if (!must_end) {
    device_.connection()->Tell(verb, std::move(message));
    return absl::OkStatus();
  }
  HET_ASSIGN_OR_RETURN(const std::string answer,
                       device_.connection()->Call(verb, std::move(message)));
  busy_nanos_.store(Unpacker(answer).Get<int64_t>(), std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status IsolatedQueue::DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                                    const Sync& sync) {
  if (bytes == 0) return DoBarrier(sync);
  return Push(sync, {Ref<RefCounted>(&to)},
              [this, host = static_cast<const char*>(host), id = IdOf(to), offset, bytes](bool) {
                for (uint64_t at = 0; at < bytes; at += kWindowBytes) {
                  const uint64_t part = std::min(kWindowBytes, bytes - at);
                  memcpy(window_, host + at, part);
                  HET_RETURN_IF_ERROR(Order(
                      Verb::kWrite,
                      Packer().Put(id).Put(offset + at).Put(part).Put(uint64_t{0}).Take(), true));
                }
                return absl::OkStatus();
              });
}

absl::Status IsolatedQueue::DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                                   const Sync& sync) {
  if (bytes == 0) return DoBarrier(sync);
  return Push(sync, {Ref<RefCounted>(&from)},
              [this, host = static_cast<char*>(host), id = IdOf(from), offset, bytes](bool) {
                for (uint64_t at = 0; at < bytes; at += kWindowBytes) {
                  const uint64_t part = std::min(kWindowBytes, bytes - at);
                  HET_RETURN_IF_ERROR(Order(
                      Verb::kRead,
                      Packer().Put(id).Put(offset + at).Put(part).Put(uint64_t{0}).Take(), true));
                  memcpy(host + at, window_, part);
                }
                return absl::OkStatus();
              });
}

absl::Status IsolatedQueue::DoCopy(Buffer& from, uint64_t from_offset, Buffer& to,
                                   uint64_t to_offset, uint64_t bytes, const Sync& sync) {
  if (bytes == 0) return DoBarrier(sync);
  std::string payload =
      Packer().Put(IdOf(from)).Put(from_offset).Put(IdOf(to)).Put(to_offset).Put(bytes).Take();
  return Push(sync, {Ref<RefCounted>(&from), Ref<RefCounted>(&to)},
              [this, payload = std::move(payload)](bool must_end) {
                return Order(Verb::kCopy, payload, must_end);
              });
}

absl::Status IsolatedQueue::DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                                   const Sync& sync) {
  if (bytes == 0) return DoBarrier(sync);
  std::string payload = Packer().Put(IdOf(to)).Put(offset).Put(bytes).Put(uint64_t{value}).Take();
  return Push(sync, {Ref<RefCounted>(&to)}, [this, payload = std::move(payload)](bool must_end) {
    return Order(Verb::kFill, payload, must_end);
  });
}

absl::Status IsolatedQueue::DoSubmit(const Launch& launch, const Sync& sync) {
  const auto* kernel = dynamic_cast<const IsolatedKernel*>(launch.kernel);
  if (kernel == nullptr || &kernel->program().device() != &device_) {
    return absl::InvalidArgumentError(absl::StrCat("launch of ", launch.kernel->name(),
                                                   ": it was not built for ", device_.info().name));
  }
  Packer packer;
  packer.Put(kernel->id());
  for (const uint32_t groups : launch.groups) packer.Put(groups);
  for (const uint32_t size : launch.group_size) packer.Put(size);
  packer.Put(static_cast<uint32_t>(launch.buffers.size()));
  std::vector<Ref<RefCounted>> keep;
  for (const BufferArg& argument : launch.buffers) {
    packer.Put(IdOf(*argument.buffer)).Put(argument.offset);
    keep.emplace_back(argument.buffer);
  }
  keep.emplace_back(const_cast<IsolatedProgram*>(&kernel->program()));
  packer.Text({reinterpret_cast<const char*>(launch.params.data()), launch.params.size()});
  return Push(sync, std::move(keep), [this, payload = packer.Take()](bool must_end) {
    return Order(Verb::kLaunch, payload, must_end);
  });
}

absl::Status IsolatedQueue::DoBarrier(const Sync& sync) { return Push(sync, {}, nullptr); }

}  // namespace het::runtime::isolation
