#include "engine/gguf.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr int kMaxArrayDepth = 4;
constexpr size_t kMaxNameBytes = 65535;

struct TypeRow {
  std::string_view name;
  uint32_t bytes;
};

constexpr TypeRow kTypes[] = {{"uint8", 1},  {"int8", 1},  {"uint16", 2},  {"int16", 2},
                              {"uint32", 4}, {"int32", 4}, {"float32", 4}, {"bool", 1},
                              {"string", 0}, {"array", 0}, {"uint64", 8},  {"int64", 8},
                              {"float64", 8}};

template <typename T>
T LoadAs(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// The integer at `from`, widened; nothing for a uint64 that int64 cannot hold and for types that
// are no integers.
std::optional<int64_t> LoadInteger(GgufType type, const std::byte* from) {
  switch (type) {
    case GgufType::kUint8:
      return LoadAs<uint8_t>(from);
    case GgufType::kInt8:
      return LoadAs<int8_t>(from);
    case GgufType::kUint16:
      return LoadAs<uint16_t>(from);
    case GgufType::kInt16:
      return LoadAs<int16_t>(from);
    case GgufType::kUint32:
      return LoadAs<uint32_t>(from);
    case GgufType::kInt32:
      return LoadAs<int32_t>(from);
    case GgufType::kInt64:
      return LoadAs<int64_t>(from);
    case GgufType::kUint64: {
      const auto value = LoadAs<uint64_t>(from);
      if (value > static_cast<uint64_t>(INT64_MAX)) {
        return std::nullopt;
      }
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string_view GgufTypeName(GgufType type) {
  const auto number = static_cast<uint32_t>(type);
  return number < std::size(kTypes) ? kTypes[number].name : "unknown";
}

uint32_t GgufScalarBytes(GgufType type) {
  const auto number = static_cast<uint32_t>(type);
  return number < std::size(kTypes) ? kTypes[number].bytes : 0;
}

// Reads front to back. Every read is checked against what is left.
class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, Gguf& out) : bytes_(bytes), out_(out) {}

  void Run() {
    uint64_t tensor_count = 0;
    uint64_t metadata_count = 0;
    ReadHeader(&tensor_count, &metadata_count);
    for (uint64_t i = 0; i < metadata_count; ++i) {
      ReadMetadata();
    }
    ReadAlignment();
    for (uint64_t i = 0; i < tensor_count; ++i) {
      ReadTensorInfo();
    }
    PlaceTensors();
  }

 private:
  template <typename... Parts>
  [[noreturn]] void Fail(const Parts&... parts) const {
    throw Error(Cat("'", out_.name_, "' is not a usable GGUF file: ", parts...));
  }

  uint64_t left() const { return bytes_.size() - position_; }

  std::span<const std::byte> Take(uint64_t size, std::string_view what) {
    if (size > left()) {
      Fail("it ends at byte ", bytes_.size(), ", but ", what, " at byte ", position_, " needs ",
           size, " bytes");
    }
    const auto part = bytes_.subspan(position_, size);
    position_ += size;
    return part;
  }

  template <typename T>
  T Read(std::string_view what) {
    return LoadAs<T>(Take(sizeof(T), what).data());
  }

  std::string_view ReadString(std::string_view what) {
    const auto size = Read<uint64_t>(what);
    const auto raw = Take(size, what);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }

  std::string_view ReadName(std::string_view what) {
    const std::string_view name = ReadString(what);
    if (name.empty() || name.size() > kMaxNameBytes) {
      Fail(what, " before byte ", position_, " has ", name.size(), " bytes; 1 to ", kMaxNameBytes,
           " are allowed");
    }
    return name;
  }

  void ReadHeader(uint64_t* tensor_count, uint64_t* metadata_count) {
    if (bytes_.empty()) {
      Fail("it is empty");
    }
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      const size_t shown = std::min<size_t>(4, bytes_.size());
      Fail("it begins with '", Printable({reinterpret_cast<const char*>(bytes_.data()), shown}),
           "', not with 'GGUF'");
    }
    position_ = 4;
    out_.version_ = Read<uint32_t>("the version");
    if (out_.version_ != 2 && out_.version_ != 3) {
      const bool swapped = out_.version_ == 0x02000000 || out_.version_ == 0x03000000;
      Fail("it has version ", out_.version_, "; versions 2 and 3 are read",
           swapped ? " (the file is big-endian; little-endian files are read)" : "");
    }
    *tensor_count = Read<uint64_t>("the number of tensors");
    *metadata_count = Read<uint64_t>("the number of metadata entries");
    // The shortest entry: a name of one byte, a type and one byte of value; or a name, a dimension,
    // a type, an offset.
    constexpr uint64_t kShortestMetadata = 8 + 1 + 4 + 1;
    constexpr uint64_t kShortestTensor = 8 + 1 + 4 + 8 + 4 + 8;
    if (*metadata_count > left() / kShortestMetadata) {
      Fail("it claims ", *metadata_count, " metadata entries, more than its ", bytes_.size(),
           " bytes can hold");
    }
    if (*tensor_count > left() / kShortestTensor) {
      Fail("it claims ", *tensor_count, " tensors, more than its ", bytes_.size(),
           " bytes can hold");
    }
  }

  GgufType ReadType(std::string_view key) {
    const auto number = Read<uint32_t>("a metadata type");
    if (number >= std::size(kTypes)) {
      Fail("metadata '", Printable(key), "' has the unknown type ", number);
    }
    return static_cast<GgufType>(number);
  }

  // The body of an array of `count` elements: only walked, to know where it ends.
  void SkipArray(std::string_view key, GgufType element, uint64_t count, int depth) {
    if (const uint32_t size = GgufScalarBytes(element); size != 0) {
      if (count > left() / size) {
        Fail("metadata '", Printable(key), "' claims ", count, " elements of ", size,
             " bytes; the file has ", left(), " bytes left");
      }
      position_ += count * size;
      return;
    }
    const uint64_t shortest = element == GgufType::kString ? 8 : 12;
    if (count > left() / shortest) {
      Fail("metadata '", Printable(key), "' claims ", count, " elements; the file has ", left(),
           " bytes left");
    }
    if (element == GgufType::kArray && depth >= kMaxArrayDepth) {
      Fail("metadata '", Printable(key), "' nests arrays deeper than ", kMaxArrayDepth);
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (element == GgufType::kString) {
        ReadString("a text in an array");
      } else {
        const GgufType inner = ReadType(key);
        SkipArray(key, inner, Read<uint64_t>("the length of an array"), depth + 1);
      }
    }
  }

  void ReadMetadata() {
    const std::string_view key = ReadName("a metadata key");
    GgufValue value;
    value.type = ReadType(key);
    if (value.type == GgufType::kString) {
      const std::string_view text = ReadString("a metadata text");
      value.raw = std::as_bytes(std::span(text));
    } else if (value.type == GgufType::kArray) {
      value.element = ReadType(key);
      value.count = Read<uint64_t>("the length of an array");
      const uint64_t begin = position_;
      SkipArray(key, value.element, value.count, 1);
      value.raw = bytes_.subspan(begin, position_ - begin);
    } else {
      value.raw = Take(GgufScalarBytes(value.type), "a metadata value");
    }
    if (!out_.metadata_index_.emplace(key, out_.metadata_.size()).second) {
      Fail("metadata '", Printable(key), "' is there twice");
    }
    out_.metadata_.emplace_back(key, value);
  }

  void ReadAlignment() {
    const uint64_t alignment = out_.GetUint("general.alignment").value_or(32);
    const bool power = alignment != 0 && (alignment & (alignment - 1)) == 0;
    if (!power || alignment < 8 || alignment > kMaxAlignment) {
      Fail("general.alignment is ", alignment, "; a power of two from 8 to ", kMaxAlignment,
           " is needed");
    }
    out_.alignment_ = static_cast<uint32_t>(alignment);
  }

  void ReadTensorInfo() {
    GgufTensor tensor;
    tensor.name = ReadName("a tensor name");
    const std::string shown = Printable(tensor.name);
    tensor.dimensions = Read<uint32_t>("the dimensions of a tensor");
    if (tensor.dimensions < 1 || tensor.dimensions > 4) {
      Fail("tensor '", shown, "' has ", tensor.dimensions, " dimensions; 1 to 4 are allowed");
    }
    uint64_t elements = 1;
    for (uint32_t i = 0; i < tensor.dimensions; ++i) {
      tensor.ne[i] = Read<uint64_t>("a dimension of a tensor");
      if (tensor.ne[i] == 0 || __builtin_mul_overflow(elements, tensor.ne[i], &elements)) {
        Fail("tensor '", shown, "' has the impossible dimension ", tensor.ne[i]);
      }
    }
    const auto number = Read<uint32_t>("the type of a tensor");
    const auto type = WeightTypeFromNumber(number);
    if (!type) {
      Fail("tensor '", shown, "' has type ", number, " (", GgmlTypeName(number),
           "); this version runs ", WeightTypeNames(), ". Convert the model to one of them");
    }
    tensor.type = *type;
    if (tensor.ne[0] % BlockElements(*type) != 0) {
      Fail("tensor '", shown, "' has rows of ", tensor.ne[0], " elements; ", WeightTypeName(*type),
           " needs a multiple of ", BlockElements(*type));
    }
    if (__builtin_mul_overflow(elements / BlockElements(*type), BlockBytes(*type), &tensor.bytes)) {
      Fail("tensor '", shown, "' has ", elements, " elements, more than memory can address");
    }
    offsets_.push_back(Read<uint64_t>("the offset of a tensor"));
    if (!out_.tensor_index_.emplace(tensor.name, out_.tensors_.size()).second) {
      Fail("tensor '", shown, "' is there twice");
    }
    out_.tensors_.push_back(tensor);
  }

  void PlaceTensors() {
    if (out_.tensors_.empty()) {
      return;
    }
    const uint64_t alignment = out_.alignment_;
    const uint64_t start = (position_ + alignment - 1) / alignment * alignment;
    if (start > bytes_.size()) {
      Fail("it ends at byte ", bytes_.size(), ", before its tensor data at byte ", start);
    }
    const uint64_t room = bytes_.size() - start;
    for (size_t i = 0; i < offsets_.size(); ++i) {
      GgufTensor& tensor = out_.tensors_[i];
      if (offsets_[i] % alignment != 0) {
        Fail("tensor '", Printable(tensor.name), "' begins at offset ", offsets_[i],
             ", which is no multiple of the alignment ", alignment);
      }
      if (offsets_[i] > room || tensor.bytes > room - offsets_[i]) {
        Fail("tensor '", Printable(tensor.name), "' needs ", tensor.bytes, " bytes at offset ",
             offsets_[i], " of the tensor data, which has ", room,
             " bytes. Was the file copied or downloaded completely?");
      }
      tensor.data = bytes_.data() + start + offsets_[i];
    }
    RefuseOverlaps();
  }

  void RefuseOverlaps() const {
    std::vector<size_t> order(offsets_.size());
    for (size_t i = 0; i < order.size(); ++i) {
      order[i] = i;
    }
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return offsets_[a] < offsets_[b]; });
    for (size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& before = out_.tensors_[order[i - 1]];
      const GgufTensor& after = out_.tensors_[order[i]];
      if (before.data + before.bytes > after.data) {
        Fail("tensors '", Printable(before.name), "' and '", Printable(after.name),
             "' overlap at offset ", offsets_[order[i]]);
      }
    }
  }

  const std::span<const std::byte> bytes_;
  Gguf& out_;
  uint64_t position_ = 0;
  std::vector<uint64_t> offsets_;
};

