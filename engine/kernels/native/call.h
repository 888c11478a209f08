// What every native kernel needs of its call: the params as their struct, buffers as typed
// pointers, the range of groups clamped to the work there is (a grid has at least one group, even
// for nothing), and bounded scratch of the thread.
//
// A kernel of this folder never fails: the engine checks shapes before it launches. Ids and
// positions that come from data are checked in the kernels, so that no value in a buffer makes one
// read or write outside its buffers.
#ifndef HET_ENGINE_KERNELS_NATIVE_CALL_H_
#define HET_ENGINE_KERNELS_NATIVE_CALL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "het/kernel.h"

namespace hetllm::native {

template <typename Params>
const Params& ParamsOf(const het_native_call* call) {
  return *static_cast<const Params*>(call->params);
}

template <typename T>
T* Buffer(const het_native_call* call, size_t index) {
  return static_cast<T*>(call->buffers[index]);
}

struct GroupRange {
  uint64_t begin, end;
};
inline GroupRange Groups(const het_native_call* call, uint64_t limit) {
  return {std::min(call->group_begin, limit), std::min(call->group_end, limit)};
}

// Scratch of the calling thread: one allocation per purpose, reused by every call and freed with
// the thread; it grows to the largest size asked for. 64-byte aligned, uninitialised, valid until
// the thread asks for the same purpose again.
enum class ScratchUse {
  kPackedWeights,
  kPackedRows,
  kWeightScales,
  kRowScales,
  kRowSums,
  kHalves,
  kPartials,
  kQueries,
  kOutputs,
  kKeyCounts,
  kCount
};
void* ScratchBytes(ScratchUse use, size_t bytes);

template <typename T>
T* Scratch(ScratchUse use, size_t count) {
  return static_cast<T*>(ScratchBytes(use, count * sizeof(T)));
}

inline uint64_t CeilDiv(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_CALL_H_
