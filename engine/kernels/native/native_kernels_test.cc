// Every native kernel against a plain double-precision reference, on awkward shapes, cut into
// awkward pieces, on every SIMD target that this machine and the compiler have.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/formats.h"
#include "engine/kernels/reference_weights.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/targets.h"

namespace hetllm {
namespace {

using native::HalfToFloat;

het_native_fn Function(std::string_view name) {
  for (const het_native_kernel& kernel : NativeKernels()) {
    if (name == kernel.name) return kernel.function;
  }
  ADD_FAILURE() << "no kernel " << name;
  return nullptr;
}

// Launches like the CPU backend: the flattened groups cut into `pieces` calls, last piece first.
template <typename Params>
void Launch(std::string_view name, const Params& params, const Grid& grid,
            std::vector<void*> buffers, uint64_t pieces = 1) {
  alignas(16) Params aligned = params;
  const uint64_t groups = uint64_t{grid.groups[0]} * grid.groups[1] * grid.groups[2];
  pieces = std::min(pieces, groups);
  het_native_call call{};
  call.struct_size = sizeof(call);
  call.buffers = buffers.data();
  call.buffer_count = static_cast<uint32_t>(buffers.size());
  call.params = &aligned;
  call.params_bytes = sizeof(aligned);
  std::copy_n(grid.groups, 3, call.groups);
  std::copy_n(grid.group_size, 3, call.group_size);
  call.workers = static_cast<uint32_t>(pieces);
  for (uint64_t piece = pieces; piece-- > 0;) {
    call.worker = static_cast<uint32_t>(piece);
    call.group_begin = groups * piece / pieces;
    call.group_end = groups * (piece + 1) / pieces;
    Function(name)(&call);
  }
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  float Normal() { return std::normal_distribution<float>()(engine_); }
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  std::vector<float> Normals(size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = Normal();
    return values;
  }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

using reference::Format;
using reference::Weights;

const Format& FormatOf(WeightType type) {
  return *std::find_if(std::begin(reference::kFormats), std::end(reference::kFormats),
                       [&](const Format& format) { return format.type == type; });
}

Weights MakeWeights(WeightType type, size_t n_out, size_t n_in, Random& random) {
  return reference::MakeWeights(FormatOf(type), n_out * n_in, random.engine());
}

std::string MatmulName(WeightType type, bool q8) {
  return std::string("matmul_") + FormatOf(type).name + (q8 ? "_q8" : "");
}

constexpr WeightType kPlainTypes[] = {WeightType::kF32, WeightType::kF16, WeightType::kBF16};

// Every type with f32 activations, every quantised one with q8.
std::vector<std::pair<WeightType, bool>> TypesAndActivations() {
  std::vector<std::pair<WeightType, bool>> all;
  for (const Format& format : reference::kFormats) {
    all.emplace_back(format.type, false);
    if (format.elements > 1) all.emplace_back(format.type, true);
  }
  return all;
}

// n_in, as the next multiple of the type's block.
uint32_t Whole(WeightType type, uint32_t n_in) {
  const uint32_t block = FormatOf(type).elements;
  return (n_in + block - 1) / block * block;
}

// Largest |got - want| over the sum of |terms| that made it: an error bound that cancellation does
// not spoil.
struct MatmulCase {
  WeightType type;
  bool q8;
  uint32_t rows, n_in, n_out, accumulate;
  uint64_t pieces;
};

std::vector<float> RunMatmul(const MatmulCase& c, const Weights& w, const void* x,
                             const std::vector<float>& y0) {
  std::vector<float> y = y0;
  const MatmulParams params{c.rows, c.n_in, c.n_out, c.accumulate};
  const std::string name = MatmulName(c.type, c.q8);
  Launch(name, params, NativeGrid(params, name),
         {const_cast<uint8_t*>(w.bytes.data()), const_cast<void*>(x), y.data()}, c.pieces);
  return y;
}

std::vector<uint8_t> Quantize(const std::vector<float>& x, uint32_t rows, uint32_t n_in,
                              uint64_t pieces = 1) {
  std::vector<uint8_t> q(rows * Q8RowBytes(n_in));
  const QuantizeParams params{rows, n_in};
  Launch("quantize_q8", params, NativeGrid(params), {const_cast<float*>(x.data()), q.data()},
         pieces);
  return q;
}

std::vector<double> Dequantized(const std::vector<uint8_t>& q, uint32_t rows, uint32_t n_in) {
  std::vector<double> x(size_t{rows} * n_in);
  for (uint32_t r = 0; r < rows; ++r) {
    const uint8_t* row = q.data() + r * Q8RowBytes(n_in);
    for (uint32_t i = 0; i < n_in; ++i) {
      float scale;
      std::memcpy(&scale, row + i / 32 * 4, 4);
      x[size_t{r} * n_in + i] =
          static_cast<double>(scale) * static_cast<int8_t>(row[n_in / 32 * 4 + i]);
    }
  }
  return x;
}

void CheckMatmul(const MatmulCase& c) {
  SCOPED_TRACE(::testing::Message()
               << MatmulName(c.type, c.q8) << " rows " << c.rows << " n_in " << c.n_in << " n_out "
               << c.n_out << " accumulate " << c.accumulate << " pieces " << c.pieces);
  Random random(c.rows * 7919 + c.n_in * 31 + c.n_out);
  const Weights w = MakeWeights(c.type, c.n_out, c.n_in, random);
  const std::vector<float> x = random.Normals(size_t{c.rows} * c.n_in);
  std::vector<double> exact(x.begin(), x.end());
  std::vector<uint8_t> q;
  if (c.q8) {
    q = Quantize(x, c.rows, c.n_in);
    exact = Dequantized(q, c.rows, c.n_in);
  }
  const std::vector<float> y0 = random.Normals(size_t{c.rows} * c.n_out);
  const std::vector<float> y =
      RunMatmul(c, w, c.q8 ? static_cast<const void*>(q.data()) : x.data(), y0);
  double worst = 0;
  for (uint32_t r = 0; r < c.rows; ++r) {
    for (uint32_t o = 0; o < c.n_out; ++o) {
      double sum = c.accumulate ? y0[r * c.n_out + o] : 0, magnitude = std::abs(sum) + 1e-6;
      for (uint32_t i = 0; i < c.n_in; ++i) {
        const double term = exact[size_t{r} * c.n_in + i] * w.values[size_t{o} * c.n_in + i];
        sum += term;
        magnitude += std::abs(term);
      }
      const double error = std::abs(y[r * c.n_out + o] - sum) / magnitude;
      if (!(error <= worst)) worst = error;
    }
  }
  EXPECT_LT(worst, 3e-6);
}

// Runs each test body on every target.
class NativeKernels : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// The targets that this machine runs. One that was not compiled falls back to the portable one.
std::vector<int64_t> Targets() {
  std::vector<int64_t> targets;
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1)
    targets.push_back(left & -left);
  return targets;
}
INSTANTIATE_TEST_SUITE_P(Targets, NativeKernels, ::testing::ValuesIn(Targets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST_P(NativeKernels, MatmulAgreesWithDoubleForEveryTypeAndShape) {
  for (const auto& [type, q8] : TypesAndActivations()) {
    const auto check = [type = type, q8 = q8](uint32_t rows, uint32_t n_in, uint32_t n_out,
                                              uint32_t accumulate, uint64_t pieces) {
      CheckMatmul({type, q8, rows, Whole(type, n_in), n_out, accumulate, pieces});
    };
    for (const uint32_t rows : {1u, 2u, 3u, 7u, 8u, 16u, 33u, 70u}) {
      check(rows, 64, 107, 0, 5);
      check(rows, 352, 65, 1, 3);
      check(rows, 32, 1, 0, 1);
    }
    check(1, 5632, 16, 0, 1);
    check(5, 2720, 19, 1, 2);
    check(130, 1056, 130, 0, 7);
  }
}

TEST_P(NativeKernels, MatmulTakesAnyLengthOfPlainRows) {
  for (const WeightType type : kPlainTypes) {
    for (const uint32_t n_in : {1u, 3u, 17u, 31u, 37u, 515u, 1031u}) {
      for (const uint32_t rows : {1u, 2u, 6u, 40u})
        CheckMatmul({type, false, rows, n_in, 21, rows % 2, 2});
    }
  }
}

// From 16 KiB of x on, six weight rows share it.
TEST_P(NativeKernels, MatmulOfLongRowsIsExactAndDoesNotDependOnTheCut) {
  for (const WeightType type : kPlainTypes) {
    const uint32_t n_in = 4113, n_out = 53;
    CheckMatmul({type, false, 1, n_in, n_out, 1, 2});
    Random random(7);
    const Weights w = MakeWeights(type, n_out, n_in, random);
    const std::vector<float> x = random.Normals(n_in), y0(n_out, 1.0f);
    const std::vector<float> whole =
        RunMatmul({type, false, 1, n_in, n_out, 1, 1}, w, x.data(), y0);
    for (const uint64_t pieces : {2u, 3u, 1000u})
      EXPECT_EQ(whole, RunMatmul({type, false, 1, n_in, n_out, 1, pieces}, w, x.data(), y0));
  }
}

TEST_P(NativeKernels, MatmulWithHalvesKeepsTenBitsAtAnyMagnitude) {
  for (const WeightType type : {WeightType::kF16, WeightType::kBF16}) {
    for (const uint32_t n_in : {1u, 8u, 77u, 2048u, 5637u}) {
      for (const float magnitude : {0.0f, 1.0f, 1e6f, 1e30f, 1e-30f}) {
        Random random(n_in);
        const uint32_t n_out = 35;
        const Weights w = MakeWeights(type, n_out, n_in, random);
        std::vector<float> x = random.Normals(n_in);
        for (float& value : x) value *= magnitude;
        const MatmulParams params{1, n_in, n_out, 0};
        const std::string name = MatmulName(type, false) + "_half";
        const auto run = [&](uint64_t pieces) {
          std::vector<float> y(n_out);
          Launch(name, params, NativeGrid(params, name),
                 {const_cast<uint8_t*>(w.bytes.data()), x.data(), y.data()}, pieces);
          return y;
        };
        const std::vector<float> y = run(1);
        EXPECT_EQ(y, run(1000));
        double error = 0, norm = 1e-45;
        for (uint32_t o = 0; o < n_out; ++o) {
          double sum = 0, terms = 0;
          for (uint32_t i = 0; i < n_in; ++i) {
            const double term = double{x[i]} * w.values[size_t{o} * n_in + i];
            sum += term;
            terms += std::abs(term);
          }
          error = std::max(error, std::abs(y[o] - sum));
          norm = std::max(norm, terms);
        }
        EXPECT_LE(error, norm / 1024) << name << " n_in " << n_in << " magnitude " << magnitude;
      }
    }
  }
}

TEST_P(NativeKernels, MatmulDoesNotDependOnTheCut) {
  for (const auto& [type, q8] : TypesAndActivations()) {
    for (const uint32_t rows : {1u, 4u, 100u}) {
      const uint32_t n_in = Whole(type, 608), n_out = 207;
      Random random(rows);
      const Weights w = MakeWeights(type, n_out, n_in, random);
      const std::vector<float> x = random.Normals(size_t{rows} * n_in),
                               y0(size_t{rows} * n_out, 1.0f);
      const std::vector<uint8_t> q = Quantize(x, rows, n_in);
      const void* input = q8 ? static_cast<const void*>(q.data()) : x.data();
      const std::vector<float> whole = RunMatmul({type, q8, rows, n_in, n_out, 1, 1}, w, input, y0);
      for (const uint64_t pieces : {2u, 3u, 1000u}) {
        EXPECT_EQ(whole, RunMatmul({type, q8, rows, n_in, n_out, 1, pieces}, w, input, y0))
            << MatmulName(type, q8) << " rows " << rows << " pieces " << pieces;
      }
    }
  }
}

// A row's result does not depend on the other rows of the call, within each form.
TEST_P(NativeKernels, MatmulRowsAreIndependent) {
  for (const Format& format : reference::kFormats) {
    const WeightType type = format.type;
    const uint32_t n_in = Whole(type, 320), n_out = 40;
    Random random(5);
    const Weights w = MakeWeights(type, n_out, n_in, random);
    const std::vector<float> x = random.Normals(size_t{200} * n_in);
    for (const auto& [few, many] : {std::pair<uint32_t, uint32_t>{2, 7}, {64, 200}}) {
      const std::vector<float> a = RunMatmul({type, false, few, n_in, n_out, 0, 1}, w, x.data(),
                                             std::vector<float>(few * n_out));
      const std::vector<float> b = RunMatmul({type, false, many, n_in, n_out, 0, 1}, w, x.data(),
                                             std::vector<float>(many * n_out));
      EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()))
          << MatmulName(type, false) << few << " of " << many;
    }
  }
}

TEST_P(NativeKernels, QuantizeRoundsToNearestOfTheBlockScale) {
  const uint32_t rows = 5, n_in = 96;
  Random random(1);
  std::vector<float> x = random.Normals(rows * n_in);
  std::fill_n(x.begin() + 32, 32, 0.0f);    // a block of zeros
  std::fill_n(x.begin() + 64, 32, 1e-42f);  // and one of almost nothing
  for (const uint64_t pieces : {1u, 3u}) {
    const std::vector<uint8_t> q = Quantize(x, rows, n_in, pieces);
    const std::vector<double> back = Dequantized(q, rows, n_in);
    for (uint32_t block = 0; block < rows * n_in / 32; ++block) {
      double amax = 0;
      for (uint32_t i = 0; i < 32; ++i) amax = std::max<double>(amax, std::abs(x[block * 32 + i]));
      for (uint32_t i = 0; i < 32; ++i) {
        EXPECT_NEAR(back[block * 32 + i], x[block * 32 + i], amax / 127 * 0.501 + 1e-40);
      }
    }
  }
}

TEST_P(NativeKernels, RmsNormAndSiluMulIn8BitsAreTheTwoStepsInOne) {
  for (const auto& [rows, n_in] : {std::pair<uint32_t, uint32_t>{1, 32}, {3, 96}, {2, 2080}}) {
    const size_t count = size_t{rows} * n_in;
    Random random(n_in);
    std::vector<float> x = random.Normals(count), gate = random.Normals(count),
                       up = random.Normals(count), weight = random.Normals(n_in), f32(count);
    for (size_t i = 0; i < 32; ++i) x[i] = up[i] = 0;  // a block of zeros
    gate[count - 1] = -200;
    const RmsNormParams norm{rows, n_in, 1e-5f};
    const SiluMulQ8Params silu{rows, n_in};
    const ElementwiseParams silu_f32{static_cast<uint32_t>(count)};
    for (const uint64_t pieces : {1u, 2u, 1000u}) {
      std::vector<uint8_t> normed(rows * Q8RowBytes(n_in)), gated = normed;
      Launch("rmsnorm_q8", norm, NativeGrid(norm), {x.data(), weight.data(), normed.data()},
             pieces);
      Launch("rmsnorm", norm, NativeGrid(norm), {x.data(), weight.data(), f32.data()});
      EXPECT_EQ(normed, Quantize(f32, rows, n_in));
      Launch("silu_mul_q8", silu, NativeGrid(silu), {gate.data(), up.data(), gated.data()}, pieces);
      Launch("silu_mul", silu_f32, NativeGrid(silu_f32), {gate.data(), up.data(), f32.data()});
      EXPECT_EQ(gated, Quantize(f32, rows, n_in));

      const std::vector<double> norms = Dequantized(normed, rows, n_in),
                                products = Dequantized(gated, rows, n_in);
      for (uint32_t r = 0; r < rows; ++r) {
        double squares = 0;
        for (uint32_t i = 0; i < n_in; ++i) squares += double{x[r * n_in + i]} * x[r * n_in + i];
        for (uint32_t block = 0; block < n_in; block += 32) {
          double want_norm[32], want_product[32], most_norm = 0, most_product = 0;
          for (uint32_t i = 0; i < 32; ++i) {
            const size_t at = size_t{r} * n_in + block + i;
            want_norm[i] = x[at] / std::sqrt(squares / n_in + 1e-5f) * weight[block + i];
            want_product[i] = gate[at] / (1.0 + std::exp(-double{gate[at]})) * up[at];
            most_norm = std::max(most_norm, std::abs(want_norm[i]));
            most_product = std::max(most_product, std::abs(want_product[i]));
          }
          for (uint32_t i = 0; i < 32; ++i) {
            const size_t at = size_t{r} * n_in + block + i;
            ASSERT_NEAR(norms[at], want_norm[i], most_norm / 127 * 0.501) << "element " << at;
            ASSERT_NEAR(products[at], want_product[i], most_product / 127 * 0.501)
                << "element " << at;
          }
        }
      }
    }
  }
}

TEST_P(NativeKernels, GetRowsGivesZerosForUnknownIds) {
  for (const Format& format : reference::kFormats) {
    const WeightType type = format.type;
    const std::string name = std::string("get_rows_") + format.name;
    const uint32_t cols = format.elements == 1 ? 77 : Whole(type, 96), table_rows = 9;
    Random random(2);
    const Weights table = MakeWeights(type, table_rows, cols, random);
    std::vector<int32_t> ids = {
        3, -1, 8, 9, 0, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min(),
        3};
    std::vector<float> y(ids.size() * cols, 42.0f);
    const GetRowsParams params{static_cast<uint32_t>(ids.size()), cols, table_rows};
    Launch(name, params, NativeGrid(params),
           {const_cast<uint8_t*>(table.bytes.data()), ids.data(), y.data()}, 3);
    for (size_t r = 0; r < ids.size(); ++r) {
      for (uint32_t i = 0; i < cols; ++i) {
        const bool known = ids[r] >= 0 && ids[r] < 9;
        const double want = known ? table.values[static_cast<size_t>(ids[r]) * cols + i] : 0.0;
        ASSERT_NEAR(y[r * cols + i], want, 1e-6 * std::max(1.0, std::abs(want)))
            << name << " row " << r << " col " << i;
      }
    }
  }
}

TEST_P(NativeKernels, RmsNormAgreesWithDouble) {
  for (const uint32_t cols : {1u, 7u, 64u, 515u}) {
    const uint32_t rows = 5;
    Random random(cols);
    std::vector<float> x = random.Normals(rows * cols), weight = random.Normals(cols),
                       y(rows * cols);
    const RmsNormParams params{rows, cols, 1e-5f};
    Launch("rmsnorm", params, NativeGrid(params), {x.data(), weight.data(), y.data()}, 2);
    for (uint32_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (uint32_t i = 0; i < cols; ++i) sum += double{x[r * cols + i]} * x[r * cols + i];
      for (uint32_t i = 0; i < cols; ++i) {
        const double want = x[r * cols + i] / std::sqrt(sum / cols + 1e-5f) * weight[i];
        EXPECT_NEAR(y[r * cols + i], want, 2e-6 * std::abs(want) + 1e-12);
      }
    }
  }
}

TEST_P(NativeKernels, RopeRotatesByExactAnglesAtLargePositions) {
  for (const uint32_t pairing : {0u, 1u}) {
    for (const auto& [head_dim, rope_dim] :
         {std::pair<uint32_t, uint32_t>{64, 64}, {80, 32}, {6, 6}, {64, 26}}) {
      const uint32_t rows = 4, heads = 3;
      std::vector<int32_t> positions = {0, 131071, 7, 131071 - 64};
      Random random(head_dim + pairing);
      std::vector<float> x = random.Normals(rows * heads * head_dim), before = x;
      const RopeParams params{rows, heads, head_dim, rope_dim, pairing, 1.25f};
      std::vector<float> frequencies;
      for (uint32_t i = 0; i < rope_dim / 2; ++i) {
        const double frequency = std::pow(10000.0, -2.0 * i / rope_dim);
        frequencies.push_back(static_cast<float>(frequency));
        frequencies.push_back(static_cast<float>(frequency - frequencies.back()));
      }
      Launch("rope", params, NativeGrid(params), {x.data(), positions.data(), frequencies.data()},
             3);
      for (uint32_t r = 0; r < rows; ++r) {
        for (uint32_t h = 0; h < heads; ++h) {
          const size_t head = (size_t{r} * heads + h) * head_dim;
          std::vector<double> want(before.begin() + head, before.begin() + head + head_dim);
          for (uint32_t i = 0; i < rope_dim / 2; ++i) {
            const size_t at = pairing == 0 ? 2 * i : i,
                         other = pairing == 0 ? 2 * i + 1 : i + rope_dim / 2;
            const double angle = positions[r] * std::pow(10000.0, -2.0 * i / rope_dim);
            const double a = before[head + at], b = before[head + other];
            want[at] = 1.25 * (a * std::cos(angle) - b * std::sin(angle));
            want[other] = 1.25 * (a * std::sin(angle) + b * std::cos(angle));
          }
          for (uint32_t i = 0; i < head_dim; ++i)
            ASSERT_NEAR(x[head + i], want[i], 2e-6) << "row " << r << " i " << i;
        }
      }
    }
  }
}

TEST_P(NativeKernels, KvAppendWritesItsRowsAndDropsWhatIsOutside) {
  const uint32_t rows = 5, kv_dim = 12, context = 4, slot_count = 3;
  Random random(3);
  std::vector<float> k = random.Normals(rows * kv_dim), v = random.Normals(rows * kv_dim);
  std::vector<float> k_cache(slot_count * context * kv_dim, -5.0f),
      v_cache = k_cache, want_k = k_cache, want_v = v_cache;
  std::vector<int32_t> positions = {0, 3, 4, -1, 2}, slots = {2, 0, 1, 1, -1};
  for (const uint32_t r : {0u, 1u}) {
    const size_t at =
        (static_cast<size_t>(slots[r]) * context + static_cast<size_t>(positions[r])) * kv_dim;
    std::copy_n(k.begin() + r * kv_dim, kv_dim, want_k.begin() + at);
    std::copy_n(v.begin() + r * kv_dim, kv_dim, want_v.begin() + at);
  }
  const KvAppendParams params{rows, kv_dim, context};
  Launch("kv_append", params, NativeGrid(params),
         {k.data(), v.data(), positions.data(), slots.data(), k_cache.data(), v_cache.data()}, 2);
  EXPECT_EQ(k_cache, want_k);
  EXPECT_EQ(v_cache, want_v);
}

struct AttentionCase {
  uint32_t rows, heads, kv_heads, head_dim, context;
  std::vector<int32_t> positions, slots;
  uint32_t window = 0;
};

void CheckAttention(const AttentionCase& c, float sharpness) {
  SCOPED_TRACE(::testing::Message() << "rows " << c.rows << " heads " << c.heads << "/"
                                    << c.kv_heads << " of " << c.head_dim);
  const uint32_t slot_count =
      static_cast<uint32_t>(*std::max_element(c.slots.begin(), c.slots.end())) + 1;
  const size_t kv_dim = size_t{c.kv_heads} * c.head_dim;
  Random random(c.rows + c.head_dim);
  std::vector<float> q = random.Normals(size_t{c.rows} * c.heads * c.head_dim);
  for (float& value : q) value *= sharpness;
  // What no row may read is not a number.
  std::vector<float> k(slot_count * c.context * kv_dim, std::nanf("")), v = k;
  for (uint32_t r = 0; r < c.rows; ++r) {
    for (size_t i = 0;
         i < (static_cast<size_t>(std::min<int64_t>(c.positions[r], c.context - 1)) + 1) * kv_dim;
         ++i) {
      const size_t at = static_cast<size_t>(c.slots[r]) * c.context * kv_dim + i;
      if (std::isnan(k[at])) k[at] = random.Normal(), v[at] = random.Normal();
    }
  }
  std::vector<float> y(q.size(), -1.0f);
  std::vector<int32_t> positions = c.positions, slots = c.slots;
  const AttentionParams params{c.rows,
                               c.heads,
                               c.kv_heads,
                               c.head_dim,
                               c.context,
                               c.window,
                               1.0f / std::sqrt(static_cast<float>(c.head_dim))};
  std::vector<void*> buffers = {q.data(),         k.data(),     v.data(),
                                positions.data(), slots.data(), y.data()};
  Launch("attention", params, NativeGrid(params), buffers, 3);
  for (uint32_t r = 0; r < c.rows; ++r) {
    for (uint32_t h = 0; h < c.heads; ++h) {
      const float* query = q.data() + (size_t{r} * c.heads + h) * c.head_dim;
      const size_t head = h / (c.heads / c.kv_heads) * c.head_dim;
      const size_t slot = static_cast<size_t>(c.slots[r]) * c.context * kv_dim;
      const size_t keys = static_cast<size_t>(std::min<int64_t>(c.positions[r], c.context - 1) + 1);
      const size_t first = c.window != 0 && keys > c.window ? keys - c.window : 0;
      std::vector<double> weights(keys, -HUGE_VAL);
      double largest = -1e300, total = 0;
      for (size_t t = first; t < keys; ++t) {
        weights[t] = 0;
        for (uint32_t i = 0; i < c.head_dim; ++i)
          weights[t] += double{query[i]} * k[slot + t * kv_dim + head + i];
        weights[t] *= params.scale;
        largest = std::max(largest, weights[t]);
      }
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (uint32_t i = 0; i < c.head_dim; ++i) {
        double want = 0;
        for (size_t t = 0; t < keys; ++t)
          want += weights[t] / total * v[slot + t * kv_dim + head + i];
        ASSERT_NEAR(y[(size_t{r} * c.heads + h) * c.head_dim + i], want,
                    3e-6 * std::max(1.0f, sharpness))
            << "row " << r << " head " << h << " i " << i;
      }
    }
  }
  std::vector<float> again(y.size());
  buffers[5] = again.data();
  Launch("attention", params, NativeGrid(params), buffers, 1);
  EXPECT_EQ(y, again);
}

TEST_P(NativeKernels, AttentionAgreesWithDoubleInDecodeAndPrefill) {
  CheckAttention({1, 8, 2, 64, 200, {150}, {0}}, 1);
  CheckAttention({1, 32, 4, 64, 40, {0}, {1}}, 1);
  CheckAttention({5, 6, 2, 80, 70, {69, 0, 31, 32, 33}, {2, 1, 0, 2, 3}},
                 1);                                                // a batch of sequences
  CheckAttention({3, 3, 3, 5, 300, {299, 63, 64}, {0, 0, 1}}, 30);  // odd head_dim, sharp softmax
  AttentionCase prefill{45, 6, 2, 24, 64, {}, {}};  // a whole prompt and some decodes
  for (int32_t r = 0; r < 40; ++r) prefill.positions.push_back(r + 3), prefill.slots.push_back(1);
  for (int32_t r = 0; r < 5; ++r)
    prefill.positions.push_back(10 * r), prefill.slots.push_back(r % 3);
  CheckAttention(prefill, 1);
}

TEST_P(NativeKernels, AttentionSeesOnlyItsWindow) {
  for (const uint32_t window : {1u, 31u, 32u, 33u, 100u}) {
    AttentionCase c{40, 4, 2, 24, 160, {}, {}};
    c.window = window;
    for (int32_t r = 0; r < 40; ++r) c.positions.push_back(r * 4), c.slots.push_back(0);
    CheckAttention(c, 1);
    CheckAttention({1, 4, 2, 24, 160, {150}, {0}, window}, 1);
  }
}

TEST_P(NativeKernels, AttentionStaysInsideTheContext) {
  CheckAttention({2, 4, 2, 16, 33, {1 << 30, 32}, {0, 1}}, 1);
  const AttentionParams params{1, 2, 1, 16, 8, 0, 0.25f};
  std::vector<float> q(32, 1.0f), y(32, 7.0f);
  int32_t position = -1, slot = 0;
  std::vector<float> k(8 * 16, std::nanf("")), v = k;
  Launch("attention", params, NativeGrid(params),
         {q.data(), k.data(), v.data(), &position, &slot, y.data()});
  EXPECT_THAT(y, ::testing::Each(0.0f));
}

TEST_P(NativeKernels, SiluMulIsExactToTheFloatForLargeAndSmallInputs) {
  for (const uint32_t count : {1u, 13u, 1024u, 5000u}) {
    Random random(count);
    std::vector<float> gate = random.Normals(count), up = random.Normals(count), y(count);
    for (uint32_t i = 0; i < count; ++i) gate[i] *= i % 3 == 0 ? 30.0f : 1.0f;
    gate[0] = -200.0f;  // exp overflows: the result is a tiny number, never NaN
    if (count > 2) gate[1] = 200.0f, gate[2] = 0.0f;
    const ElementwiseParams params{count};
    Launch("silu_mul", params, NativeGrid(params), {gate.data(), up.data(), y.data()}, 3);
    for (uint32_t i = 0; i < count; ++i) {
      const double want = gate[i] / (1.0 + std::exp(-double{gate[i]})) * up[i];
      ASSERT_NEAR(y[i], want, 1e-6 * std::abs(want) + 1e-30) << "gate " << gate[i];
    }
    std::vector<float> in_place = gate;
    Launch("silu_mul", params, NativeGrid(params), {in_place.data(), up.data(), in_place.data()},
           2);
    EXPECT_EQ(in_place, y);
  }
}

TEST_P(NativeKernels, AddAddsInPlaceToo) {
  for (const uint32_t count : {1u, 1023u, 4099u}) {
    Random random(count);
    std::vector<float> a = random.Normals(count), b = random.Normals(count), want(count);
    for (uint32_t i = 0; i < count; ++i) want[i] = a[i] + b[i];
    const ElementwiseParams params{count};
    Launch("add", params, NativeGrid(params), {a.data(), b.data(), a.data()}, 3);
    EXPECT_EQ(a, want);
  }
}

TEST_P(NativeKernels, AddBiasAddsToEveryRow) {
  for (const uint32_t cols : {1u, 37u, 512u}) {
    Random random(cols);
    std::vector<float> y = random.Normals(5 * cols), bias = random.Normals(cols), want = y;
    for (uint32_t i = 0; i < 5 * cols; ++i) want[i] += bias[i % cols];
    const AddBiasParams params{5, cols};
    Launch("add_bias", params, NativeGrid(params), {y.data(), bias.data()}, 3);
    EXPECT_EQ(y, want);
  }
}

TEST_P(NativeKernels, ArgmaxTakesTheFirstOfTheLargest) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const uint32_t cols : {1u, 5u, 64u, 1003u}) {
    Random random(cols);
    const uint32_t rows = 6;
    std::vector<float> x = random.Normals(rows * cols);
    for (uint32_t i = 0; i < cols; ++i) x[i] = -inf, x[cols + i] = -3.0f;
    x[2 * cols + cols / 2] = x[2 * cols + cols - 1] = 100.0f;
    x[3 * cols + cols - 1] = inf;
    x[4 * cols] = std::nanf("");
    std::vector<int32_t> ids(rows, -1);
    const ArgmaxParams params{rows, cols};
    Launch("argmax", params, NativeGrid(params), {x.data(), ids.data()}, 2);
    for (uint32_t r = 0; r < rows; ++r) {
      uint32_t want = 0;
      for (uint32_t i = 1; i < cols; ++i) {
        if (x[r * cols + i] > x[r * cols + want] || std::isnan(x[r * cols + want])) want = i;
      }
      if (cols == 1) want = 0;
      EXPECT_EQ(ids[r], static_cast<int32_t>(want)) << "row " << r << " of " << cols;
    }
  }
}

TEST(NativeGrids, NothingToDoIsOneGroupThatDoesNothing) {
  for (const het_native_kernel& kernel : ::hetllm::NativeKernels()) {
    const std::string name = kernel.name;
    if (name.starts_with("matmul")) {
      for (const MatmulParams params : {MatmulParams{0, 256, 8, 0}, MatmulParams{1, 256, 0, 0}}) {
        const Grid grid = NativeGrid(params, name);
        EXPECT_EQ(grid.groups[0] * grid.groups[1] * grid.groups[2], 1u);
        Launch(name, params, grid, {nullptr, nullptr, nullptr});
      }
    }
  }
  const ElementwiseParams none{0};
  Launch("add", none, NativeGrid(none), {nullptr, nullptr, nullptr});
  Launch("silu_mul", none, NativeGrid(none), {nullptr, nullptr, nullptr});
}

TEST(NativeGrids, HalvesAreConvertedExactly) {
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0f);
  EXPECT_EQ(HalfToFloat(0xc000), -2.0f);
  EXPECT_EQ(HalfToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0x83ff), -0x1.ff8p-15f);
  EXPECT_EQ(HalfToFloat(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(HalfToFloat(0x7e00)));
}

}  // namespace
}  // namespace hetllm
