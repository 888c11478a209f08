#include "engine/weight_type.h"

#include <strings.h>

#include <array>
#include <string>

namespace hetllm {
namespace {

struct Row {
  WeightType type;
  std::string_view name;
  uint32_t elements;
  uint32_t bytes;
};

constexpr std::array<Row, 8> kRows = {{
    {WeightType::kF32, "f32", 1, 4},
    {WeightType::kF16, "f16", 1, 2},
    {WeightType::kBF16, "bf16", 1, 2},
    {WeightType::kQ8_0, "q8_0", 32, 34},
    {WeightType::kQ6_K, "q6_k", 256, 210},
    {WeightType::kQ5_K, "q5_k", 256, 176},
    {WeightType::kQ4_K, "q4_k", 256, 144},
    {WeightType::kQ4_0, "q4_0", 32, 18},
}};

const Row& RowOf(WeightType type) {
  for (const Row& row : kRows) {
    if (row.type == type) {
      return row;
    }
  }
  return kRows[0];  // not reached: a WeightType is one of the table
}

// ggml's enum, in order; 4 and 5 and 31-33, 36-38 were withdrawn.
constexpr std::string_view kGgmlNames[] = {
    "F32",     "F16",    "Q4_0",    "Q4_1",  "Q4_2",   "Q4_3",  "Q5_0",  "Q5_1",
    "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
    "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
    "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16"};

}  // namespace

std::optional<WeightType> WeightTypeFromNumber(uint32_t number) {
  for (const Row& row : kRows) {
    if (static_cast<uint32_t>(row.type) == number) {
      return row.type;
    }
  }
  return std::nullopt;
}

std::optional<WeightType> WeightTypeFromName(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name.size() == name.size() &&
        strncasecmp(row.name.data(), name.data(), name.size()) == 0) {
      return row.type;
    }
  }
  return std::nullopt;
}

std::string_view WeightTypeName(WeightType type) { return RowOf(type).name; }

std::string WeightTypeNames() {
  std::string names;
  for (const Row& row : kRows) {
    names += (names.empty() ? "" : &row == &kRows.back() ? " and " : ", ") + std::string(row.name);
  }
  return names;
}

std::string_view GgmlTypeName(uint32_t number) {
  return number < std::size(kGgmlNames) ? kGgmlNames[number] : "unknown";
}

uint32_t BlockElements(WeightType type) { return RowOf(type).elements; }
uint32_t BlockBytes(WeightType type) { return RowOf(type).bytes; }

}  // namespace hetllm
