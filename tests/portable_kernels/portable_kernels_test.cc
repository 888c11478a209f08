// Every portable kernel against a plain double-precision reference, on awkward and random shapes:
// on PoCL with the bodies for wide items and for lanes, on rusticl, and on the devices of cuda, hip
// and level_zero (soft ones in CI). Each variant is a ctest entry of its own, which chooses it by
// --gtest_filter and its drivers by environment. With --performance the kernels are timed instead
// (performance.h).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/registry.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/reference_weights.h"
#include "tests/portable_kernels/performance.h"

namespace hetllm {
namespace {

struct Variant {
  const char* name;
  const char* backend;
  const char* platform;  // of OpenCL; "": the backend's first usable device
  const char* options;
};

constexpr Variant kVariants[] = {
    {"pocl_wide", "opencl", "Portable Computing Language", ""},
    {"pocl_lanes", "opencl", "Portable Computing Language", "-DHET_WIDE_ITEMS=0"},
    {"rusticl", "opencl", "rusticl", ""},
    {"cuda", "cuda", "", ""},
    {"hip", "hip", "", ""},
    {"level_zero", "level_zero", "", ""},
};

// One opened device with the program, for all tests of a variant: building takes seconds.
class Machine {
 public:
  static Machine& Of(const Variant& variant) {
    static std::map<std::string, std::unique_ptr<Machine>> machines;
    std::unique_ptr<Machine>& machine = machines[variant.name];
    if (machine == nullptr) machine = std::make_unique<Machine>(variant);
    return *machine;
  }

  explicit Machine(const Variant& variant) {
    auto driver = het::CreateDriver(variant.backend);
    if (!driver.ok()) GiveUp(driver.status());
    driver_ = *std::move(driver);
    const std::vector<het::DeviceInfo> infos = *driver_->Enumerate();
    for (const het::DeviceInfo& info : infos) {
      if (info.state != het::DeviceState::kOk || device_ != nullptr) continue;
      if (*variant.platform != 0 && info.attributes.at("platform") != variant.platform) continue;
      auto device = driver_->Open(info.uuid, {});
      if (!device.ok()) GiveUp(device.status());
      device_ = *std::move(device);
      std::printf("%s runs on %s\n", variant.name, info.name.c_str());
    }
    if (device_ == nullptr) {
      GiveUp(absl::NotFoundError(
          absl::StrCat("no usable device of ", variant.backend, " ", variant.platform)));
    }
    auto program = device_->Build({.name = "hetllm",
                                   .portable = std::string(PortableSource()),
                                   .options = variant.options,
                                   .native = {}});
    if (!program.ok()) GiveUp(program.status());
    program_ = *std::move(program);
    queue_ = *device_->CreateQueue(het::QueueKind::kCompute);
    done_ = *device_->CreateTimeline();
  }

  // Runs one kernel over copies of `buffers` (at odd offsets) and gives back the last one.
  template <typename Params>
  std::vector<uint8_t> Run(const char* kernel, const Grid& grid, const Params& params,
                           const std::vector<std::vector<uint8_t>>& buffers, size_t result) {
    constexpr uint64_t kOffset = 64;
    std::vector<het::Ref<het::Buffer>> memory;
    std::vector<het::BufferArg> arguments;
    for (const std::vector<uint8_t>& buffer : buffers) {
      memory.push_back(*device_->Allocate(buffer.size() + 2 * kOffset));
      EXPECT_TRUE(queue_->Fill(*memory.back(), 0, memory.back()->bytes(), 0xEE).ok());
      EXPECT_TRUE(queue_->Write(buffer.data(), *memory.back(), kOffset, buffer.size()).ok());
      arguments.push_back({memory.back().get(), kOffset});
    }
    het::Launch launch;
    launch.kernel = *program_->GetKernel(kernel);
    std::copy_n(grid.groups, 3, launch.groups);
    std::copy_n(grid.group_size, 3, launch.group_size);
    launch.buffers = arguments;
    launch.params = {reinterpret_cast<const std::byte*>(&params), sizeof(params)};
    const absl::Status submitted = queue_->Submit(launch);
    EXPECT_TRUE(submitted.ok()) << submitted;
    std::vector<uint8_t> back(memory[result]->bytes());
    EXPECT_TRUE(
        queue_->Read(*memory[result], 0, back.data(), back.size(), {{}, {done_, ++value_}}).ok());
    EXPECT_TRUE(done_->Wait(value_, absl::Seconds(60)).ok());
    for (uint64_t i = 0; i < kOffset; ++i) {
      EXPECT_EQ(back[i], 0xEE) << kernel << " wrote before its buffer";
      EXPECT_EQ(back[back.size() - 1 - i], 0xEE) << kernel << " wrote behind its buffer";
    }
    return std::vector<uint8_t>(back.begin() + kOffset, back.end() - kOffset);
  }

