// Generator: runs several prompts as one batch through an Engine: prefill in chunks, then decode in
// groups, both as micro-batches in flight, so that the stages of the pipeline overlap.
//
// What a prompt has in common with what the run before left in its place of the KV cache is not
// computed again (a conversation goes on where it was).
//
// A lost device is survived: the engine places the model again over the other slices, fills the
// caches of the lost layers from what it kept (else the prompts and what they generated so far run
// once more), and generation goes on with the same tokens. Used by one thread; `on_token` is called
// on it. Errors: Error and het::api::Error; Ctrl-C ends with Error (exit 130) after the
// micro-batches in flight are done.
#ifndef HET_ENGINE_GENERATOR_H_
#define HET_ENGINE_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/microbatch.h"
#include "engine/sampler.h"

namespace hetllm {

struct GenerateOptions {
  uint32_t max_new = 1;     // tokens per prompt
  SamplerOptions sampling;  // needs an engine without Limits::greedy when it is not greedy itself
  bool stop_at_end = true;  // at EOS / EOT
};

struct Sequence {
  std::vector<int32_t> tokens;  // the prompt, then what was generated
  size_t prompt = 0;            // tokens of the prompt
  bool done = false;
};

struct Timings {
  double prefill_ms = 0;
  uint64_t prefill_tokens = 0;
  double decode_ms = 0;
  uint64_t decode_tokens = 0;
  uint32_t prefill_items = 0;
  uint32_t decode_groups = 0;
  uint32_t recoveries = 0;
  uint32_t rebuilds = 0;   // of these, without running the prompts again
  double recovery_ms = 0;  // part of the phases' times
};

class Generator {
 public:
  using OnToken = std::function<void(size_t sequence, int32_t token)>;

  Generator(Engine& engine, GenerateOptions options) : engine_(engine), options_(options) {}

  // One result per prompt, in order. Every prompt has at least one token; prompt + max_new must fit
  // the engine's context.
  std::vector<Sequence> Run(const std::vector<std::vector<int32_t>>& prompts,
                            const OnToken& on_token = nullptr);
  const Timings& timings() const { return timings_; }

 private:
  // A micro-batch under way, and the sequence that each wanted row belongs to.
  struct Flight {
    Microbatch batch;
    std::vector<size_t> wanted;
    size_t group = 0;
  };
  class Inbox;

  void Prefill();
  void Decode();
  void Launch(Flight& flight, Inbox& inbox);
  // Takes the tokens of a finished micro-batch.
  void Accept(const Flight& flight);
  void SubmitGroup(Flight& flight, Inbox& inbox);
  std::vector<std::unique_ptr<Flight>> MakePrefill();
  std::vector<std::unique_ptr<Flight>> MakeGroups() const;
  bool AllDone() const;
  void Recover();

  Engine& engine_;
  const GenerateOptions options_;
  std::vector<Sequence> sequences_;
  CachedTokens cached_;           // what the KV cache holds, between the phases
  std::vector<size_t> computed_;  // per sequence: tokens whose keys are in every cache
  std::vector<Sampler> samplers_;
  OnToken on_token_;
  Timings timings_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_GENERATOR_H_
