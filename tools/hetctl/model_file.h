// ModelFile: what hetd must know of a model file to plan for it. hetctl knows no model formats: it
// asks the reference engine (`hetllm info -o json`), found beside hetctl, in $HET_HETLLM, or on the
// PATH.
#ifndef HET_TOOLS_HETCTL_MODEL_FILE_H_
#define HET_TOOLS_HETCTL_MODEL_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "protocol/messages.h"

namespace het::hetctl {

// `context` tokens of KV for each of `sequences` sequences are counted to every layer; `rows`
// tokens go through one step.
struct ModelLoad {
  uint64_t context = 512;
  uint64_t sequences = 1;
  uint64_t rows = 1;
};

// NotFound when the file or the engine is not there; the engine's own message when it refuses the
// file.
absl::StatusOr<protocol::ModelSpec> DescribeModel(const std::string& path, const ModelLoad& load);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_MODEL_FILE_H_
