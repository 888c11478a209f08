#include "devices/queue.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/device.h"
#include "devices/recording.h"

namespace het {

struct Queue::Notes {
  std::vector<Command> commands;
  absl::Status failure;
};

Queue::Queue(Device& device, QueueKind kind) : device_(device), kind_(kind) {}

Queue::~Queue() = default;

absl::Status Queue::Spoil(absl::string_view what) {
  const absl::Status status = absl::InvalidArgumentError(absl::StrCat(
      "a recording takes launches, copies within the device and fills, without waits and signals; "
      "it was given ",
      what));
  if (notes_->failure.ok()) notes_->failure = status;
  return status;
}

absl::Status Queue::Note(Command command, const Sync& sync) {
  if (!sync.waits.empty()) return Spoil("a wait");
  if (sync.signal.timeline) return Spoil("a signal");
  notes_->commands.push_back(std::move(command));
  return absl::OkStatus();
}

absl::Status Queue::CheckSync(const Sync& sync) const {
  for (const Fence& wait : sync.waits) {
    if (!wait.timeline) return absl::InvalidArgumentError("a wait without a timeline");
    if (wait.timeline->driver() != &device_.driver() && wait.timeline->value() < wait.value) {
      return absl::FailedPreconditionError(
          absl::StrCat("queue of ", device_.info().name,
                       " was given a wait on another driver's timeline; resolve it on completion "
                       "(Timeline::OnReach)"));
    }
  }
  return absl::OkStatus();
}

absl::Status Queue::CheckRange(const Buffer& buffer, uint64_t offset, uint64_t bytes,
                               absl::string_view what, bool peers) const {
  if (&buffer.device() != &device_ && !(peers && device_.Reaches(buffer.device()))) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": the buffer belongs to ",
                                                   buffer.device().info().name, ", the queue to ",
                                                   device_.info().name));
  }
  if (offset > buffer.bytes() || bytes > buffer.bytes() - offset) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": asked bytes ", offset, "..+", bytes,
                                                   " of a buffer of ", buffer.bytes(), " bytes"));
  }
  return absl::OkStatus();
}

absl::Status Queue::Write(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                          const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckRange(to, offset, bytes, "write"));
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (bytes > 0 && host == nullptr)
    return absl::InvalidArgumentError("write: host address is null");
  if (notes_ != nullptr) return Spoil("a write from host memory");
  return DoWrite(host, to, offset, bytes, sync);
}

absl::Status Queue::Read(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                         const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckRange(from, offset, bytes, "read"));
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (bytes > 0 && host == nullptr) return absl::InvalidArgumentError("read: host address is null");
  if (notes_ != nullptr) return Spoil("a read to host memory");
  return DoRead(from, offset, host, bytes, sync);
}

absl::Status Queue::Copy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                         uint64_t bytes, const Sync& sync) {
  const bool peers = &from.device() == &device_ || &to.device() == &device_;
  HET_RETURN_IF_ERROR(CheckRange(from, from_offset, bytes, "copy from", peers));
  HET_RETURN_IF_ERROR(CheckRange(to, to_offset, bytes, "copy to", peers));
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (&from == &to && from_offset < to_offset + bytes && to_offset < from_offset + bytes &&
      bytes > 0) {
    return absl::InvalidArgumentError("copy: the ranges overlap");
  }
  if (notes_ != nullptr) {
    if (&from.device() != &to.device()) return Spoil("a copy between devices");
    if (bytes == 0) return absl::OkStatus();
    return Note({KeptCopy{Ref<Buffer>(&from), from_offset, Ref<Buffer>(&to), to_offset, bytes}},
                sync);
  }
  return DoCopy(from, from_offset, to, to_offset, bytes, sync);
}

absl::Status Queue::Fill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                         const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckRange(to, offset, bytes, "fill"));
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (notes_ != nullptr) {
    if (bytes == 0) return absl::OkStatus();
    return Note({KeptFill{Ref<Buffer>(&to), offset, bytes, value}}, sync);
  }
  return DoFill(to, offset, bytes, value, sync);
}