  het::Device& device() { return *device_; }
  const het::Program& program() const { return *program_; }

 private:
  [[noreturn]] static void GiveUp(const absl::Status& why) {
    std::printf("no tests were run: %s\n", why.ToString().c_str());
    std::exit(1);
  }

  std::unique_ptr<het::Driver> driver_;
  std::unique_ptr<het::Device> device_;
  het::Ref<het::Program> program_;
  std::unique_ptr<het::Queue> queue_;
  het::Ref<het::Timeline> done_;
  uint64_t value_ = 0;
};

template <typename T>
std::vector<uint8_t> Bytes(const std::vector<T>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}
template <typename T>
std::vector<T> Values(const std::vector<uint8_t>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

using reference::Format;
using reference::Weights;

class PortableKernels : public testing::TestWithParam<Variant> {
 protected:
  std::vector<float> Normals(size_t count) {
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    return values;
  }
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  Weights MakeWeights(const Format& format, size_t count) {
    return reference::MakeWeights(format, count, random_);
  }

  // Which of the kernels that not every form has are the device's.
  bool Has(const std::string& kernel) { return machine().program().GetKernel(kernel).ok(); }

  Machine& machine() { return Machine::Of(GetParam()); }

  std::mt19937 random_{7};
};

INSTANTIATE_TEST_SUITE_P(All, PortableKernels, testing::ValuesIn(kVariants),
                         [](const auto& info) { return info.param.name; });

// Every element of got within `tolerance` of want, relative to `scale` (the size of the terms that
// made it).
void ExpectNear(const std::vector<float>& got, const std::vector<double>& want,
                const std::vector<double>& scale, double tolerance, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - want[i]), tolerance * scale[i])
        << what << ", element " << i << ": " << got[i] << " for " << want[i];
  }
}

struct Shape {
  uint32_t rows, n_in, n_out;
};

TEST_P(PortableKernels, Matmul) {
  for (const Format& format : reference::kFormats) {
    std::vector<Shape> shapes = {{1, 64, 1},   {1, 2048, 70}, {2, 96, 33},     {5, 544, 37},
                                 {8, 32, 100}, {9, 96, 67},   {12, 1056, 130}, {131, 64, 65}};
    if (format.elements == 256) {
      shapes = {{1, 256, 1},  {1, 2048, 70}, {5, 512, 37},
                {8, 256, 40}, {9, 768, 67},  {131, 256, 65}};
    } else if (format.elements == 1) {
      shapes.insert(shapes.end(), {{1, 7, 3}, {3, 33, 5}, {10, 45, 9}, {11, 515, 4}});
    }
    for (int i = 0; i < 4; ++i) {  // whatever else there may be
      const auto step = static_cast<int>(format.elements);
      shapes.push_back({static_cast<uint32_t>(Int(1, 20)),
                        static_cast<uint32_t>(step * Int(1, std::max(2, 700 / step))),
                        static_cast<uint32_t>(Int(1, 90))});
    }
    for (const Shape& shape : shapes) {
      for (const uint32_t accumulate : {0u, 1u}) {
        const Weights w = MakeWeights(format, size_t{shape.n_out} * shape.n_in);
        const std::vector<float> x = Normals(size_t{shape.rows} * shape.n_in);
        const std::vector<float> y = Normals(size_t{shape.rows} * shape.n_out);
        std::vector<double> want(y.size()), scale(y.size());
        for (size_t r = 0; r < shape.rows; ++r) {
          for (size_t o = 0; o < shape.n_out; ++o) {
            double sum = accumulate != 0 ? y[r * shape.n_out + o] : 0, size = std::abs(sum);
            for (size_t k = 0; k < shape.n_in; ++k) {
              const double term = w.values[o * shape.n_in + k] * x[r * shape.n_in + k];
              sum += term;
              size += std::abs(term);
            }
            want[r * shape.n_out + o] = sum;
            scale[r * shape.n_out + o] = size;
          }
        }
        const MatmulParams params{shape.rows, shape.n_in, shape.n_out, accumulate};
        for (const char* prefix : {"matmul_", "matvec_"}) {
          const std::string kernel = absl::StrCat(prefix, format.name);
          if (!Has(kernel)) continue;
          const std::vector<uint8_t> out =
              machine().Run(kernel.c_str(), PortableGrid(params, kernel), params,
                            {w.bytes, Bytes(x), Bytes(y)}, 2);
          ExpectNear(Values<float>(out), want, scale, 2e-6,
                     absl::StrCat(kernel, " of ", shape.rows, " rows, ", shape.n_in, " in, ",
                                  shape.n_out, " out"));
        }
      }
    }
  }
}

