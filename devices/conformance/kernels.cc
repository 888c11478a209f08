#include "devices/conformance/kernels.h"

#include <algorithm>
#include <array>

namespace het::conformance {
namespace {

#define HET_TEXT_INNER(...) #__VA_ARGS__
#define HET_TEXT(...) HET_TEXT_INNER(__VA_ARGS__)

constexpr char kStructs[] = HET_TEXT(HET_CONFORMANCE_STRUCTS);

constexpr char kPortable[] = R"CL(
HET_KERNEL void saxpy(HET_BUFFER(0), HET_BUFFER(1), struct SaxpyParams p) {
  HET_GLOBAL const float* x = HET_PTR(const float, 0);
  HET_GLOBAL float* y = HET_PTR(float, 1);
  const uint i = het_global_id(0);
  if (i < p.count) y[i] = p.a * x[i] + y[i];
}

HET_KERNEL void reduce(HET_BUFFER(0), HET_BUFFER(1), struct ReduceParams p) {
  HET_LOCAL_ARRAY float partial[64];
  HET_GLOBAL const float* in = HET_PTR(const float, 0);
  const uint item = het_local_id(0);
  const uint i = het_global_id(0);
  partial[item] = i < p.count ? in[i] : 0.0f;
  HET_BARRIER();
  for (uint step = 32; step > 0; step /= 2) {
    if (item < step) partial[item] += partial[item + step];
    HET_BARRIER();
  }
  if (item == 0) HET_PTR(float, 1)[het_group_id(0)] = partial[0];
}

HET_KERNEL void grid(HET_BUFFER(0)) {
  const uint x = het_global_id(0);
  const uint y = het_global_id(1);
  const uint z = het_global_id(2);
  const uint width = het_num_groups(0) * het_local_size(0);
  const uint height = het_num_groups(1) * het_local_size(1);
  HET_PTR(uint, 0)[(z * height + y) * width + x] = 1 + x + 100 * y + 10000 * z;
}

HET_KERNEL void step(HET_BUFFER(0), struct StepParams p) {
  HET_GLOBAL uint* x = HET_PTR(uint, 0);
  const uint i = het_global_id(0);
  if (i < p.count) x[i] = x[i] * 5 + p.add;
}

HET_KERNEL void mixed(HET_BUFFER(0), struct MixedParams p) {
  HET_GLOBAL ulong* out = HET_PTR(ulong, 0);
  out[0] = p.small;
  out[1] = p.word;
  out[2] = p.half_word;
  out[3] = p.wide;
  out[4] = (ulong)(p.real * 4.0f);
  for (int i = 0; i < 3; ++i) out[5 + i] = (ulong)(long)p.list[i];
}
)CL";

template <typename T>
T* At(const het_native_call* call, uint32_t buffer) {
  return static_cast<T*>(call->buffers[buffer]);
}
template <typename T>
const T& ParamsOf(const het_native_call* call) {
  return *static_cast<const T*>(call->params);
}

// The items along x of a one-dimensional launch that this call does, less than `count`.
std::array<uint64_t, 2> Items(const het_native_call* call, uint64_t count) {
  return {std::min<uint64_t>(count, call->group_begin * call->group_size[0]),
          std::min<uint64_t>(count, call->group_end * call->group_size[0])};
}

void Saxpy(const het_native_call* call) {
  const auto& p = ParamsOf<SaxpyParams>(call);
  const auto [begin, end] = Items(call, p.count);
  const float* x = At<const float>(call, 0);
  float* y = At<float>(call, 1);
  for (uint64_t i = begin; i < end; ++i) y[i] = p.a * x[i] + y[i];
}

void Reduce(const het_native_call* call) {
  const auto& p = ParamsOf<ReduceParams>(call);
  for (uint64_t group = call->group_begin; group < call->group_end; ++group) {
    float sum = 0;
    for (uint64_t i = group * kReduceGroup; i < (group + 1) * kReduceGroup && i < p.count; ++i) {
      sum += At<const float>(call, 0)[i];
    }
    At<float>(call, 1)[group] = sum;
  }
}

void Grid(const het_native_call* call) {
  const uint32_t* groups = call->groups;
  const uint32_t* size = call->group_size;
  const uint64_t width = uint64_t{groups[0]} * size[0];
  const uint64_t height = uint64_t{groups[1]} * size[1];
  for (uint64_t group = call->group_begin; group < call->group_end; ++group) {
    const uint64_t gx = group % groups[0];
    const uint64_t gy = group / groups[0] % groups[1];
    const uint64_t gz = group / groups[0] / groups[1];
    for (uint64_t z = gz * size[2]; z < (gz + 1) * size[2]; ++z) {
      for (uint64_t y = gy * size[1]; y < (gy + 1) * size[1]; ++y) {
        for (uint64_t x = gx * size[0]; x < (gx + 1) * size[0]; ++x) {
          At<uint32_t>(call, 0)[(z * height + y) * width + x] =
              static_cast<uint32_t>(1 + x + 100 * y + 10000 * z);
        }
      }
    }
  }
}

void Step(const het_native_call* call) {
  const auto& p = ParamsOf<StepParams>(call);
  const auto [begin, end] = Items(call, p.count);
  uint32_t* x = At<uint32_t>(call, 0);
  for (uint64_t i = begin; i < end; ++i) x[i] = x[i] * 5 + p.add;
}

void Mixed(const het_native_call* call) {
  const auto& p = ParamsOf<MixedParams>(call);
  uint64_t* out = At<uint64_t>(call, 0);
  out[0] = p.small;
  out[1] = p.word;
  out[2] = p.half_word;
  out[3] = p.wide;
  out[4] = static_cast<uint64_t>(p.real * 4.0f);
  for (int i = 0; i < 3; ++i) out[5 + i] = static_cast<uint64_t>(int64_t{p.list[i]});
}

}  // namespace

ProgramSource TestProgram() {
  ProgramSource source;
  source.name = "conformance";
  source.portable = std::string(kStructs) + kPortable;
  source.native = {
      {"saxpy", Saxpy}, {"reduce", Reduce}, {"grid", Grid}, {"step", Step}, {"mixed", Mixed}};
  return source;
}

}  // namespace het::conformance