Gguf Gguf::Parse(std::span<const std::byte> bytes, std::string name) {
  Gguf file;
  file.name_ = std::move(name);
  GgufParser(bytes, file).Run();
  return file;
}

const GgufTensor* Gguf::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* Gguf::Find(std::string_view key) const {
  const auto found = metadata_index_.find(key);
  return found == metadata_index_.end() ? nullptr : &metadata_[found->second].second;
}

void Gguf::Mismatch(std::string_view key, const GgufValue& value, std::string_view wanted) const {
  std::string type(GgufTypeName(value.type));
  if (value.type == GgufType::kArray) {
    type += Cat(" of ", GgufTypeName(value.element));
  }
  throw Error(
      Cat("'", name_, "': metadata '", key, "' is of type ", type, "; ", wanted, " is expected"));
}

void Gguf::Missing(std::string_view key) const {
  throw Error(Cat("'", name_, "' has no metadata '", key, "', which this kind of model needs"));
}

std::optional<uint64_t> Gguf::GetUint(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type == GgufType::kUint64) {
    return LoadAs<uint64_t>(value->raw.data());
  }
  const auto integer = LoadInteger(value->type, value->raw.data());
  if (!integer || *integer < 0) {
    Mismatch(key, *value, "an integer that is not negative");
  }
  return static_cast<uint64_t>(*integer);
}