// Rows in 8 bits, as numbers; and half a unit of each.
struct FromQ8 {
  FromQ8(const std::vector<uint8_t>& q8, size_t n_in) {
    for (size_t row = 0; row + Q8RowBytes(n_in) <= q8.size(); row += Q8RowBytes(n_in)) {
      for (size_t i = 0; i < n_in; ++i) {
        float scale;
        std::memcpy(&scale, q8.data() + row + i / 32 * 4, 4);
        values.push_back(double{scale} * static_cast<int8_t>(q8[row + n_in / 32 * 4 + i]));
        halves.push_back(scale / 2);
      }
    }
  }
  std::vector<double> values, halves;
};

TEST_P(PortableKernels, QuantizeAndMatmulQ8) {
  for (const Format& format : reference::kFormats) {
    if (format.elements == 1) continue;
    const uint32_t block = std::max(64u, format.elements);
    for (const Shape& shape :
         {Shape{1, block, 3}, Shape{3, 2048, 70}, Shape{9, 3 * format.elements, 33},
          Shape{133, block, 34}, Shape{5, 65 * 256, 3}}) {
      const Weights w = MakeWeights(format, size_t{shape.n_out} * shape.n_in);
      std::vector<float> x = Normals(size_t{shape.rows} * shape.n_in);
      std::fill_n(x.begin(), 32, 0.0f);  // a block of zeros
      const QuantizeParams quantize{shape.rows, shape.n_in};
      const std::vector<uint8_t> q8 =
          machine().Run("quantize_q8", PortableGrid(quantize), quantize,
                        {Bytes(x), std::vector<uint8_t>(Q8RowBytes(shape.n_in) * shape.rows)}, 1);
      const FromQ8 meant(q8, shape.n_in);
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(meant.values[i], x[i], 1.0002 * meant.halves[i]) << "element " << i;
      const std::vector<float> y = Normals(size_t{shape.rows} * shape.n_out);
      std::vector<double> want(y.begin(), y.end()), scale(y.size(), 1);
      for (size_t r = 0; r < shape.rows; ++r) {
        for (size_t o = 0; o < shape.n_out; ++o) {
          for (size_t k = 0; k < shape.n_in; ++k) {
            const double term = w.values[o * shape.n_in + k] * meant.values[r * shape.n_in + k];
            want[r * shape.n_out + o] += term;
            scale[r * shape.n_out + o] += std::abs(term);
          }
        }
      }
      const std::string of_lanes = absl::StrCat("matvec_", format.name, "_q8");
      const std::string kernel =
          Has(of_lanes) ? of_lanes : absl::StrCat("matmul_", format.name, "_q8");
      const MatmulParams params{shape.rows, shape.n_in, shape.n_out, 1};
      const std::vector<uint8_t> out = machine().Run(kernel.c_str(), PortableGrid(params, kernel),
                                                     params, {w.bytes, q8, Bytes(y)}, 2);
      ExpectNear(Values<float>(out), want, scale, 2e-6, kernel);
    }
  }
}

