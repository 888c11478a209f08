#include "devices/queue.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/device.h"

namespace het {

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
  return DoWrite(host, to, offset, bytes, sync);
}

absl::Status Queue::Read(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                         const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckRange(from, offset, bytes, "read"));
  HET_RETURN_IF_ERROR(CheckSync(sync));
  if (bytes > 0 && host == nullptr) return absl::InvalidArgumentError("read: host address is null");
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
  return DoCopy(from, from_offset, to, to_offset, bytes, sync);
}

absl::Status Queue::Fill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                         const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckRange(to, offset, bytes, "fill"));
  HET_RETURN_IF_ERROR(CheckSync(sync));
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
  return DoSubmit(launch, sync);
}

absl::Status Queue::Multiply(const MatrixProduct& product, const Sync& sync) {
  if (!device_.Can(kMultipliesMatrices)) return DoMultiply(product, sync);
  const uint64_t rows = product.rows, n_in = product.n_in, n_out = product.n_out;
  if (rows == 0 || n_in == 0 || n_out == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("multiply: asked ", rows, " rows by a matrix of ", n_out, " times ", n_in));
  }
  const uint64_t element = MatrixElementBytes(product.type);
  const struct {
    const BufferArg& place;
    uint64_t bytes;
    const char* what;
  } operands[] = {{product.w, n_out * n_in * element, "multiply: weights"},
                  {product.x, rows * n_in * element, "multiply: activations"},
                  {product.y, rows * n_out * sizeof(float), "multiply: result"}};
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
  return DoMultiply(product, sync);
}

absl::Status Queue::DoMultiply(const MatrixProduct&, const Sync&) {
  return absl::UnimplementedError(absl::StrCat("the ", device_.info().backend, " device ",
                                               device_.info().name,
                                               " has no library that multiplies matrices"));
}

absl::Status Queue::Barrier(const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckSync(sync));
  return DoBarrier(sync);
}

absl::Status Queue::Flush() { return DoFlush(); }

}  // namespace het