absl::Status Queue::Submit(const Launch& launch, const Sync& sync) {
  if (launch.kernel == nullptr) return absl::InvalidArgumentError("launch: no kernel");
  for (int axis = 0; axis < 3; ++axis) {
    if (launch.groups[axis] == 0 || launch.group_size[axis] == 0) {
      return absl::InvalidArgumentError(absl::StrCat("launch of ", launch.kernel->name(), ": axis ",
                                                     axis, " of the grid is empty"));
    }
  }
  for (size_t i = 0; i < launch.buffers.size(); ++i) {
    if (launch.buffers[i].buffer == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("launch of ", launch.kernel->name(), ": buffer ", i, " is null"));
    }
    HET_RETURN_IF_ERROR(
        CheckRange(*launch.buffers[i].buffer, launch.buffers[i].offset, 0, launch.kernel->name()));
  }
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (notes_ != nullptr) [[unlikely]]
    return Note({KeptLaunch(launch)}, sync);
  return DoSubmit(launch, sync);
}

absl::Status Queue::Multiply(const MatrixProduct& product, const Sync& sync) {
  if (!device_.Can(kMultipliesMatrices)) return DoMultiply(product, sync);
  const uint64_t rows = product.rows, n_in = product.n_in, n_out = product.n_out;
  if (rows == 0 || n_in == 0 || n_out == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("multiply: asked ", rows, " rows by a matrix of ", n_out, " times ", n_in));
  }
  if (product.stride() < n_out) {
    return absl::InvalidArgumentError(absl::StrCat("multiply: rows of the result are ", n_out,
                                                   " elements and ", product.stride(), " apart"));
  }
  const uint64_t element = MatrixElementBytes(product.type);
  const uint64_t y_elements = (rows - 1) * product.stride() + n_out;
  const struct {
    const BufferArg& place;
    uint64_t bytes;
    const char* what;
  } operands[] = {{product.w, n_out * n_in * element, "multiply: weights"},
                  {product.x, rows * n_in * element, "multiply: activations"},
                  {product.y, y_elements * sizeof(float), "multiply: result"}};
  for (const auto& [place, bytes, what] : operands) {
    if (place.buffer == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": the buffer is null"));
    }
    if (place.offset % 16 != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": offset ", place.offset, " is no multiple of 16"));
    }
    HET_RETURN_IF_ERROR(CheckRange(*place.buffer, place.offset, bytes, what));
  }
  HET_RETURN_IF_ERROR(CheckSync(sync));
  // The library would take its workspace anew for each recording.
  if (notes_ != nullptr) return Spoil("a matrix product");
  return DoMultiply(product, sync);
}

absl::Status Queue::DoMultiply(const MatrixProduct&, const Sync&) {
  return absl::UnimplementedError(absl::StrCat("the ", device_.info().backend, " device ",
                                               device_.info().name,
                                               " has no library that multiplies matrices"));
}

absl::Status Queue::Barrier(const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (notes_ != nullptr) return Spoil("a barrier");
  return DoBarrier(sync);
}

absl::Status Queue::Flush() {
  if (notes_ != nullptr) return Spoil("a flush");
  return DoFlush();
}

absl::Status Queue::BeginRecording() {
  if (!device_.Can(kReplaysWork)) return Queue::DoRecord({}).status();
  if (notes_ != nullptr) {
    return absl::FailedPreconditionError("a recording is under way on this queue already");
  }
  notes_ = std::make_unique<Notes>();
  return absl::OkStatus();
}

absl::StatusOr<Ref<Recording>> Queue::EndRecording() {
  if (notes_ == nullptr) {
    return absl::FailedPreconditionError("no recording is under way on this queue");
  }
  const std::unique_ptr<Notes> notes = std::move(notes_);
  HET_RETURN_IF_ERROR(notes->failure);
  return RecordCommands(notes->commands);
}

absl::StatusOr<Ref<Recording>> Queue::RecordCommands(absl::Span<const Command> commands) {
  if (!device_.Can(kReplaysWork)) return Queue::DoRecord(commands);
  if (commands.empty()) return absl::InvalidArgumentError("a recording of nothing");
  return DoRecord(commands);
}

absl::Status Queue::Replay(Recording& recording, const Sync& sync) {
  if (&recording.device() != &device_) {
    return absl::InvalidArgumentError(absl::StrCat("replay: the recording is of ",
                                                   recording.device().info().name,
                                                   ", the queue of ", device_.info().name));
  }
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (notes_ != nullptr) return Spoil("a replay");
  return DoReplay(recording, sync);
}

absl::StatusOr<Ref<Recording>> Queue::DoRecord(absl::Span<const Command>) {
  return absl::UnimplementedError(absl::StrCat("the ", device_.info().backend, " device ",
                                               device_.info().name,
                                               " cannot replay recorded work"));
}

absl::Status Queue::DoReplay(Recording&, const Sync&) { return Queue::DoRecord({}).status(); }

}  // namespace het