TEST_P(PortableKernels, RmsNormAndSiluMulIn8BitsAreTheTwoStepsInOne) {
  const auto quantised = [&](const std::vector<uint8_t>& x, uint32_t rows, uint32_t n_in) {
    const QuantizeParams params{rows, n_in};
    return machine().Run("quantize_q8", PortableGrid(params), params,
                         {x, std::vector<uint8_t>(rows * Q8RowBytes(n_in))}, 1);
  };
  for (const auto& [rows, n_in] :
       {std::pair(1u, 32u), {3u, 96u}, {1u, 2048u}, {5u, 544u}, {2u, 5632u}}) {
    const std::string what = absl::StrCat(rows, " rows of ", n_in);
    const size_t count = size_t{rows} * n_in;
    std::vector<float> x = Normals(count), gate = Normals(count), up = Normals(count);
    const std::vector<float> weight = Normals(n_in);
    for (size_t i = 0; i < 32; ++i) x[i] = up[i] = 0;  // a block of zeros
    gate[count - 1] = -100;
    const std::vector<uint8_t> f32(count * 4), q8(rows * Q8RowBytes(n_in));

    const RmsNormParams norm{rows, n_in, 1e-5f};
    const std::vector<uint8_t> normed =
        machine().Run("rmsnorm_q8", PortableGrid(norm), norm, {Bytes(x), Bytes(weight), q8}, 2);
    ASSERT_EQ(normed, quantised(machine().Run("rmsnorm", PortableGrid(norm), norm,
                                              {Bytes(x), Bytes(weight), f32}, 2),
                                rows, n_in))
        << what;
    const SiluMulQ8Params silu{rows, n_in};
    const std::vector<uint8_t> gated =
        machine().Run("silu_mul_q8", PortableGrid(silu), silu, {Bytes(gate), Bytes(up), q8}, 2);
    const ElementwiseParams silu_f32{static_cast<uint32_t>(count)};
    ASSERT_EQ(gated, quantised(machine().Run("silu_mul", PortableGrid(silu_f32), silu_f32,
                                             {Bytes(gate), Bytes(up), f32}, 2),
                               rows, n_in))
        << what;

    const FromQ8 got_normed(normed, n_in), got_gated(gated, n_in);
    ASSERT_EQ(got_normed.values.size(), count);
    for (size_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (size_t i = r * n_in; i < (r + 1) * n_in; ++i) squares += double{x[i]} * x[i];
      for (size_t i = r * n_in; i < (r + 1) * n_in; ++i) {
        const double want = x[i] / std::sqrt(squares / n_in + 1e-5) * weight[i - r * n_in];
        ASSERT_NEAR(got_normed.values[i], want, 1.001 * got_normed.halves[i])
            << what << " at " << i;
        const double silu_want = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
        ASSERT_NEAR(got_gated.values[i], silu_want, 1.001 * got_gated.halves[i])
            << what << " at " << i;
      }
    }
  }
}

// The half nearest to a value, and whether another is as near as rounding could take it.
void ExpectHalf(uint16_t got, double want, const std::string& where) {
  const double spacing = std::ldexp(1, std::max(-24, std::ilogb(want == 0 ? 1e-9 : want) - 10));
  // Half a unit, and what the f32 before it lost.
  ASSERT_LE(std::abs(reference::HalfValue(got) - want), spacing * 0.501 + std::abs(want) * 1e-6)
      << where;
}

TEST_P(PortableKernels, Dequantize) {
  std::mt19937 random(21);
  for (const reference::Format& format : reference::kFormats) {
    if (format.type == WeightType::kF32 || format.type == WeightType::kF16) continue;
    for (const auto& [rows, blocks] : {std::pair(1u, 1u), {3u, 2u}, {17u, 5u}, {70u, 3u}}) {
      const uint32_t n_in =
          blocks * std::max(32u, format.elements) + (format.elements == 1 ? 3 : 0);
      const reference::Weights w = reference::MakeWeights(format, size_t{rows} * n_in, random);
      const DequantizeParams params{rows, n_in};
      const std::string name = absl::StrCat("dequantize_", format.name);
      const auto got =
          Values<uint16_t>(Machine::Of(GetParam())
                               .Run(name.c_str(), PortableGrid(params), params,
                                    {w.bytes, std::vector<uint8_t>(size_t{rows} * n_in * 2)}, 1));
      for (size_t i = 0; i < got.size(); ++i) {
        ExpectHalf(got[i], w.values[i], absl::StrCat(name, " ", rows, "x", n_in, " at ", i));
      }
    }
  }
}

