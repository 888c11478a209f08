// Gguf: the metadata and the tensor table of a GGUF file, versions 2 and 3, little-endian, over
// bytes in memory.
//
// Borrows: the bytes must outlive it, and all texts and data pointers point into them. Nothing is
// copied, so what a file claims never decides how much memory is taken. Immutable once parsed,
// thread-safe.
//
// Parse checks everything that later code relies on: every count, length and offset lies inside the
// bytes, names are unique, rows are whole blocks, tensors are aligned, inside the file and do not
// overlap. What is wrong is thrown as one Error that names the file and the place.
#ifndef HET_ENGINE_GGUF_H_
#define HET_ENGINE_GGUF_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/kernels/kernels.h"

namespace hetllm {

enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

std::string_view GgufTypeName(GgufType type);
// Bytes of a scalar, 0 for strings and arrays.
uint32_t GgufScalarBytes(GgufType type);

struct GgufValue {
  GgufType type = GgufType::kUint8;
  GgufType element = GgufType::kUint8;  // of an array
  uint64_t count = 0;                   // elements of an array
  std::span<const std::byte> raw;       // the scalar, the text, or the array's body as in the file
};

struct GgufTensor {
  std::string_view name;
  WeightType type = WeightType::kF32;
  uint32_t dimensions = 0;
  uint64_t ne[4] = {1, 1, 1, 1};  // ne[0] is contiguous
  uint64_t bytes = 0;
  const std::byte* data = nullptr;

  uint64_t rows() const { return ne[1] * ne[2] * ne[3]; }
};

class Gguf {
 public:
  // `name` stands in messages (the path).
  static Gguf Parse(std::span<const std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  uint32_t version() const { return version_; }
  uint32_t alignment() const { return alignment_; }

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;

  const std::vector<std::pair<std::string_view, GgufValue>>& metadata() const { return metadata_; }
  bool Has(std::string_view key) const { return Find(key) != nullptr; }

  // Nothing when the key is not there; Error when it is there with a type that does not fit.
  std::optional<uint64_t> GetUint(std::string_view key) const;  // any integer type, not negative
  std::optional<double> GetFloat(std::string_view key) const;   // any float type, finite
  std::optional<bool> GetBool(std::string_view key) const;
  std::optional<std::string_view> GetString(std::string_view key) const;
  std::optional<std::vector<std::string_view>> GetStrings(std::string_view key) const;
  std::optional<std::vector<float>> GetFloats(std::string_view key) const;
  std::optional<std::vector<int64_t>> GetInts(std::string_view key) const;

  // The same for keys that must be there.
  uint64_t RequireUint(std::string_view key, uint64_t low, uint64_t high) const;
  double RequireFloat(std::string_view key) const;

 private:
  friend class GgufParser;

  const GgufValue* Find(std::string_view key) const;
  [[noreturn]] void Mismatch(std::string_view key, const GgufValue& value,
                             std::string_view wanted) const;
  [[noreturn]] void Missing(std::string_view key) const;

  std::string name_;
  uint32_t version_ = 0;
  uint32_t alignment_ = 32;
  std::vector<std::pair<std::string_view, GgufValue>> metadata_;
  std::unordered_map<std::string_view, size_t> metadata_index_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_GGUF_H_
