// Puts the portable text together, and says how it is launched.
#include <string>

#include "engine/kernels/kernels.h"

namespace hetllm {
namespace portable {

// From the .cl files of this folder.
extern const char text_attention_simt[], text_attention_tiles[], text_attention_wide[],
    text_dequantize[], text_elementwise[], text_formats[], text_get_rows[], text_matmul[],
    text_matmul_q4_0_wide[], text_matmul_q8_wide[], text_matmul_simt[], text_matmul_wide[],
    text_matvec_q8_simt[], text_matvec_simt[], text_params[], text_quantize[], text_rows[];

}  // namespace portable

namespace {

// The same numbers as in params.cl.
constexpr uint32_t kItems = 64;
constexpr uint32_t kFewRows = 8;
constexpr uint32_t kFewOutputs = 32;
constexpr uint32_t kTileOutputs = 64;
constexpr uint32_t kTileRows = 128;
constexpr uint32_t kMatvecOutputs = 4;
constexpr uint32_t kMatvecRows = 8;
constexpr uint32_t kElementsPerItem = 8;
constexpr uint32_t kAttentionRows = 64;

uint32_t Pieces(uint32_t count, uint32_t piece) { return (count + piece - 1) / piece; }

Grid Groups(uint32_t x, uint32_t y = 1) { return {{x, y, 1}, {kItems, 1, 1}}; }

// Texts with functions per weight format see its name as FORMAT.
void AppendFor(const char* format, std::initializer_list<const char*> texts, std::string& source) {
  source += std::string("#define FORMAT ") + format + "\n";
  for (const char* text : texts) source += text;
  source += "#undef FORMAT\n";
}

// Texts for devices whose items are SIMD threads, and for the others.
void AppendForItems(const char* format, std::initializer_list<const char*> wide,
                    std::initializer_list<const char*> simt, std::string& source) {
  source += "#if HET_WIDE_ITEMS\n";
  AppendFor(format, wide, source);
  source += "#else\n";
  AppendFor(format, simt, source);
  source += "#endif\n";
}

std::string Compose() {
  using namespace portable;  // NOLINT(google-build-using-namespace): the texts of this folder
  std::string source = text_params;
  source += text_formats;
  for (const char* format : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q5_k", "q6_k"}) {
    AppendForItems(format, {text_matmul_wide}, {text_matmul_simt, text_matvec_simt}, source);
    AppendFor(format, {text_matmul, text_get_rows}, source);
  }
  for (const char* format : {"q8_0", "q4_k", "q5_k", "q6_k"}) {
    AppendForItems(format, {text_matmul_q8_wide}, {text_matvec_q8_simt}, source);
  }
  AppendForItems("q4_0", {text_matmul_q4_0_wide}, {text_matvec_q8_simt}, source);
  for (const char* format : {"bf16", "q8_0", "q4_0", "q4_k", "q5_k", "q6_k"})
    AppendFor(format, {text_dequantize}, source);
  source += text_rows;
  source += text_elementwise;
  source += text_quantize;
  source += std::string("#if HET_WIDE_ITEMS\n") + text_attention_wide + "#else\n" +
            text_attention_simt + "#endif\n";
  source += text_attention_tiles;
  return source;
}

}  // namespace

std::string_view PortableSource() {
  static const std::string source = Compose();
  return source;
}

Grid PortableGrid(const GetRowsParams& params) { return Groups(params.rows); }

Grid PortableGrid(const RmsNormParams& params) { return Groups(params.rows); }

Grid PortableGrid(const MatmulParams& params, std::string_view kernel) {
  if (kernel.starts_with("matvec_")) {
    return Groups(Pieces(params.n_out, kMatvecOutputs), Pieces(params.rows, kMatvecRows));
  }
  const bool q8 = kernel.ends_with("_q8");
  if (!q8 && params.rows > kFewRows) {
    return Groups(Pieces(params.n_out, kTileOutputs), Pieces(params.rows, kTileRows));
  }
  return Groups(Pieces(params.n_out, kFewOutputs), q8 ? Pieces(params.rows, kTileRows) : 1);
}

Grid PortableGrid(const QuantizeParams& params) {
  return Groups(Pieces(params.n_in / 32, kItems), params.rows);
}

Grid PortableGrid(const SiluMulQ8Params& params) {
  return Groups(Pieces(params.n_in, kItems * kElementsPerItem), params.rows);
}

Grid PortableGrid(const DequantizeParams& params) {
  return Groups(Pieces(params.n_in, kItems * kElementsPerItem), params.rows);
}

Grid PortableGrid(const RopeParams& params) {
  return Groups(Pieces(params.rope_dim / 2, kItems), params.rows);
}

Grid PortableGrid(const KvAppendParams& params) {
  return Groups(Pieces(params.kv_dim, kItems), params.rows);
}

Grid PortableGrid(const AttentionParams& params) { return Groups(params.heads, params.rows); }

Grid PortablePartsGrid(const AttentionParams& params, uint32_t parts) {
  return {{params.heads, params.rows, parts}, {kItems, 1, 1}};
}

Grid PortableGrid(const AttentionJoinParams& params) { return Groups(params.heads); }

Grid PortableTilesGrid(const AttentionParams& params) {
  return Groups(params.heads, Pieces(params.rows, kAttentionRows));
}

Grid PortableGrid(const ElementwiseParams& params) {
  return Groups(Pieces(params.count, kItems * kElementsPerItem));
}

Grid PortableGrid(const AddBiasParams& params) {
  return Groups(Pieces(params.cols, kItems), params.rows);
}

Grid PortableGrid(const ArgmaxParams& params) { return Groups(params.rows); }

}  // namespace hetllm