TEST_P(PortableKernels, ToHalfRoundsAndClamps) {
  std::mt19937 random(22);
  for (const uint32_t count : {1u, 63u, 513u, 4099u}) {
    std::vector<float> x(count);
    for (float& value : x)
      value = std::ldexp(std::normal_distribution<float>()(random), int(random() % 20) - 10);
    x[0] = 1e30f;
    if (count > 2) x[1] = -1e9f, x[2] = 65504.0f;
    const ElementwiseParams params{count};
    const auto got =
        Values<uint16_t>(Machine::Of(GetParam())
                             .Run("to_half", PortableGrid(params), params,
                                  {Bytes(x), std::vector<uint8_t>(size_t{count} * 2)}, 1));
    for (size_t i = 0; i < count; ++i) {
      ExpectHalf(got[i], std::clamp(double{x[i]}, -65504.0, 65504.0),
                 absl::StrCat(count, " at ", i));
    }
  }
}

TEST_P(PortableKernels, GetRows) {
  for (const Format& format : reference::kFormats) {
    const GetRowsParams params{5, format.elements == 256 ? 512u : 96u, 7};
    const Weights table = MakeWeights(format, size_t{params.table_rows} * params.cols);
    const std::vector<int32_t> ids = {6, 0, -1, 7, 3};
    const std::string kernel = std::string("get_rows_") + format.name;
    const std::vector<float> y = Values<float>(
        machine().Run(kernel.c_str(), PortableGrid(params), params,
                      {table.bytes, Bytes(ids), std::vector<uint8_t>(5 * params.cols * 4, 1)}, 2));
    for (size_t r = 0; r < ids.size(); ++r) {
      for (size_t k = 0; k < params.cols; ++k) {
        const bool known = ids[r] >= 0 && ids[r] < 7;
        const double want = known ? table.values[ids[r] * params.cols + k] : 0;
        ASSERT_NEAR(y[r * params.cols + k], want, 1e-6 * std::max(1.0, std::abs(want)))
            << kernel << " row " << r;
      }
    }
  }
}

TEST_P(PortableKernels, RmsNorm) {
  for (const uint32_t cols : {1u, 7u, 64u, 100u, 2048u}) {
    const RmsNormParams params{3, cols, 1e-5f};
    const std::vector<float> x = Normals(3 * cols), weight = Normals(cols);
    const std::vector<float> y = Values<float>(
        machine().Run("rmsnorm", PortableGrid(params), params,
                      {Bytes(x), Bytes(weight), std::vector<uint8_t>(3 * cols * 4)}, 2));
    for (size_t r = 0; r < 3; ++r) {
      double squares = 0;
      for (size_t i = 0; i < cols; ++i) squares += double{x[r * cols + i]} * x[r * cols + i];
      for (size_t i = 0; i < cols; ++i) {
        const double want = x[r * cols + i] / std::sqrt(squares / cols + 1e-5) * weight[i];
        ASSERT_NEAR(y[r * cols + i], want, 1e-5 * std::abs(want)) << cols << " columns";
      }
    }
  }
}

TEST_P(PortableKernels, RopeOfBothPairings) {
  for (const uint32_t pairing : {0u, 1u}) {
    const RopeParams params{3, 5, 80, 64, pairing, 1.25f};
    const std::vector<int32_t> positions = {0, 9, 131071};
    std::vector<float> frequencies;
    for (int i = 0; i < 32; ++i) {
      const double frequency = std::pow(10000.0, -2.0 * i / 64);
      frequencies.push_back(static_cast<float>(frequency));
      frequencies.push_back(static_cast<float>(frequency - frequencies.back()));
    }
    const std::vector<float> x = Normals(3 * 5 * 80);
    const std::vector<float> y = Values<float>(machine().Run(
        "rope", PortableGrid(params), params, {Bytes(x), Bytes(positions), Bytes(frequencies)}, 0));
    for (size_t r = 0; r < 3; ++r) {
      for (size_t h = 0; h < 5; ++h) {
        const size_t head = (r * 5 + h) * 80;
        for (size_t i = 0; i < 40; ++i) {
          const size_t a = pairing == 0 ? 2 * i : i, b = pairing == 0 ? 2 * i + 1 : i + 32;
          if (i >= 32) {  // beyond rope_dim nothing changes
            ASSERT_EQ(y[head + 64 + i - 32], x[head + 64 + i - 32]);
            continue;
          }
          const double angle = positions[r] * std::pow(10000.0, -2.0 * i / 64);
          const double c = 1.25 * std::cos(angle), s = 1.25 * std::sin(angle);
          ASSERT_NEAR(y[head + a], x[head + a] * c - x[head + b] * s, 1e-5) << "pair " << i;
          ASSERT_NEAR(y[head + b], x[head + a] * s + x[head + b] * c, 1e-5) << "pair " << i;
        }
      }
    }
  }
}

