// libFuzzer: any bytes are a model or one Error.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/error.h"
#include "engine/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("model_fuzz", 0);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
    return 0;
  }
  try {
    const hetllm::Model model("/proc/self/fd/" + std::to_string(file));
    for (size_t layer = 0; layer < model.layer_count(); ++layer) {
      (void)model.LayerSignature(layer);
      (void)model.FlopsPerToken(layer);
    }
  } catch (const hetllm::Error&) {  // refused
  }
  return 0;
}
