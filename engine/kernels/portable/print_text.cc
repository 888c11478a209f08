// Prints the engine's portable kernels as one text: what het-spirv makes a module of at build time.
#include <cstdio>

#include "engine/kernels/kernels.h"

int main() {
  const std::string_view text = hetllm::PortableSource();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
