// LLM replay: what a request trace comes to on one mixed node, for a given way to deploy a model.
//
// A deployment is one or more replicas; a replica is a chain of stages, each a run of layers on a
// device. Passes (the prefill of newly admitted prompts, or one decode step of a group) go through
// the stages in order; a stage takes one pass at a time, and a pass crosses a link between stages.
// Each replica keeps as many groups as it has stages. A group that comes out of the last stage
// delivers its tokens, then admits waiting requests as long as their KV fits. Requests go to the
// replica with the least waiting and held tokens over its speed.
//
// Prefill goes through whole, before the decodes of its group and at most `prefill_tokens` in one
// pass; or, with `chunk_tokens`, in chunks of so many tokens, each in one pass with a decode step
// of its group (Agrawal et al., Sarathi-Serve, OSDI 2024). Such a pass takes as long as the two
// would one after the other: that weights are read once for both is not credited.
//
// Times are those of the caller's tables; nothing here is measured. Pure and deterministic.
#ifndef HET_SCHEDULER_FLEET_LLM_REPLAY_H_
#define HET_SCHEDULER_FLEET_LLM_REPLAY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace het::fleet {

struct LlmRequest {
  double arrival_s = 0;
  int32_t prompt_tokens = 1;
  int32_t output_tokens = 1;
};

// Azure's "TIMESTAMP,ContextTokens,GeneratedTokens", Mooncake's JSON lines (timestamp in ms,
// input_length, output_length), told apart by the first byte. Times count from the first request.
// InvalidArgument "FILE:LINE: ..." for a malformed row, a time before the one above, more than
// 10 million tokens.
absl::StatusOr<std::vector<LlmRequest>> ParseLlmTrace(absl::string_view text,
                                                      absl::string_view file);

struct LlmStage {
  std::string device;
  int layers = 0;
  std::function<double(double tokens)> prefill_ms;    // of one layer
  std::function<double(double sequences)> decode_ms;  // of one layer
  double to_next_ms_per_token = 0;                    // the link behind it
  double to_next_ms = 0;                              // its latency
};

struct LlmReplica {
  std::vector<LlmStage> stages;
  int64_t kv_tokens = 0;  // that fit beside the weights, on the stage that holds the fewest
};

struct LlmReplayOptions {
  int32_t prefill_tokens = 2048;
  int32_t chunk_tokens = 0;  // above 0: chunked prefill
  int32_t max_group = 256;   // sequences
  // A request counts as good when both hold.
  double ttft_limit_s = 10;
  double tbt_limit_s = 0.2;  // mean over its tokens
  // Everything is there at time 0: what the deployment can do at most.
  bool saturate = false;
  // Asked now and then; false ends the replay, which reports what it has. May be empty.
  std::function<bool()> go_on = {};
};

struct LlmReplayResult {
  int64_t requests = 0, completed = 0, good = 0;
  int64_t refused = 0;  // longer than any replica's KV
  double seconds = 0;   // first arrival to last token
  double output_tokens_per_s = 0;
  double goodput_tokens_per_s = 0;  // output of good requests
  double ttft_p50_s = 0, ttft_p99_s = 0;
  double tbt_p50_s = 0, tbt_p99_s = 0;  // over all tokens but the first
  std::vector<double> busy;             // share of the time, per stage of each replica in turn
};

LlmReplayResult ReplayLlm(const std::vector<LlmRequest>& requests,
                          const std::vector<LlmReplica>& replicas, const LlmReplayOptions& options);

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_LLM_REPLAY_H_
