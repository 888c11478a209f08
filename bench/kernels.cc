// The native kernels against the machine: matmul with one row (decode) and a few rows against the
// plain read bandwidth of the same threads, with many rows (prefill) against their f32 multiply-add
// peak. Every round runs the controls and all kernels once; figures are medians of the rounds,
// ratios are medians of each round's own ratio.
#include "engine/kernels/kernels.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "bench/machine_limits.h"
#include "nlohmann/json.hpp"

namespace het::bench {
namespace {

using hetllm::WeightType;

struct Type {
  const char* kernel;
  size_t block, block_bytes;
  bool q8;
};
constexpr Type kTypes[] = {
    {"matmul_f32", 1, 4, false},        {"matmul_f16", 1, 2, false},
    {"matmul_q8_0", 32, 34, false},     {"matmul_q8_0_q8", 32, 34, true},
    {"matmul_q4_0", 32, 18, false},     {"matmul_q4_0_q8", 32, 18, true},
    {"matmul_q4_k", 256, 144, false},   {"matmul_q4_k_q8", 256, 144, true},
    {"matmul_q5_k_q8", 256, 176, true}, {"matmul_q6_k_q8", 256, 210, true},
};

het_native_fn FunctionOf(const char* name) {
  for (const het_native_kernel& kernel : hetllm::NativeKernels()) {
    if (std::strcmp(kernel.name, name) == 0) return kernel.function;
  }
  std::fprintf(stderr, "no kernel %s\n", name);
  std::exit(1);
}

// One matmul after the other over matrices that lie behind each other in `weights`: nothing stays
// in a cache.
class Matmuls {
 public:
  Matmuls(const Type& type, uint32_t rows, uint32_t n_in, uint32_t n_out, size_t count,
          const BigBuffer& weights)
      : type_(type), params_{rows, n_in, n_out, 0}, count_(count), weights_(weights) {
    x_.resize(size_t{rows} * n_in);
    std::mt19937 random(1);
    for (float& value : x_) value = std::normal_distribution<float>()(random);
    q8_.resize(rows * hetllm::Q8RowBytes(n_in));
    std::vector<uint8_t> unused;
    const hetllm::QuantizeParams quantize{rows, n_in};
    Crew self(1);
    Launch(self, "quantize_q8", quantize, NativeGrid(quantize), {x_.data(), q8_.data()});
    y_.resize(size_t{rows} * n_out);
  }

  double bytes() const { return static_cast<double>(matrix_bytes()) * static_cast<double>(count_); }
  double operations() const {
    return 2.0 * params_.rows * params_.n_in * params_.n_out * static_cast<double>(count_);
  }
  size_t matrix_bytes() const {
    return size_t{params_.n_out} * params_.n_in / type_.block * type_.block_bytes;
  }

  // Seconds for all matrices.
  double Run(Crew& crew, Time time) {
    double seconds = 0;
    for (size_t i = 0; i < count_; ++i) {
      void* x = type_.q8 ? static_cast<void*>(q8_.data()) : x_.data();
      seconds += Launch(crew, type_.kernel, params_, NativeGrid(params_, type_.kernel),
                        {weights_.data() + i * matrix_bytes(), x, y_.data()})
                     .In(time);
    }
    return seconds;
  }

 private:
  template <typename Params>
  static Took Launch(Crew& crew, const char* kernel, const Params& params, const hetllm::Grid& grid,
                     const std::vector<void*>& buffers) {
    const het_native_fn function = FunctionOf(kernel);
    alignas(16) const Params aligned = params;
    const uint64_t groups = uint64_t{grid.groups[0]} * grid.groups[1] * grid.groups[2];
    const auto workers = static_cast<uint64_t>(crew.workers());
    return crew.Run([&](int worker) {
      het_native_call call{};
      call.struct_size = sizeof(call);
      call.buffers = buffers.data();
      call.buffer_count = static_cast<uint32_t>(buffers.size());
      call.params = &aligned;
      call.params_bytes = sizeof(aligned);
      std::copy_n(grid.groups, 3, call.groups);
      std::copy_n(grid.group_size, 3, call.group_size);
      call.worker = static_cast<uint32_t>(worker);
      call.workers = static_cast<uint32_t>(workers);
      call.group_begin = groups * call.worker / workers;
      call.group_end = groups * (call.worker + 1) / workers;
      function(&call);
    });
  }

