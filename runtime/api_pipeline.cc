// The C ABI: plans and pipelines. See include/het/het.h.
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "runtime/api_util.h"
#include "runtime/pipeline.h"
#include "scheduler/instance.h"
#include "scheduler/planner.h"

namespace het::runtime {
namespace {

absl::Duration FromNanos(uint64_t nanos) {
  return nanos > static_cast<uint64_t>(INT64_MAX) ? absl::InfiniteDuration()
                                                  : absl::Nanoseconds(static_cast<int64_t>(nanos));
}

// What het_plan_free gets back: the struct first, so that its address is the handle.
struct OwnedPlan {
  het_plan plan{};
  std::vector<het_plan_stage> stages;
};

absl::StatusOr<int64_t> SignedBytes(uint64_t bytes, const char* what, size_t index) {
  if (bytes > static_cast<uint64_t>(scheduler::kMaxBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(what, "[", index, "] is ", bytes));
  }
  return static_cast<int64_t>(bytes);
}

absl::StatusOr<scheduler::Instance> InstanceOf(const het_plan_problem& in) {
  if (in.layer_count == 0 || in.layer_count > scheduler::kMaxLayers || in.slice_count == 0 ||
      in.slice_count > scheduler::kMaxSlices) {
    return absl::InvalidArgumentError(
        absl::StrCat(in.layer_count, " layers on ", in.slice_count, " slices: give 1 to ",
                     scheduler::kMaxLayers, " layers and 1 to ", scheduler::kMaxSlices, " slices"));
  }
  if (in.layer_bytes == nullptr || in.slice_memory_bytes == nullptr || in.layer_ms == nullptr) {
    return absl::InvalidArgumentError("layer_bytes, slice_memory_bytes or layer_ms is NULL");
  }
  scheduler::Instance instance;
  for (size_t i = 0; i < in.layer_count; ++i) {
    scheduler::Layer layer;
    HET_ASSIGN_OR_RETURN(layer.weight_bytes, SignedBytes(in.layer_bytes[i], "layer_bytes", i));
    instance.layers.push_back(layer);
  }
  for (size_t i = 0; i < in.slice_count; ++i) {
    scheduler::SliceSpec slice;
    slice.name = absl::StrCat(i);
    HET_ASSIGN_OR_RETURN(slice.memory_bytes,
                         SignedBytes(in.slice_memory_bytes[i], "slice_memory_bytes", i));
    const double* row = in.layer_ms + i * in.layer_count;
    slice.ms_per_layer.assign(row, row + in.layer_count);
    instance.slices.push_back(std::move(slice));
  }
  if (in.link_ms != nullptr) {
    for (size_t from = 0; from < in.slice_count; ++from) {
      std::vector<scheduler::Link> links(in.slice_count);
      for (size_t to = 0; to < in.slice_count; ++to) {
        links[to].ms_per_transfer = in.link_ms[from * in.slice_count + to];
      }
      instance.links.push_back(std::move(links));
    }
  }
  if (in.objective != HET_THROUGHPUT && in.objective != HET_LATENCY) {
    return absl::InvalidArgumentError(absl::StrCat("objective ", in.objective));
  }
  instance.objective = in.objective == HET_LATENCY ? scheduler::Objective::kLatency
                                                   : scheduler::Objective::kThroughput;
  return instance;
}

// The C stage function as the pipeline calls it.
absl::Status CallStage(het_stage_fn run, void* user, Pipeline::Call& call) {
  het_stage_call c{};
  c.struct_size = sizeof(c);
  c.item = call.item;
  c.item_data = call.item_data;
  c.stage = call.stage;
  c.slot = call.slot;
  c.queue = BorrowC<het_queue>(call.queue);
  c.input = call.input == nullptr ? nullptr : BorrowC<het_buffer>(call.input);
  c.input_bytes = call.input_bytes;
  c.output = call.output == nullptr ? nullptr : BorrowC<het_buffer>(call.output);
  c.output_bytes = call.output_bytes;
  het_status status = nullptr;
  try {
    status = run(user, &c);
  } catch (...) {
    return absl::InternalError("the stage function threw an exception");
  }
  call.output_bytes = c.output_bytes;
  const absl::Status result = FromCStatus(status);
  het_status_free(status);
  return result;
}

absl::StatusOr<Pipeline::Options> OptionsOf(const het_pipeline_options& in) {
  if (in.stage_count > 0) HET_RETURN_IF_ERROR(CheckStructSize(in.stages));
  Pipeline::Options options;
  options.input_capacity = in.input_capacity;
  options.in_flight = in.in_flight;
  const auto* at = reinterpret_cast<const char*>(in.stages);
  for (size_t i = 0; i < in.stage_count; ++i, at += in.stages->struct_size) {
    HET_ASSIGN_OR_RETURN(const het_stage stage, CopyIn(reinterpret_cast<const het_stage*>(at)));
    const auto lease = FromC<LeaseHandle>(stage.lease);
    if (!lease.ok()) return Annotate(lease.status(), absl::StrCat("stages[", i, "].lease"));
    if (stage.run == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("stages[", i, "].run is NULL"));
    }
    options.stages.push_back({Text(stage.name), Ref<LeaseHandle>(*lease),
                              [run = stage.run, user = stage.user](Pipeline::Call& call) {
                                return CallStage(run, user, call);
                              },
                              stage.output_capacity});
  }
  return options;
}

}  // namespace
}  // namespace het::runtime

