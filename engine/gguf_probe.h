// ProbeGguf: parses bytes and touches everything a parsed file offers, for the fuzz target and the
// mutation test.
//
// Pure function.
#ifndef HET_ENGINE_GGUF_PROBE_H_
#define HET_ENGINE_GGUF_PROBE_H_

#include <cstddef>
#include <span>
#include <string>

namespace hetllm {

// The message of the Error that the file gave, empty when the file is good. Reads every byte of
// every tensor and every metadata value through each getter.
std::string ProbeGguf(std::span<const std::byte> bytes);

}  // namespace hetllm

#endif  // HET_ENGINE_GGUF_PROBE_H_