  const Type& type_;
  const hetllm::MatmulParams params_;
  const size_t count_;
  const BigBuffer& weights_;
  std::vector<float> x_, y_;
  std::vector<uint8_t> q8_;
};

// Weights that are valid in every format read as floats or halves: small, finite, no subnormals in
// the way.
void FillWeights(const BigBuffer& weights) {
  std::mt19937 random(2);
  auto* halves = reinterpret_cast<uint16_t*>(weights.data());
  for (size_t i = 0; i < weights.bytes() / 2; ++i) {
    const auto bits = static_cast<uint32_t>(random());
    halves[i] = static_cast<uint16_t>(0x2800u | (bits & 0x87ffu));
  }
}

struct Point {
  std::string kernel;
  uint32_t rows;
  bool memory;  // GB/s against the read bandwidth, else GFLOP/s against the multiply-add peak
  std::vector<double> figures, ratios;
};

struct Options {
  int rounds = 7;
  uint32_t n_in = 2048, n_out = 5632, prefill = 256;
  std::vector<int> threads = {1, 2};
  std::vector<uint32_t> decode = {1, 8};
  std::string only, output = "table";
  Time time = Time::kWall;
};

std::vector<Point> Measure(const Options& options, int threads, const BigBuffer& weights,
                           std::vector<double>& bandwidth, std::vector<double>& peak) {
  Crew crew(threads);
  std::vector<Point> points;
  std::vector<Matmuls> work;
  std::vector<uint32_t> all_rows = options.decode;
  all_rows.push_back(options.prefill);
  for (const uint32_t rows : all_rows) {
    if (rows == 0) continue;
    const bool memory = rows < 32;
    for (const Type& type : kTypes) {
      if (!options.only.empty() && std::string(type.kernel).find(options.only) == std::string::npos)
        continue;
      const size_t matrix = size_t{options.n_out} * options.n_in / type.block * type.block_bytes;
      const size_t count =
          memory ? std::max<size_t>(1, weights.bytes() / matrix / (rows > 1 ? 4 : 1)) : 1;
      work.emplace_back(type, rows, options.n_in, options.n_out, count, weights);
      points.push_back({type.kernel, rows, memory, {}, {}});
    }
  }
  for (int round = 0; round < options.rounds; ++round) {
    bandwidth.push_back(ReadBandwidth(crew, weights, options.time));
    peak.push_back(FmaRate(crew, 0.02, options.time));
    for (size_t i = 0; i < work.size(); ++i) {
      const double seconds = work[i].Run(crew, options.time);
      const double figure = (points[i].memory ? work[i].bytes() : work[i].operations()) / seconds;
      points[i].figures.push_back(figure);
      points[i].ratios.push_back(figure / (points[i].memory ? bandwidth.back() : peak.back()));
    }
  }
  return points;
}

nlohmann::json ToJson(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.low}, {"max", spread.high}};
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("The native kernels against the machine's read bandwidth and multiply-add peak");
  app.add_option("--rounds", options.rounds, "rounds; figures are their medians");
  app.add_option("--threads", options.threads, "numbers of threads");
  app.add_option("--decode", options.decode, "rows of the memory-bound calls (1 .. 31)");
  app.add_option("--prefill", options.prefill, "rows of the arithmetic-bound call; 0: none");
  app.add_option("--n-in", options.n_in, "elements of a weight row, a multiple of 256");
  app.add_option("--n-out", options.n_out, "weight rows");
  app.add_option("--only", options.only, "only kernels whose name has this");
  app.add_option("--time", options.time,
                 "wall, or processor: the longest processor time of a thread, on a busy machine")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Time>{{"wall", Time::kWall}, {"processor", Time::kProcessor}}));
  app.add_option("-o,--output", options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  CLI11_PARSE(app, argc, argv);

  const size_t matrix = size_t{options.n_out} * options.n_in * 4;
  const BigBuffer weights(std::max<size_t>(size_t{256} << 20, (matrix + 4095) / 4096 * 4096));
  FillWeights(weights);
  nlohmann::json report = nlohmann::json::array();
  for (const int threads : options.threads) {
    std::vector<double> bandwidth, peak;
    const std::vector<Point> points = Measure(options, threads, weights, bandwidth, peak);
    const Spread read = SpreadOf(bandwidth), fma = SpreadOf(peak);
    report.push_back({{"threads", threads},
                      {"read_bytes_per_s", ToJson(read)},
                      {"fma_flops_per_s", ToJson(fma)},
                      {"n_in", options.n_in},
                      {"n_out", options.n_out},
                      {"kernels", nlohmann::json::array()}});
    if (options.output == "table") {
      std::printf(
          "%d thread%s, %u x %u weights; control: read %.1f GB/s (%.1f-%.1f), multiply-add %.1f "
          "GFLOP/s (%.1f-%.1f)\n",
          threads, threads == 1 ? "" : "s", options.n_out, options.n_in, read.median / 1e9,
          read.low / 1e9, read.high / 1e9, fma.median / 1e9, fma.low / 1e9, fma.high / 1e9);
      std::printf("  %-16s %5s %10s %17s %8s %13s\n", "kernel", "rows", "median", "min-max",
                  "ratio", "min-max");
    }
    for (const Point& point : points) {
      const Spread figure = SpreadOf(point.figures), ratio = SpreadOf(point.ratios);
      report.back()["kernels"].push_back({{"kernel", point.kernel},
                                          {"rows", point.rows},
                                          {"unit", point.memory ? "bytes/s" : "flop/s"},
                                          {"figure", ToJson(figure)},
                                          {"ratio", ToJson(ratio)}});
      if (options.output == "table") {
        std::printf("  %-16s %5u %5.1f %s %8.1f-%-8.1f %8.2f %6.2f-%-6.2f\n", point.kernel.c_str(),
                    point.rows, figure.median / 1e9, point.memory ? "GB/s" : "GF/s",
                    figure.low / 1e9, figure.high / 1e9, ratio.median, ratio.low, ratio.high);
      }
    }
  }
  if (options.output == "json") std::printf("%s\n", report.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