TEST_P(PortableKernels, AddBias) {
  const AddBiasParams params{3, 100};
  const std::vector<float> y = Normals(300), bias = Normals(100);
  const std::vector<float> out = Values<float>(
      machine().Run("add_bias", PortableGrid(params), params, {Bytes(y), Bytes(bias)}, 0));
  for (size_t i = 0; i < 300; ++i) ASSERT_EQ(out[i], y[i] + bias[i % 100]);
}

// y against softmax(q k scale) v in double precision.
void ExpectAttention(const AttentionParams& c, const std::vector<float>& q,
                     const std::vector<float>& keys, const std::vector<float>& values,
                     const std::vector<int32_t>& positions, const std::vector<int32_t>& slots,
                     const std::vector<float>& y, double tolerance) {
  const uint32_t kv_dim = c.kv_heads * c.head_dim, q_dim = c.heads * c.head_dim;
  for (size_t r = 0; r < c.rows; ++r) {
    for (size_t h = 0; h < c.heads; ++h) {
      const size_t cache_at =
          size_t(slots[r]) * c.context * kv_dim + h / (c.heads / c.kv_heads) * c.head_dim;
      const float* query = q.data() + r * q_dim + h * c.head_dim;
      std::vector<double> scores;
      double largest = -1e300;
      const auto window = static_cast<int32_t>(c.window);
      const int32_t first = window > 0 ? std::max(0, positions[r] + 1 - window) : 0;
      for (int32_t i = first; i <= positions[r]; ++i) {
        double dot = 0;
        for (size_t d = 0; d < c.head_dim; ++d)
          dot += double{query[d]} * keys[cache_at + size_t(i) * kv_dim + d];
        scores.push_back(dot * c.scale);
        largest = std::max(largest, scores.back());
      }
      double weight = 0;
      for (double& score : scores) weight += score = std::exp(score - largest);
      for (size_t d = 0; d < c.head_dim; ++d) {
        double want = 0;
        for (size_t i = 0; i < scores.size(); ++i)
          want += scores[i] / weight * values[cache_at + (first + i) * kv_dim + d];
        ASSERT_NEAR(y[r * q_dim + h * c.head_dim + d], want, tolerance)
            << "row " << r << " head " << h << " of " << c.head_dim;
      }
    }
  }
}

