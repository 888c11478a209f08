// Pipeline: the stages of a model over several leases. Items (micro-batches) pass through; while
// one stage computes an item, the channels move others. Built on StepPipeline: every hop of a
// channel and every stage is a step, and a step completes when the timeline behind its work is
// reached. No thread waits on a device but the one in Drain.
//
// Memory: input and output of every stage, times in_flight, charged to the stages' leases. A lost
// device (DataLoss) is sticky: every item in flight and every later one fails with it; other
// failures fail their item. Where a device has a virtual clock everything runs inline, on
// submitting and completing threads, and Drain drives the clock: the same run gives the same times.
//
// Ownership: keeps session and leases alive. Releasing it fails the items that are not done with
// Cancelled, and waits for what runs on the devices.
// Threads: all members are thread-safe; stage functions are called one item at a time per stage.
#ifndef HET_RUNTIME_PIPELINE_H_
#define HET_RUNTIME_PIPELINE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/channel.h"
#include "runtime/handle.h"
#include "runtime/lane.h"
#include "runtime/session.h"
#include "runtime/step_pipeline.h"
#include "runtime/trace.h"

namespace het::runtime {

class Pipeline final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kPipeline;
  static constexpr const char* kTypeName = "het_pipeline";

  struct Call {
    uint64_t item = 0;
    void* item_data = nullptr;
    uint32_t stage = 0;
    uint32_t slot = 0;
    QueueHandle* queue = nullptr;
    BufferHandle* input = nullptr;
    uint64_t input_bytes = 0;
    BufferHandle* output = nullptr;
    uint64_t output_bytes = 0;  // in: capacity; out: what will be written
  };
  struct Stage {
    std::string name;
    Ref<LeaseHandle> lease;
    // Puts the item's work on call.queue and returns. An error fails the item.
    absl::AnyInvocable<absl::Status(Call& call)> run;
    uint64_t output_capacity = 0;
  };
  struct Options {
    std::vector<Stage> stages;
    uint64_t input_capacity = 0;
    uint32_t in_flight = 0;  // 0: stages + 1
  };
  struct Item {
    void* data = nullptr;
    const void* input = nullptr;
    uint64_t input_bytes = 0;
    void* output = nullptr;
    uint64_t output_capacity = 0;
    // Once, on a completing thread.
    absl::AnyInvocable<void(uint64_t item, const absl::Status& status, uint64_t output_bytes)> done;
  };
  struct StageStats {
    uint64_t items = 0;
    int64_t busy_nanos = 0;
    int64_t transfer_nanos = 0;
    uint64_t transfer_bytes = 0;
    int64_t elapsed_nanos = 0;
  };

  static absl::StatusOr<Ref<Pipeline>> Create(Ref<Session> session, Options options);
  ~Pipeline() override;

  // InvalidArgument for an input that is too long or missing.
  absl::Status Submit(Item item);
  absl::Status Drain(absl::Duration timeout);
  // OutOfRange for a stage there is not.
  absl::StatusOr<StageStats> Stats(size_t stage) const;
  void ResetStats();
  int failed_stage() const;

 private:
  // One item on its way; lives from Submit to its leaving.
  struct Passage {
    Item item;
    uint64_t bytes = 0;        // of what it carries now
    int64_t since = 0;         // when the stage before was done with it (or it entered)
    int64_t handed = 0;        // when it was handed to the stage it is in
    absl::Status stage_error;  // of the stage function that ran last
  };

  // Counters by stage; relaxed, they are only ever added up.
  struct StageState {
    Stage stage;
    std::unique_ptr<Lane> lane;
    std::unique_ptr<Channel> channel;                // into this stage
    std::vector<Ref<BufferHandle>> inputs, outputs;  // by slot
    std::atomic<uint64_t> items{0};
    std::atomic<int64_t> transfer_nanos{0};
    std::atomic<uint64_t> transfer_bytes{0};
    std::atomic<int64_t> busy_base{0};
    std::atomic<int64_t> last_done{0};  // for the trace
  };

  Pipeline(Ref<Session> session, Options& options);
  absl::Status Prepare();
  absl::Status PrepareStage(size_t index);
  void BuildSteps();
  void AddHops(size_t boundary, std::vector<StepPipeline::Step>& steps);
  StepPipeline::Outcome MoveItem(size_t boundary, int hop, uint32_t step,
                                 const StepPipeline::Item& item, StepPipeline::Completion done);
  StepPipeline::Outcome RunStage(size_t stage, uint32_t step, const StepPipeline::Item& item,
                                 StepPipeline::Completion done);
  void Arrived(size_t boundary, uint64_t item, Passage& passage);
  // Does nothing without a trace.
  void Record(size_t stage, bool transfer, uint64_t item, int64_t begin, int64_t end, bool failed);
  void Leave(const StepPipeline::Item& item, const absl::Status& status);
  absl::Status Blame(uint32_t step, absl::Status status);
  void DriveOnce(absl::Duration timeout);
  int64_t Now() const { return clock_->MonotonicNanos(); }

  const Ref<Session> session_;
  const uint64_t input_capacity_;
  const uint32_t in_flight_;
  std::vector<std::unique_ptr<StageState>> stages_;
  std::unique_ptr<Channel> exit_;  // from the last stage to the host
  std::vector<size_t> stage_of_step_;
  Trace* const trace_ = Trace::FromEnvironment();
  const uint64_t trace_number_ = trace_ == nullptr ? 0 : Trace::NewPipeline();
  const Clock* clock_ = nullptr;
  bool virtual_time_ = false;
  std::atomic<int64_t> started_{-1};  // first entry, or the last reset; -1: not yet

  std::unique_ptr<Executor> inline_executor_;  // virtual time only
  std::unique_ptr<StepPipeline> steps_;        // last: waits for the items before the rest goes
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_PIPELINE_H_
