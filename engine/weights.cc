#include "engine/weights.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace hetllm {
namespace {

constexpr uint64_t kAlignment = 64;           // of wrapped ranges and uploaded tensors
constexpr uint64_t kLargestGap = kAlignment;  // between tensors of one wrapped range

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

uint64_t Padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

uintptr_t AddressOf(const GgufTensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.data); }

std::vector<const GgufTensor*> InFileOrder(std::vector<const GgufTensor*> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->data < b->data; });
  return tensors;
}

// Brings the pages in now, so that the first tokens do not wait for the disk.
void Populate(uintptr_t begin, uintptr_t end) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  begin = begin / page * page;
  end = (end + page - 1) / page * page;
  if (madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ) == 0) {
    return;
  }
  for (uintptr_t at = begin; at < end; at += page) {
    (void)*reinterpret_cast<const volatile char*>(at);
  }
}

// Gives back the pages of what was uploaded: they are in the page cache still, and nobody needs
// them twice in this process. Pages that other tensors share stay.
void Forget(const GgufTensor& tensor) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (AddressOf(tensor) + page - 1) / page * page;
  const uintptr_t end = (AddressOf(tensor) + tensor.bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

Weights::Weights(const Model& model, const het::api::Lease& lease, size_t begin, size_t end,
                 const LoadProgress& progress) {
  const uint32_t capabilities = lease.capabilities();
  in_place_ = (capabilities & HET_CAN_WRAP_HOST) != 0;
  het::api::Queue queue;
  if (!in_place_) {
    queue = lease.CreateQueue(HET_QUEUE_TRANSFER);
  }
  for (size_t layer = begin; layer < end; ++layer) {
    std::vector<const GgufTensor*> tensors = model.LayerTensors(layer);
    std::erase_if(tensors, [&](const GgufTensor* tensor) { return places_.contains(tensor); });
    if (tensors.empty()) {
      continue;
    }
    if (in_place_) {
      Wrap(lease, InFileOrder(tensors), progress);
      continue;
    }
    Upload(lease, tensors, queue.view());
    if (progress) {
      for (const GgufTensor* tensor : tensors) {
        progress(tensor->bytes);
      }
    }
  }
}

void Weights::Wrap(const het::api::Lease& lease, const std::vector<const GgufTensor*>& tensors,
                   const LoadProgress& progress) {
  for (size_t i = 0; i < tensors.size();) {
    const uintptr_t begin = AddressOf(*tensors[i]) / kAlignment * kAlignment;
    uintptr_t end = AddressOf(*tensors[i]) + tensors[i]->bytes;
    size_t next = i + 1;
    while (next < tensors.size() && AddressOf(*tensors[next]) - end <= kLargestGap) {
      end = AddressOf(*tensors[next]) + tensors[next]->bytes;
      ++next;
    }
    // Up to 63 bytes behind the last tensor: inside its last page, which the mapping has whole.
    end = (end + kAlignment - 1) / kAlignment * kAlignment;
    Populate(begin, end);
    buffers_.push_back(lease.WrapHost(reinterpret_cast<void*>(begin), end - begin, false));
    for (; i < next; ++i) {
      places_[tensors[i]] = buffers_.back().At(AddressOf(*tensors[i]) - begin);
      if (progress) {
        progress(tensors[i]->bytes);
      }
    }
  }
}

void Weights::Upload(const het::api::Lease& lease, const std::vector<const GgufTensor*>& tensors,
                     het::api::QueueView queue) {
  uint64_t bytes = 0;
  for (const GgufTensor* tensor : tensors) {
    bytes += Padded(tensor->bytes);
  }
  buffers_.push_back(lease.CreateBuffer(bytes));
  uint64_t offset = 0;
  for (const GgufTensor* tensor : tensors) {
    places_[tensor] = buffers_.back().At(offset);
    offset += Padded(tensor->bytes);
  }
  for (const GgufTensor* tensor : InFileOrder(tensors)) {
    const Place place = places_.at(tensor);
    queue.Write(tensor->data, place.buffer, place.offset, tensor->bytes);
  }
  queue.Finish();
  for (const GgufTensor* tensor : tensors) Forget(*tensor);
}

uint64_t Weights::ChargedBytes(const Model& model, size_t layer) {
  uint64_t bytes = 0;
  for (const GgufTensor* tensor : model.LayerTensors(layer)) {
    // A range of its own with both ends rounded, or gaps inside a range: less than this.
    bytes += Padded(tensor->bytes) + kAlignment;
  }
  return bytes;
}

}  // namespace hetllm
