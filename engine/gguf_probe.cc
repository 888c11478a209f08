#include "engine/gguf_probe.h"

#include "engine/error.h"
#include "engine/gguf.h"
#include "engine/tokenizer.h"

namespace hetllm {
namespace {

template <typename Call>
void Tolerate(const Call& call) {
  try {
    call();
  } catch (const Error&) {  // a getter of the wrong type refuses
  }
}

}  // namespace

std::string ProbeGguf(std::span<const std::byte> bytes) {
  try {
    const Gguf file = Gguf::Parse(bytes, "input");
    for (const auto& [key, value] : file.metadata()) {
      const std::string_view name = key;
      Tolerate([&] { file.GetUint(name); });
      Tolerate([&] { file.GetFloat(name); });
      Tolerate([&] { file.GetBool(name); });
      Tolerate([&] { file.GetString(name); });
      Tolerate([&] { file.GetStrings(name); });
      Tolerate([&] { file.GetFloats(name); });
      Tolerate([&] { file.GetInts(name); });
    }
    unsigned sum = 0;
    for (const GgufTensor& tensor : file.tensors()) {
      for (uint64_t i = 0; i < tensor.bytes; ++i) {
        sum += static_cast<unsigned>(tensor.data[i]);
      }
    }
    volatile unsigned sink = sum;  // the reads must stay
    (void)sink;
    if (const auto tokenizer = Tokenizer::FromGguf(file)) {
      Tolerate([&] { tokenizer->Decode(tokenizer->Encode("12+34=  h\xC3\xA9\xFF llo")); });
    }
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace hetllm