using namespace het;           // NOLINT: this file is the border, not a header
using namespace het::runtime;  // NOLINT

extern "C" {

het_status het_plan_make(const het_plan_problem* problem, het_plan** plan) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const het_plan_problem in, CopyIn(problem));
    if (plan == nullptr) return NullOutput("plan");
    HET_ASSIGN_OR_RETURN(const scheduler::Instance instance, InstanceOf(in));
    HET_ASSIGN_OR_RETURN(const scheduler::Plan made, scheduler::MakePlan(instance));
    auto owned = std::make_unique<OwnedPlan>();
    for (const scheduler::Stage& stage : made.stages) {
      owned->stages.push_back({static_cast<size_t>(stage.slice), static_cast<size_t>(stage.begin),
                               static_cast<size_t>(stage.end)});
    }
    het_plan& out = owned->plan;
    out.struct_size = sizeof(het_plan);
    out.stage_count = owned->stages.size();
    out.stages = owned->stages.data();
    out.bottleneck_ms = made.bottleneck_ms;
    out.latency_ms = made.latency_ms;
    out.lower_bound_ms = made.lower_bound_ms;
    out.optimal = made.optimal ? 1 : 0;
    out.in_flight = static_cast<uint32_t>(made.groups_in_flight);
    *plan = &owned.release()->plan;
    return absl::OkStatus();
  });
}

void het_plan_free(het_plan* plan) {
  static_assert(offsetof(OwnedPlan, plan) == 0);
  delete reinterpret_cast<OwnedPlan*>(plan);
}

het_status het_pipeline_create(het_session* session, const het_pipeline_options* options,
                               het_pipeline** pipeline) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(Session * handle, FromC<Session>(session));
    HET_ASSIGN_OR_RETURN(const het_pipeline_options in, CopyIn(options));
    if (pipeline == nullptr) return NullOutput("pipeline");
    HET_ASSIGN_OR_RETURN(Pipeline::Options read, OptionsOf(in));
    HET_ASSIGN_OR_RETURN(Ref<Pipeline> made,
                         Pipeline::Create(Ref<Session>(handle), std::move(read)));
    *pipeline = ToC<het_pipeline>(std::move(made));
    return absl::OkStatus();
  });
}

het_status het_pipeline_submit(het_pipeline* pipeline, const het_item* item) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(Pipeline * handle, FromC<Pipeline>(pipeline));
    HET_ASSIGN_OR_RETURN(const het_item in, CopyIn(item));
    Pipeline::Item out;
    out.data = in.data;
    out.input = in.input;
    out.input_bytes = in.input_bytes;
    out.output = in.output;
    out.output_capacity = in.output_capacity;
    if (in.done != nullptr) {
      out.done = [done = in.done, user = in.user](uint64_t number, const absl::Status& status,
                                                  uint64_t output_bytes) {
        const het_status borrowed = ToCStatus(status);
        done(user, number, borrowed, output_bytes);
        het_status_free(borrowed);
      };
    }
    return handle->Submit(std::move(out));
  });
}

het_status het_pipeline_drain(het_pipeline* pipeline, uint64_t timeout_ns) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(Pipeline * handle, FromC<Pipeline>(pipeline));
    return handle->Drain(FromNanos(timeout_ns));
  });
}

void het_pipeline_release(het_pipeline* pipeline) { ReleaseC<Pipeline>(pipeline); }

het_status het_pipeline_get_stage_stats(het_pipeline* pipeline, size_t stage,
                                        het_stage_stats* stats) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const Pipeline* handle, FromC<Pipeline>(pipeline));
    HET_ASSIGN_OR_RETURN(const Pipeline::StageStats now, handle->Stats(stage));
    het_stage_stats out{};
    out.items = now.items;
    out.busy_ns = static_cast<uint64_t>(now.busy_nanos);
    out.transfer_ns = static_cast<uint64_t>(now.transfer_nanos);
    out.transfer_bytes = now.transfer_bytes;
    out.elapsed_ns = static_cast<uint64_t>(now.elapsed_nanos);
    return CopyOut(out, stats);
  });
}

void het_pipeline_reset_stats(het_pipeline* pipeline) {
  const auto handle = FromC<Pipeline>(pipeline);
  if (handle.ok()) (*handle)->ResetStats();
}

int het_pipeline_failed_stage(het_pipeline* pipeline) {
  const auto handle = FromC<Pipeline>(pipeline);
  return handle.ok() ? (*handle)->failed_stage() : -1;
}

}  // extern "C"
