#include "tools/probe/yardstick.h"

namespace het::probe {
namespace {

constexpr char kSource[] = R"(
struct YardstickParams { uint per_item; uint begin_step; uint step; };

HET_KERNEL void read_memory(HET_BUFFER(0), HET_BUFFER(1), struct YardstickParams p) {
  HET_GLOBAL const float4* in = HET_PTR(const float4, 0);
  HET_GLOBAL float* out = HET_PTR(float, 1);
  float4 sum = het_float4(0.0f);
  ulong at = (ulong)het_global_id(0) * p.begin_step;
  for (uint i = 0; i < p.per_item; ++i, at += p.step) sum += in[at];
  out[het_global_id(0)] = sum.x + sum.y + sum.z + sum.w;
}

HET_KERNEL void multiply_add(HET_BUFFER(0), HET_BUFFER(1), struct YardstickParams p) {
  HET_GLOBAL float* out = HET_PTR(float, 1);
  float4 a = het_float4((float)het_global_id(0)), b = a + 1.0f, c = a + 2.0f, d = a + 3.0f;
  for (uint i = 0; i < p.per_item; ++i) {
    a = a * 0.999f + 0.001f;
    b = b * 0.999f + 0.001f;
    c = c * 0.999f + 0.001f;
    d = d * 0.999f + 0.001f;
  }
  const float4 sum = a + b + c + d;
  out[het_global_id(0)] = sum.x + sum.y + sum.z + sum.w;
}
)";

}  // namespace

std::string YardstickSource() { return kSource; }

}  // namespace het::probe
