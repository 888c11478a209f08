#include "runtime/pipeline.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace het::runtime {
namespace {

constexpr size_t kMaxStages = 1024;
constexpr uint32_t kMaxInFlight = 4096;

absl::Status CheckOptions(const Pipeline::Options& options) {
  if (options.stages.empty() || options.stages.size() > kMaxStages) {
    return absl::InvalidArgumentError(
        absl::StrCat("a pipeline has 1 to ", kMaxStages, " stages, not ", options.stages.size()));
  }
  if (options.in_flight > kMaxInFlight) {
    return absl::InvalidArgumentError(
        absl::StrCat("asked ", options.in_flight, " items in flight, at most ", kMaxInFlight));
  }
  for (const Pipeline::Stage& stage : options.stages) {
    if (!stage.lease || !stage.run) {
      return absl::InvalidArgumentError(
          absl::StrCat("stage \"", stage.name, "\" has no ", stage.lease ? "function" : "lease"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Ref<Pipeline>> Pipeline::Create(Ref<Session> session, Options options) {
  HET_RETURN_IF_ERROR(CheckOptions(options));
  Ref<Pipeline> pipeline(new Pipeline(std::move(session), options));
  HET_RETURN_IF_ERROR(pipeline->Prepare());
  return pipeline;
}

Pipeline::Pipeline(Ref<Session> session, Options& options)
    : Handle(kKind),
      session_(std::move(session)),
      input_capacity_(options.input_capacity),
      in_flight_(options.in_flight != 0 ? options.in_flight
                                        : static_cast<uint32_t>(options.stages.size() + 1)) {
  for (Stage& stage : options.stages) {
    stages_.push_back(std::make_unique<StageState>());
    stages_.back()->stage = std::move(stage);
  }
}

Pipeline::~Pipeline() {
  if (trace_ != nullptr) trace_->Flush();
  if (steps_ == nullptr || steps_->drained()) return;
  steps_->Break(0, absl::CancelledError("the pipeline was released"));
  for (auto& state : stages_) {
    state->lane->Close();
    state->channel->Close();
  }
  exit_->Close();
}

absl::Status Pipeline::Prepare() {
  clock_ = &Clock::Real();
  for (size_t i = 0; i < stages_.size(); ++i) {
    absl::Status status = PrepareStage(i);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat("stage ", i, " \"", stages_[i]->stage.name, "\""));
    }
  }
  StageState& last = *stages_.back();
  int nowhere = 0;
  const Channel::Place from{last.outputs.empty() ? nullptr : &**last.outputs[0], &nowhere};
  HET_ASSIGN_OR_RETURN(
      exit_, Channel::Create(last.stage.lease.get(), from, nullptr, {nullptr, &nowhere}, in_flight_,
                             last.stage.output_capacity));
  BuildSteps();
  return absl::OkStatus();
}

absl::Status Pipeline::PrepareStage(size_t index) {
  StageState& state = *stages_[index];
  LeaseHandle& lease = *state.stage.lease;
  HET_ASSIGN_OR_RETURN(Device * device, lease.device());
  if (device->Can(kVirtualTime) && !virtual_time_) {
    virtual_time_ = true;
    clock_ = &device->clock();
  }
  HET_ASSIGN_OR_RETURN(state.lane, Lane::Create(state.stage.lease, QueueKind::kCompute));
  const auto allocate = [&](uint64_t bytes,
                            std::vector<Ref<BufferHandle>>& buffers) -> absl::Status {
    for (uint32_t slot = 0; bytes > 0 && slot < in_flight_; ++slot) {
      HET_ASSIGN_OR_RETURN(Ref<BufferHandle> buffer, lease.Allocate(bytes, MemoryKind::kDevice));
      buffers.push_back(std::move(buffer));
    }
    return absl::OkStatus();
  };
  StageState* before = index == 0 ? nullptr : stages_[index - 1].get();
  const uint64_t capacity = before == nullptr ? input_capacity_ : before->stage.output_capacity;
  if (before != nullptr && &before->lane->device() == device) {
    state.inputs = before->outputs;
  } else {
    HET_RETURN_IF_ERROR(allocate(capacity, state.inputs));
  }
  HET_RETURN_IF_ERROR(allocate(state.stage.output_capacity, state.outputs));

  // Nothing to move: no channel but a shared one is needed, whatever the places are.
  int nowhere = 0;
  const auto place = [&nowhere](const std::vector<Ref<BufferHandle>>& buffers) {
    return buffers.empty() ? Channel::Place{nullptr, &nowhere}
                           : Channel::Place{&**buffers[0], nullptr};
  };
  HET_ASSIGN_OR_RETURN(state.channel,
                       Channel::Create(before == nullptr ? nullptr : before->stage.lease.get(),
                                       before == nullptr ? Channel::Place{nullptr, &nowhere}
                                                         : place(before->outputs),
                                       &lease, place(state.inputs), in_flight_, capacity));
  return absl::OkStatus();
}

// Steps in order: the hops into stage 0, stage 0, the hops into stage 1, ..., the hops to the host.
void Pipeline::BuildSteps() {
  std::vector<StepPipeline::Step> steps;
  for (size_t i = 0; i < stages_.size(); ++i) {
    AddHops(i, steps);
    const auto step = static_cast<uint32_t>(steps.size());
    steps.push_back(
        {[this, i, step](const StepPipeline::Item& item, StepPipeline::Completion completion) {
           return RunStage(i, step, item, completion);
         },
         0});
    stage_of_step_.push_back(i);
  }
  AddHops(stages_.size(), steps);
  Executor* executor = nullptr;
  if (virtual_time_) {
    inline_executor_ = std::make_unique<Executor>(0);
    executor = inline_executor_.get();
  } else {
    executor = &session_->executor();
  }
  steps_ = std::make_unique<StepPipeline>(
      *executor, std::move(steps), in_flight_,
      [this](const StepPipeline::Item& item, const absl::Status& status) { Leave(item, status); });
}

// Boundary i leads into stage i; the last one to the host.
void Pipeline::AddHops(size_t boundary, std::vector<StepPipeline::Step>& steps) {
  const bool is_exit = boundary == stages_.size();
  const Channel& channel = is_exit ? *exit_ : *stages_[boundary]->channel;
  for (int hop = 0; hop < channel.hops(); ++hop) {
    const auto step = static_cast<uint32_t>(steps.size());
    steps.push_back({[this, boundary, hop, step](const StepPipeline::Item& item,
                                                 StepPipeline::Completion completion) {
                       return MoveItem(boundary, hop, step, item, completion);
                     },
                     0});
    const bool before = boundary > 0 && (is_exit || channel.OnSource(hop));
    stage_of_step_.push_back(before ? boundary - 1 : boundary);
  }
}

// A lost device takes the pipeline with it.
absl::Status Pipeline::Blame(uint32_t step, absl::Status status) {
  if (status.ok()) return status;
  const StageState& state = *stages_[stage_of_step_[step]];
  absl::Status named =
      Annotate(status, absl::StrCat("stage ", stage_of_step_[step], " \"", state.stage.name,
                                    "\" on ", state.stage.lease->info().name));
  if (absl::IsDataLoss(status)) steps_->Break(step, named);
  return named;
}

StepPipeline::Outcome Pipeline::MoveItem(size_t boundary, int hop, uint32_t step,
                                         const StepPipeline::Item& item,
                                         StepPipeline::Completion completion) {
  auto& passage = *static_cast<Passage*>(item.data);
  const bool is_exit = boundary == stages_.size();
  Channel& channel = is_exit ? *exit_ : *stages_[boundary]->channel;
  if (boundary == 0 && hop == 0) {
    passage.since = Now();
    int64_t not_yet = -1;
    started_.compare_exchange_strong(not_yet, passage.since);
  }
  Channel::Place from, to;
  if (boundary == 0) {
    from.host = const_cast<void*>(passage.item.input);
  } else if (!stages_[boundary - 1]->outputs.empty()) {
    from.buffer = &**stages_[boundary - 1]->outputs[item.slot];
  }
  if (is_exit) {
    if (passage.item.output == nullptr) return absl::OkStatus();
    if (passage.bytes > passage.item.output_capacity) {
      return absl::InvalidArgumentError(absl::StrCat("the last stage wrote ", passage.bytes,
                                                     " bytes, the item has room for ",
                                                     passage.item.output_capacity));
    }
    to.host = passage.item.output;
  } else if (!stages_[boundary]->inputs.empty()) {
    to.buffer = &**stages_[boundary]->inputs[item.slot];
  }
  const bool last_hop = hop + 1 == channel.hops();
  const auto finish = [this, boundary, step, last_hop, number = item.number,
                       &passage](absl::Status status) {
    if (status.ok() && last_hop) Arrived(boundary, number, passage);
    return Blame(step, std::move(status));
  };
  const auto at_once = channel.Start(
      hop, item.slot, from, to, passage.bytes,
      [finish, completion](absl::Status status) { completion.Done(finish(std::move(status))); });
  if (!at_once.has_value()) return StepPipeline::kLater;
  return finish(*at_once);
}

void Pipeline::Arrived(size_t boundary, uint64_t item, Passage& passage) {
  if (boundary == stages_.size()) return;
  StageState& state = *stages_[boundary];
  const int64_t now = Now();
  Record(boundary, /*transfer=*/true, item, passage.since, now, /*failed=*/false);
  state.transfer_nanos.fetch_add(now - passage.since, std::memory_order_relaxed);
  state.transfer_bytes.fetch_add(passage.bytes, std::memory_order_relaxed);
}

void Pipeline::Record(size_t stage, bool transfer, uint64_t item, int64_t begin, int64_t end,
                      bool failed) {
  if (trace_ == nullptr) return;
  const Stage& of = stages_[stage]->stage;
  trace_->Add({trace_number_, static_cast<uint32_t>(stage), of.name, of.lease->info().name,
               transfer, item, begin, end, virtual_time_, failed});
}

StepPipeline::Outcome Pipeline::RunStage(size_t index, uint32_t step,
                                         const StepPipeline::Item& item,
                                         StepPipeline::Completion completion) {
  StageState& state = *stages_[index];
  auto& passage = *static_cast<Passage*>(item.data);
  passage.handed = Now();
  state.lane->Submit(
      [&](QueueHandle& queue, const Fence& signal) {
        Call call;
        call.item = item.number;
        call.item_data = passage.item.data;
        call.stage = static_cast<uint32_t>(index);
        call.slot = item.slot;
        call.queue = &queue;
        call.input = state.inputs.empty() ? nullptr : state.inputs[item.slot].get();
        call.input_bytes = passage.bytes;
        call.output = state.outputs.empty() ? nullptr : state.outputs[item.slot].get();
        call.output_bytes = state.stage.output_capacity;
        passage.stage_error = state.stage.run(call);
        if (passage.stage_error.ok() && call.output_bytes > state.stage.output_capacity) {
          passage.stage_error = absl::InvalidArgumentError(
              absl::StrCat("said it writes ", call.output_bytes, " bytes, the output holds ",
                           state.stage.output_capacity));
        }
        passage.bytes = call.output_bytes;
        // Behind what it put there, even when it failed half-way: the slot is free after that.
        return queue->Barrier(Sync{{}, signal});
      },
      [this, index, &state, &passage, step, number = item.number, completion](absl::Status status) {
        if (!passage.stage_error.ok()) status = passage.stage_error;
        passage.since = Now();
        // A stage works on one item after the other: this one began when the one before was done.
        const int64_t before = state.last_done.exchange(passage.since, std::memory_order_relaxed);
        Record(index, /*transfer=*/false, number, std::max(passage.handed, before), passage.since,
               !status.ok());
        if (status.ok()) state.items.fetch_add(1, std::memory_order_relaxed);
        completion.Done(Blame(step, std::move(status)));
      });
  return StepPipeline::kLater;
}

void Pipeline::Leave(const StepPipeline::Item& item, const absl::Status& status) {
  const std::unique_ptr<Passage> passage(static_cast<Passage*>(item.data));
  if (passage->item.done) {
    passage->item.done(item.number, status, status.ok() ? passage->bytes : 0);
  }
}

absl::Status Pipeline::Submit(Item item) {
  if (item.input_bytes > input_capacity_) {
    return absl::InvalidArgumentError(absl::StrCat("an input of ", item.input_bytes,
                                                   " bytes, the pipeline takes ", input_capacity_));
  }
  if (item.input_bytes > 0 && item.input == nullptr) {
    return absl::InvalidArgumentError("an item with input bytes and no input");
  }
  auto passage = std::make_unique<Passage>();
  passage->bytes = item.input_bytes;
  passage->item = std::move(item);
  steps_->Submit(passage.release());
  return absl::OkStatus();
}

void Pipeline::DriveOnce(absl::Duration timeout) {
  for (auto& state : stages_) {
    if (state->lane->Drive(timeout) || state->channel->Drive(timeout)) return;
  }
  if (exit_->Drive(timeout)) return;
  // Another thread runs the steps just now.
  absl::SleepFor(absl::Microseconds(50));
}

absl::Status Pipeline::Drain(absl::Duration timeout) {
  if (!virtual_time_) return steps_->Drain(timeout);
  const absl::Time deadline = absl::Now() + timeout;
  while (!steps_->drained() && absl::Now() < deadline) DriveOnce(deadline - absl::Now());
  return steps_->Drain(deadline - absl::Now());
}

absl::StatusOr<Pipeline::StageStats> Pipeline::Stats(size_t index) const {
  if (index >= stages_.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("asked stage ", index, ", there are ", stages_.size()));
  }
  const StageState& state = *stages_[index];
  StageStats stats;
  stats.items = state.items.load(std::memory_order_relaxed);
  stats.busy_nanos = state.lane->busy_nanos() - state.busy_base.load(std::memory_order_relaxed);
  stats.transfer_nanos = state.transfer_nanos.load(std::memory_order_relaxed);
  stats.transfer_bytes = state.transfer_bytes.load(std::memory_order_relaxed);
  const int64_t started = started_.load();
  stats.elapsed_nanos = started < 0 ? 0 : Now() - started;
  return stats;
}

void Pipeline::ResetStats() {
  for (auto& state : stages_) {
    state->items.store(0, std::memory_order_relaxed);
    state->transfer_nanos.store(0, std::memory_order_relaxed);
    state->transfer_bytes.store(0, std::memory_order_relaxed);
    state->busy_base.store(state->lane->busy_nanos(), std::memory_order_relaxed);
  }
  if (started_.load() >= 0) started_.store(Now());
}

int Pipeline::failed_stage() const {
  const int step = steps_->failed_step();
  return step < 0 ? -1 : static_cast<int>(stage_of_step_[static_cast<size_t>(step)]);
}

}  // namespace het::runtime
