// Fuzzes the LLM trace reader: any text gives requests within their bounds or an error.
#include <cstdlib>

#include "scheduler/fleet/llm_replay.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto requests = het::fleet::ParseLlmTrace(text, "fuzz");
  if (!requests.ok()) return 0;
  double last = 0;
  for (const auto& request : *requests) {
    if (request.prompt_tokens < 1 || request.output_tokens < 1 || !(request.arrival_s >= last))
      abort();
    last = request.arrival_s;
  }
  return 0;
}
