// libFuzzer target: any bytes are either a GGUF file or one hetllm::Error.
//
//   build/bin/gguf_fuzz -max_len=65536 -max_total_time=60 CORPUS
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/gguf_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hetllm::ProbeGguf(std::as_bytes(std::span(data, size)));
  return 0;
}
