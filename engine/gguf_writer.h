// GgufWriter: writes a GGUF file, version 3, alignment 32.
//
// Declare metadata and tensors, then Write once: tensor data is asked for in pieces, so a file
// larger than memory can be written. The file appears under its name only when it is complete; a
// failure (a full disk) removes what was written and is thrown as Error. Used by one thread.
#ifndef HET_ENGINE_GGUF_WRITER_H_
#define HET_ENGINE_GGUF_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf.h"

namespace hetllm {

class GgufWriter {
 public:
  // Fills `out`, the bytes [offset, offset + out.size()) of tensor `index` (in the order of
  // AddTensor). Offsets are multiples of `piece_bytes` of that tensor.
  using Fill = std::function<void(size_t index, uint64_t offset, std::span<std::byte> out)>;

  void SetUint32(std::string_view key, uint32_t value);
  void SetFloat(std::string_view key, float value);
  void SetBool(std::string_view key, bool value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, std::span<const std::string> values);
  void SetFloats(std::string_view key, std::span<const float> values);
  void SetInts(std::string_view key, std::span<const int32_t> values);

  // `ne[0]` is the contiguous dimension. Error when its rows are no whole blocks.
  void AddTensor(std::string_view name, WeightType type, std::span<const uint64_t> ne);
  uint64_t tensor_bytes(size_t index) const { return tensor_bytes_[index]; }
  size_t tensor_count() const { return tensor_bytes_.size(); }

  // The whole file's size.
  uint64_t FileBytes() const;
  // The bytes before the tensor data (padded).
  std::vector<std::byte> Header() const;
  void Write(const std::string& path, const Fill& fill,
             const std::function<void(uint64_t done)>& progress = nullptr) const;

  // A multiple of every block size.
  static constexpr uint64_t kPieceBytes = uint64_t{16} * 9 * 5 * 7 * 11 * 17 * 4;

 private:
  void Key(std::string_view key, GgufType type);

  std::vector<std::byte> metadata_;
  uint64_t metadata_count_ = 0;
  std::vector<std::byte> infos_;
  std::vector<uint64_t> tensor_bytes_;
  uint64_t data_bytes_ = 0;
};

}  // namespace hetllm

#endif  // HET_ENGINE_GGUF_WRITER_H_