TEST_P(PortableKernels, AppendsToTheCacheAndAttends) {
  struct Case {
    uint32_t heads, kv_heads, head_dim, window;
  };
  for (const Case& c :
       {Case{4, 2, 64, 0}, Case{3, 1, 20, 0}, Case{2, 2, 300, 0}, Case{4, 2, 64, 67}}) {
    constexpr uint32_t kContext = 150, kSlots = 3;
    const std::vector<int32_t> positions = {0, 5, 149, 70}, slots = {2, 0, 1, 1};
    const auto rows = static_cast<uint32_t>(positions.size());
    const uint32_t kv_dim = c.kv_heads * c.head_dim;
    std::vector<float> keys = Normals(size_t{kSlots} * kContext * kv_dim), values = keys;
    std::reverse(values.begin(), values.end());
    const std::vector<float> new_keys = Normals(size_t{rows} * kv_dim);
    const std::vector<float> new_values = Normals(size_t{rows} * kv_dim);
    const KvAppendParams append{rows, kv_dim, kContext};
    const auto cache_after = [&](size_t result) {
      return Values<float>(machine().Run("kv_append", PortableGrid(append), append,
                                         {Bytes(new_keys), Bytes(new_values), Bytes(positions),
                                          Bytes(slots), Bytes(keys), Bytes(values)},
                                         result));
    };
    const std::vector<float> key_cache = cache_after(4), value_cache = cache_after(5);
    for (size_t r = 0; r < rows; ++r) {
      const size_t at = (size_t(slots[r]) * kContext + positions[r]) * kv_dim;
      std::copy_n(new_keys.begin() + r * kv_dim, kv_dim, keys.begin() + at);
      std::copy_n(new_values.begin() + r * kv_dim, kv_dim, values.begin() + at);
    }
    ASSERT_EQ(key_cache, keys) << "kv_append";
    ASSERT_EQ(value_cache, values) << "kv_append";

    const uint32_t q_dim = c.heads * c.head_dim;
    const std::vector<float> q = Normals(size_t{rows} * q_dim);
    const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    const AttentionParams params{rows, c.heads, c.kv_heads, c.head_dim, kContext, c.window, scale};
    const std::vector<float> y =
        Values<float>(machine().Run("attention", PortableGrid(params), params,
                                    {Bytes(q), Bytes(keys), Bytes(values), Bytes(positions),
                                     Bytes(slots), std::vector<uint8_t>(size_t{rows} * q_dim * 4)},
                                    5));
    ExpectAttention(params, q, keys, values, positions, slots, y, 2e-5);
    if (!Has("attention_part")) continue;
    for (const uint32_t parts : {2u, 5u}) {  // of few positions some are empty
      const std::vector<uint8_t> of_parts = machine().Run(
          "attention_part", PortablePartsGrid(params, parts), params,
          {Bytes(q), Bytes(keys), Bytes(values), Bytes(positions), Bytes(slots),
           std::vector<uint8_t>(size_t{rows} * c.heads * parts * (c.head_dim + 2) * 4)},
          5);
      const AttentionJoinParams join{rows * c.heads, c.head_dim, parts};
      const std::vector<float> joined = Values<float>(
          machine().Run("attention_join", PortableGrid(join), join,
                        {of_parts, std::vector<uint8_t>(size_t{rows} * q_dim * 4)}, 1));
      ExpectAttention(params, q, keys, values, positions, slots, joined, 2e-5);
    }
  }
}

// Where there are matrix units: rows of one slot and of several, at any position, cut and whole.
TEST_P(PortableKernels, AttendsOnTiles) {
  if (!Has("attention_tiles")) {
    const std::string name = GetParam().name;
    EXPECT_TRUE(name != "cuda" && name != "hip") << "the soft cards have them";
    return;
  }
  struct Case {
    uint32_t rows, slots, heads, kv_heads, head_dim, window;
  };
  for (const Case& c :
       {Case{16, 1, 2, 1, 64, 0}, Case{37, 1, 4, 2, 80, 0}, Case{70, 3, 3, 1, 20, 0},
        Case{133, 2, 2, 2, 128, 0}, Case{100, 1, 2, 1, 127, 67}, Case{3, 3, 1, 1, 7, 2}}) {
    constexpr uint32_t kContext = 150;
    std::vector<int32_t> positions, slots;
    for (uint32_t r = 0; r < c.rows; ++r) {  // runs of neighbours, somewhere in each slot
      const uint32_t slot = r * c.slots / c.rows;
      slots.push_back(static_cast<int32_t>(c.slots - 1 - slot));
      positions.push_back(static_cast<int32_t>((slot * 60 + c.rows % 3 * 40 + r) % kContext));
    }
    if (c.slots > 1) std::swap(slots.front(), slots.back());  // and one far from its own
    const uint32_t kv_dim = c.kv_heads * c.head_dim, q_dim = c.heads * c.head_dim;
    std::vector<float> keys = Normals(size_t{c.slots} * kContext * kv_dim), values = keys;
    std::reverse(values.begin(), values.end());
    // What was not appended yet is anything, and must not be looked at.
    for (uint32_t s = 0; s < c.slots; ++s) {
      int32_t last = -1;
      for (uint32_t r = 0; r < c.rows; ++r) {
        if (slots[r] == static_cast<int32_t>(s)) last = std::max(last, positions[r]);
      }
      const size_t from = (size_t{s} * kContext + static_cast<size_t>(last + 1)) * kv_dim;
      std::fill(keys.begin() + from, keys.begin() + size_t{s + 1} * kContext * kv_dim, NAN);
      std::fill(values.begin() + from, values.begin() + size_t{s + 1} * kContext * kv_dim, NAN);
    }
    const std::vector<float> q = Normals(size_t{c.rows} * q_dim);
    const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    const AttentionParams params{c.rows,   c.heads,  c.kv_heads, c.head_dim,
                                 kContext, c.window, scale};
    const auto attend = [&] {
      return Values<float>(machine().Run("attention_tiles", PortableTilesGrid(params), params,
                                         {Bytes(q), Bytes(keys), Bytes(values), Bytes(positions),
                                          Bytes(slots), std::vector<uint8_t>(q.size() * 4)},
                                         5));
    };
    const std::vector<float> y = attend();
    // Halves have 11 bits; these numbers are up to 4 or so.
    ExpectAttention(params, q, keys, values, positions, slots, y, 4e-3);
    // What goes wrong in one slot stays there.
    const auto spoilt = values.begin() + size_t{kContext} * kv_dim * (c.slots - 1);
    std::fill_n(spoilt, kv_dim, INFINITY);
    if (positions.front() > 0) std::fill_n(spoilt + kv_dim, kv_dim, NAN);
    const std::vector<float> after = attend();
    for (size_t r = 0; r < c.rows; ++r) {
      if (slots[r] == static_cast<int32_t>(c.slots - 1)) continue;
      for (size_t i = 0; i < q_dim; ++i) ASSERT_EQ(after[r * q_dim + i], y[r * q_dim + i]) << r;
    }
  }
}

