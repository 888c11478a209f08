// Queue::Multiply against a double-precision product, in every type and on awkward shapes.
#include <cmath>
#include <cstring>
#include <random>

#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

struct Shape {
  uint32_t rows, n_in, n_out;
};

// A number that the type has exactly, and its bits. Eighths below 16: f16 and bf16 have them all.
float Draw(std::mt19937& random) {
  return static_cast<float>(static_cast<int>(random() % 255) - 127) / 8.0f;
}
void Put(std::vector<uint8_t>& bytes, MatrixType type, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (type == MatrixType::kF32) {
    bytes.insert(bytes.end(), reinterpret_cast<uint8_t*>(&bits),
                 reinterpret_cast<uint8_t*>(&bits) + 4);
    return;
  }
  uint16_t half = static_cast<uint16_t>(bits >> 16);  // bf16
  if (type == MatrixType::kF16) {
    const uint32_t exponent = bits >> 23 & 255;
    half = value == 0 ? 0
                      : static_cast<uint16_t>((bits >> 16 & 0x8000) | (exponent - 112) << 10 |
                                              (bits >> 13 & 0x3ff));
  }
  bytes.insert(bytes.end(), reinterpret_cast<uint8_t*>(&half),
               reinterpret_cast<uint8_t*>(&half) + 2);
}

void IsRefusedWithoutTheCapability(Fixture& t) {
  if (t.device.Can(kMultipliesMatrices)) return;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(64);
  const absl::Status status = queue->Multiply({.type = MatrixType::kF32,
                                               .rows = 1,
                                               .n_in = 1,
                                               .n_out = 1,
                                               .accumulate = false,
                                               .y_stride = 0,
                                               .w = {buffer.get(), 0},
                                               .x = {buffer.get(), 16},
                                               .y = {buffer.get(), 32}});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
}

void AgreesWithDoubles(Fixture& t) {
  if (!t.device.Can(kMultipliesMatrices)) return;
  std::mt19937 random(11);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  std::vector<Shape> shapes = {{1, 1, 1}, {1, 64, 3}, {7, 96, 33}, {64, 256, 130}, {131, 40, 5}};
  for (int i = 0; i < 4; ++i) {
    shapes.push_back({static_cast<uint32_t>(1 + random() % 70),
                      static_cast<uint32_t>(8 * (1 + random() % 30)),
                      static_cast<uint32_t>(1 + random() % 90)});
  }
  for (const MatrixType type : {MatrixType::kF32, MatrixType::kF16, MatrixType::kBF16}) {
    for (const Shape& shape : shapes) {
      const bool accumulate = random() % 2 == 1;
      // Rows of the result may be part of longer ones, whose rest stays what it was.
      const uint32_t apart = random() % 2 == 1 ? shape.n_out + random() % 40 : 0;
      const size_t stride = apart == 0 ? shape.n_out : apart;
      std::vector<float> w(size_t{shape.n_out} * shape.n_in), x(size_t{shape.rows} * shape.n_in),
          y((shape.rows - 1) * stride + shape.n_out);
      std::vector<uint8_t> w_bytes, x_bytes;
      for (float& value : w) Put(w_bytes, type, value = Draw(random));
      for (float& value : x) Put(x_bytes, type, value = Draw(random));
      for (float& value : y) value = Draw(random);
      // At offsets, with canaries behind the result.
      const Ref<Buffer> weights = t.NewBuffer(w_bytes.size() + 16);
      const Ref<Buffer> inputs = t.NewBuffer(x_bytes.size() + 32);
      const Ref<Buffer> outputs = t.NewBuffer(y.size() * 4 + 64);
      Must(queue->Fill(*outputs, 0, outputs->bytes(), 0xEE), "Fill");
      t.Upload(*queue, *weights, w_bytes.data(), w_bytes.size(), 16);
      t.Upload(*queue, *inputs, x_bytes.data(), x_bytes.size(), 32);
      t.Upload(*queue, *outputs, y.data(), y.size() * 4, 48);
      const Ref<Timeline> done = t.NewTimeline();
      Must(queue->Multiply({.type = type,
                            .rows = shape.rows,
                            .n_in = shape.n_in,
                            .n_out = shape.n_out,
                            .accumulate = accumulate,
                            .y_stride = apart,
                            .w = {weights.get(), 16},
                            .x = {inputs.get(), 32},
                            .y = {outputs.get(), 48}},
                           {{}, {done, 1}}),
           "Multiply");
      t.Await(*done, 1);
      const std::vector<uint8_t> back = t.Download(*queue, *outputs);
      for (size_t i = back.size() - 16; i < back.size(); ++i) EXPECT_EQ(back[i], 0xEE);
      for (size_t r = 0; r < shape.rows; ++r) {
        for (size_t o = 0; o < (r + 1 < shape.rows ? stride : shape.n_out); ++o) {
          float got;
          std::memcpy(&got, back.data() + 48 + (r * stride + o) * 4, 4);
          const float before = y[r * stride + o];
          if (o >= shape.n_out) {
            ASSERT_EQ(got, before) << "between the rows";
            continue;
          }
          double want = accumulate ? before : 0, size = std::abs(want);
          for (size_t k = 0; k < shape.n_in; ++k) {
            const double term = double{w[o * shape.n_in + k]} * x[r * shape.n_in + k];
            want += term;
            size += std::abs(term);
          }
          // f32 may be rounded to tf32 on the way in: these numbers have fewer bits than that.
          ASSERT_LE(std::abs(got - want), 1e-5 * size + 1e-6)
              << "type " << static_cast<int>(type) << ", " << shape.rows << " rows, " << shape.n_in
              << " in, " << shape.n_out << " out, at " << r << ", " << o;
        }
      }
    }
  }
}

void RefusesWhatDoesNotFit(Fixture& t) {
  if (!t.device.Can(kMultipliesMatrices)) return;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> small = t.NewBuffer(4 * 4 * 4);
  const Ref<Buffer> large = t.NewBuffer(4096);
  const MatrixProduct good{.type = MatrixType::kF32,
                           .rows = 4,
                           .n_in = 4,
                           .n_out = 4,
                           .accumulate = false,
                           .y_stride = 0,
                           .w = {small.get(), 0},
                           .x = {large.get(), 0},
                           .y = {large.get(), 1024}};
  const auto refuse = [&](auto change) {
    MatrixProduct bad = good;
    change(bad);
    const absl::Status status = queue->Multiply(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  };
  refuse([](MatrixProduct& p) { p.rows = 0; });
  refuse([](MatrixProduct& p) { p.n_out = 5; });
  refuse([](MatrixProduct& p) { p.w.offset = 16; });
  refuse([](MatrixProduct& p) { p.y_stride = 3; });
  refuse([](MatrixProduct& p) { p.y_stride = 1024; });
  refuse([](MatrixProduct& p) { p.y.offset = 1025; });
  refuse([](MatrixProduct& p) { p.x.buffer = nullptr; });
  Must(queue->Multiply(good), "Multiply");
  t.Finish(*queue);
}

}  // namespace

std::vector<Case> MatrixCases() {
  return {
      {"Matrix", "IsRefusedWithoutTheCapability", IsRefusedWithoutTheCapability},
      {"Matrix", "AgreesWithDoubles", AgreesWithDoubles},
      {"Matrix", "RefusesWhatDoesNotFit", RefusesWhatDoesNotFit},
  };
}

}  // namespace het::conformance
