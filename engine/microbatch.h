// Microbatch: the rows that go through the pipeline as one item: one token each, of any sequences
// in any mix.
//
// Plain data, made by the generator and kept by it, unchanged, until the item is done: stages
// upload from it.
#ifndef HET_ENGINE_MICROBATCH_H_
#define HET_ENGINE_MICROBATCH_H_

#include <cstdint>
#include <vector>

namespace hetllm {

struct Microbatch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;  // [rows], in the sequence
  std::vector<int32_t> slots;      // [rows], of the KV cache
  std::vector<int32_t> wanted;     // rows whose logits are wanted, ascending; may be empty

  uint32_t rows() const { return static_cast<uint32_t>(tokens.size()); }

  // What the last stage writes: [wanted][vocab] float32, or [wanted] int32 where the greedy choice
  // is made on the device.
  std::vector<float> logits;
  std::vector<int32_t> choices;
  // What every stage but the first got, [rows][embd] each, where the engine keeps that.
  std::vector<std::vector<float>> inputs;

  void Add(int32_t token, int32_t position, int32_t slot, bool want) {
    if (want) {
      wanted.push_back(static_cast<int32_t>(tokens.size()));
    }
    tokens.push_back(token);
    positions.push_back(position);
    slots.push_back(slot);
  }
  void Clear() {
    tokens.clear();
    positions.clear();
    slots.clear();
    wanted.clear();
  }
};

}  // namespace hetllm

#endif  // HET_ENGINE_MICROBATCH_H_