TEST_P(PortableKernels, Elementwise) {
  for (const uint32_t count : {1u, 8u, 511u, 512u, 513u, 5000u}) {
    const ElementwiseParams params{count};
    std::vector<float> gate = Normals(count), up = Normals(count);
    gate[0] = -100;
    const std::vector<uint8_t> zeros(count * 4);
    const std::vector<float> silu = Values<float>(machine().Run(
        "silu_mul", PortableGrid(params), params, {Bytes(gate), Bytes(up), zeros}, 2));
    const std::vector<float> sum = Values<float>(
        machine().Run("add", PortableGrid(params), params, {Bytes(gate), Bytes(up), zeros}, 2));
    for (size_t i = 0; i < count; ++i) {
      const double want = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
      ASSERT_NEAR(silu[i], want, 1e-5 * std::abs(want) + 1e-30) << i << " of " << count;
      ASSERT_EQ(sum[i], gate[i] + up[i]);
    }
  }
}

TEST_P(PortableKernels, ArgmaxGivesTheFirstOfTheLargest) {
  for (const uint32_t cols : {1u, 7u, 64u, 1000u, 100'003u}) {
    const ArgmaxParams params{3, cols};
    std::vector<float> x = Normals(3 * size_t{cols});
    const uint32_t first = cols / 3, again = cols - 1;
    x[cols + first] = x[cols + again] = 50;                  // row 1: a tie
    std::fill_n(x.begin() + 2 * size_t{cols}, cols, -3.0f);  // row 2: all equal
    const std::vector<int32_t> ids = Values<int32_t>(machine().Run(
        "argmax", PortableGrid(params), params, {Bytes(x), std::vector<uint8_t>(12)}, 1));
    EXPECT_EQ(ids[0], std::max_element(x.begin(), x.begin() + cols) - x.begin());
    EXPECT_EQ(ids[1], static_cast<int32_t>(first));
    EXPECT_EQ(ids[2], 0);
  }
}

// Times the kernels of the variants whose names are given.
int Measure(int count, char** names) {
  for (int i = 0; i < count; ++i) {
    const auto* variant =
        std::find_if(std::begin(kVariants), std::end(kVariants),
                     [&](const Variant& one) { return std::strcmp(one.name, names[i]) == 0; });
    if (variant == std::end(kVariants)) {
      std::fprintf(stderr, "no variant %s; there are:", names[i]);
      for (const Variant& one : kVariants) std::fprintf(stderr, " %s", one.name);
      std::fprintf(stderr, "\n");
      return 2;
    }
    Machine& machine = Machine::Of(*variant);
    const absl::Status status = PrintPerformance(machine.device(), machine.program());
    if (!status.ok()) {
      std::printf("%s: %s\n", variant->name, status.ToString().c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace hetllm

int main(int argc, char** argv) {
  if (argc > 2 && std::strcmp(argv[1], "--performance") == 0) {
    return hetllm::Measure(argc - 2, argv + 2);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