std::optional<double> Gguf::GetFloat(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  double number = NAN;
  if (value->type == GgufType::kFloat32) {
    number = LoadAs<float>(value->raw.data());
  } else if (value->type == GgufType::kFloat64) {
    number = LoadAs<double>(value->raw.data());
  }
  if (!std::isfinite(number)) {
    Mismatch(key, *value, "a finite number");
  }
  return number;
}

std::optional<bool> Gguf::GetBool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type != GgufType::kBool) {
    Mismatch(key, *value, "bool");
  }
  return LoadAs<uint8_t>(value->raw.data()) != 0;
}

std::optional<std::string_view> Gguf::GetString(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type != GgufType::kString) {
    Mismatch(key, *value, "string");
  }
  return std::string_view(reinterpret_cast<const char*>(value->raw.data()), value->raw.size());
}

std::optional<std::vector<std::string_view>> Gguf::GetStrings(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type != GgufType::kArray || value->element != GgufType::kString) {
    Mismatch(key, *value, "an array of string");
  }
  std::vector<std::string_view> texts;
  texts.reserve(value->count);  // at most raw.size() / 8: the parser walked the body
  const std::byte* at = value->raw.data();
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto size = LoadAs<uint64_t>(at);
    texts.emplace_back(reinterpret_cast<const char*>(at + 8), size);
    at += 8 + size;
  }
  return texts;
}

