// StepRecordings: the steps that a stage puts on its queue again and again (decode: the same few
// rows over the same memory), recorded the second time one of a kind comes and replayed from then
// on, with one call of the driver in place of hundreds.
//
// What differs between steps of one kind must be in device memory (positions, slots, wanted rows:
// the kernels read them there). The KV cache is allocated whole, so no address changes while a
// stage lives. Input and output buffers outlive this.
//
// Used by one thread, with one queue at a time. Errors of a replay are het::api::Error; a step that
// the driver does not record is queued as ever, and so are all after it.
#ifndef HET_ENGINE_STEP_RECORDINGS_H_
#define HET_ENGINE_STEP_RECORDINGS_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <map>

#include "het/het.hpp"

namespace hetllm {

class StepRecordings {
 public:
  // A step of more rows is bound by its arithmetic, and may ask the vendor's library, which is not
  // recorded.
  static constexpr uint32_t kMostRows = 31;

  struct Kind {
    uint32_t rows, wanted;
    const het_buffer* input;
    const het_buffer* output;
    auto operator<=>(const Kind&) const = default;
  };
  // `step` puts on `queue` what is always the same for `kind`: launches, and copies within the
  // device.
  void Run(het::api::QueueView queue, const Kind& kind, const std::function<void()>& step);

 private:
  static constexpr size_t kMost = 32;  // then the one that was not used for longest goes

  struct Entry {
    het::api::Recording recording;  // none: it came once
    uint64_t last_use = 0;
  };
  std::map<Kind, Entry> entries_;
  uint64_t uses_ = 0;
  bool refused_ = false;
};

}  // namespace hetllm

#endif  // HET_ENGINE_STEP_RECORDINGS_H_