std::optional<std::vector<float>> Gguf::GetFloats(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type != GgufType::kArray || value->element != GgufType::kFloat32) {
    Mismatch(key, *value, "an array of float32");
  }
  std::vector<float> numbers(value->count);
  if (!numbers.empty()) {
    std::memcpy(numbers.data(), value->raw.data(), value->raw.size());
  }
  return numbers;
}

std::optional<std::vector<int64_t>> Gguf::GetInts(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  std::vector<int64_t> numbers;
  if (value->type == GgufType::kArray) {
    const uint32_t size = GgufScalarBytes(value->element);
    for (uint64_t i = 0; i < value->count && size != 0; ++i) {
      const auto number = LoadInteger(value->element, value->raw.data() + i * size);
      if (!number) {
        break;
      }
      numbers.push_back(*number);
    }
  }
  if (value->type != GgufType::kArray || numbers.size() != value->count) {
    Mismatch(key, *value, "an array of integers");
  }
  return numbers;
}

uint64_t Gguf::RequireUint(std::string_view key, uint64_t low, uint64_t high) const {
  const auto value = GetUint(key);
  if (!value) {
    Missing(key);
  }
  if (*value < low || *value > high) {
    throw Error(Cat("'", name_, "': metadata '", key, "' is ", *value, "; ", low, " to ", high,
                    " is possible"));
  }
  return *value;
}

double Gguf::RequireFloat(std::string_view key) const {
  const auto value = GetFloat(key);
  if (!value) {
    Missing(key);
  }
  return *value;
}

}  // namespace hetllm
