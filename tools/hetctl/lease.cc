// hetctl acquire, release, resize, drain and undrain.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/units.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/find.h"
#include "tools/hetctl/model_file.h"

namespace het::hetctl {
namespace {

struct AcquireOptions {
  std::vector<std::string> devices, shares, memories, names;
  std::string policy = "guaranteed", priority = "normal", tenant, job, ttl, isolation, model,
              objective = "throughput", wait = "0s";
  ModelLoad load;
};

int PrintLeases(const Globals& globals, const std::vector<Lease>& leases) {
  std::vector<Json> items;
  for (const Lease& lease : leases) items.push_back(ToJson(lease, Clock::Real().BoottimeNanos()));
  if (globals.format == Format::kTable || globals.format == Format::kWide) {
    for (const Lease& lease : leases) {
      std::printf("%s  %s of %s, %s, isolation %s\n", lease.id.c_str(),
                  FormatShare(lease.slice.share).c_str(), lease.slice.device.c_str(),
                  FormatBytes(lease.slice.memory_bytes).c_str(),
                  std::string(IsolationName(lease.slice.isolation)).c_str());
    }
    std::fprintf(stderr, "held until released: hetctl release ID\n");
  } else if (items.size() == 1 && globals.format == Format::kJson) {
    PrintObject(items.front(), globals.format);
  } else {
    PrintList({}, items, globals.format, globals.headers);
  }
  return kExitOk;
}

absl::StatusOr<protocol::LeaseTerms> Terms(const AcquireOptions& options) {
  protocol::LeaseTerms terms;
  terms.tenant = options.tenant;
  terms.job = options.job;
  terms.holder = Holder::kManual;  // a lease of hetctl outlives it
  terms.confirm = true;
  if (!options.ttl.empty()) {
    HET_ASSIGN_OR_RETURN(terms.ttl_ms, ParseDurationMillis(options.ttl));
    if (terms.ttl_ms == 0) return absl::InvalidArgumentError("--ttl must be more than 0");
  }
  if (!options.isolation.empty()) {
    HET_ASSIGN_OR_RETURN(terms.isolation_at_least, ParseIsolation(options.isolation));
  }
  return terms;
}

// --device, --share and --memory may be repeated: the i-th of each make the i-th slice; one value
// serves all.
absl::StatusOr<std::vector<SliceRequest>> Slices(const AcquireOptions& options) {
  HET_ASSIGN_OR_RETURN(const Policy policy, ParsePolicy(options.policy));
  HET_ASSIGN_OR_RETURN(const Priority priority, ParsePriority(options.priority));
  const size_t count = options.devices.size();
  const auto pick = [count](const std::vector<std::string>& values, size_t i) {
    return values.size() == count ? values[i] : values.front();
  };
  for (const auto* values : {&options.shares, &options.memories}) {
    if (count == 0) break;
    if (values->empty() || (values->size() != 1 && values->size() != count)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "each of the ", count, " --device needs a --share and a --memory (give them once or ",
          count, " times)"));
    }
  }
  std::vector<SliceRequest> slices(count);
  for (size_t i = 0; i < count; ++i) {
    slices[i].device = options.devices[i];
    slices[i].policy = policy;
    slices[i].priority = priority;
    HET_ASSIGN_OR_RETURN(slices[i].share, ParseShare(pick(options.shares, i)));
    HET_ASSIGN_OR_RETURN(slices[i].memory_bytes, ParseBytes(pick(options.memories, i)));
  }
  for (const std::string& name : options.names) slices.emplace_back().name = name;
  return slices;
}

int AcquireSlices(const Globals& globals, const AcquireOptions& options) {
  protocol::AcquireRequest request;
  auto terms = Terms(options);
  auto slices = Slices(options);
  if (!terms.ok() || !slices.ok()) {
    Fail(terms.ok() ? slices.status() : terms.status());
    return kExitUsage;
  }
  request.terms = *terms;
  request.slices = *slices;
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  for (SliceRequest& slice : request.slices) {
    if (!slice.name.empty()) continue;
    const auto device = FindDevice(**client, slice.device);
    if (!device.ok()) return Fail(device.status());
    slice.device = device->info.uuid;
  }
  const auto leases = (*client)->Acquire(std::move(request));
  return leases.ok() ? PrintLeases(globals, *leases) : Fail(leases.status());
}

void PrintModelPlan(const protocol::ModelPlan& plan) {
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const protocol::ModelStage& stage = plan.stages[i];
    std::printf("stage %zu  layers %d-%d  %s of %s, %s, %.3f ms a step%s\n", i,
                static_cast<int>(stage.begin), static_cast<int>(stage.end) - 1,
                FormatShare(stage.share).c_str(), stage.device.c_str(),
                FormatBytes(stage.memory_bytes).c_str(), stage.ms,
                stage.lease.empty() ? "" : absl::StrCat("  lease ", stage.lease).c_str());
  }
  std::printf(
      "bottleneck %.3f ms, latency %.3f ms, %d in flight%s (estimated from measured bandwidth)\n",
      plan.bottleneck_ms, plan.latency_ms, static_cast<int>(plan.in_flight),
      plan.optimal ? ", optimal" : "");
}

int AcquireModel(const Globals& globals, const AcquireOptions& options) {
  protocol::ModelRequest request;
  auto terms = Terms(options);
  auto wait = ParseDurationMillis(options.wait);
  if (!terms.ok() || !wait.ok()) {
    Fail(terms.ok() ? wait.status() : terms.status());
    return kExitUsage;
  }
  auto model = DescribeModel(options.model, options.load);
  if (!model.ok()) return Fail(model.status());
  request.terms = *terms;
  request.model = *std::move(model);
  request.objective = options.objective;
  request.wait_ms = *wait;
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const auto reply = (*client)->AcquireModel(std::move(request));
  if (!reply.ok()) return Fail(reply.status());
  if (globals.format == Format::kJson || globals.format == Format::kJsonLines) {
    Json json = ToJson(reply->plan);
    json["apiVersion"] = "het/v1";
    json["items"] = Json::array();
    for (const Lease& lease : reply->leases)
      json["items"].push_back(ToJson(lease, Clock::Real().BoottimeNanos()));
    std::printf("%s\n", PrintJson(json, globals.format == Format::kJson ? 2 : -1).c_str());
    return kExitOk;
  }
  if (globals.format == Format::kName) return PrintLeases(globals, reply->leases);
  PrintModelPlan(reply->plan);
  return kExitOk;
}

int Release(const Globals& globals, const std::vector<std::string>& ids) {
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  protocol::LeaseChange change;
  for (const std::string& id : ids) {
    const auto lease = FindLease(**client, id);
    if (!lease.ok()) return Fail(lease.status());
    change.leases.push_back({lease->id, lease->generation});
  }
  const absl::Status status = (*client)->Release(change);
  if (!status.ok()) return Fail(status);
  for (const protocol::LeaseRef& lease : change.leases)
    std::fprintf(stderr, "released %s\n", lease.id.c_str());
  return kExitOk;
}

struct ResizeOptions {
  std::string lease, share, memory, priority;
};

absl::StatusOr<protocol::ResizeRequest> SizesOf(const ResizeOptions& options) {
  protocol::ResizeRequest request;
  if (!options.share.empty()) {
    HET_ASSIGN_OR_RETURN(request.share, ParseShare(options.share));
  }
  if (!options.memory.empty()) {
    HET_ASSIGN_OR_RETURN(request.memory_bytes, ParseBytes(options.memory));
  }
  if (!options.priority.empty()) {
    HET_ASSIGN_OR_RETURN(request.priority, ParsePriority(options.priority));
  }
  if (!request.share && !request.memory_bytes && !request.priority) {
    return absl::InvalidArgumentError("give --share, --memory or --priority");
  }
  return request;
}

int Resize(const Globals& globals, const ResizeOptions& options) {
  auto request = SizesOf(options);
  if (!request.ok()) {
    Fail(request.status());
    return kExitUsage;
  }
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const auto lease = FindLease(**client, options.lease);
  if (!lease.ok()) return Fail(lease.status());
  request->leases = {{lease->id, lease->generation}};
  const auto leases = (*client)->Resize(*std::move(request));
  return leases.ok() ? PrintLeases(globals, *leases) : Fail(leases.status());
}

int Drain(const Globals& globals, const std::string& text, bool drain) {
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const auto device = FindDevice(**client, text);
  if (!device.ok()) return Fail(device.status());
  const absl::Status status = (*client)->Drain(device->info.uuid, drain);
  if (!status.ok()) return Fail(status);
  std::fprintf(stderr, "%s %s\n", device->info.uuid.c_str(),
               drain ? "grants no new slices; those it has stay" : "grants slices again");
  return kExitOk;
}

}  // namespace

void RegisterLease(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<AcquireOptions>();
  CLI::App* acquire =
      app.add_subcommand("acquire", "Lease slices (all or none), or the slices a model needs.");
  auto* device =
      acquire->add_option("--device", options->devices,
                          "device id, its beginning, or backend (may be repeated: all or none)");
  acquire->add_option("--share", options->shares, "percent of its compute, such as 30")
      ->needs(device);
  acquire->add_option("--memory", options->memories, "bytes, such as 1GiB")->needs(device);
  acquire->add_option("--slice", options->names, "a named slice (may be repeated)");
  acquire->add_option("--policy", options->policy, "guaranteed, capped or best_effort");
  acquire->add_option("--priority", options->priority, "high, normal or batch");
  acquire->add_option("--ttl", options->ttl,
                      "end the lease after this time, such as 1h (default: when released)");
  acquire->add_option("--isolation", options->isolation,
                      "what must keep it apart from other users' slices, at least: hardware, "
                      "driver, or cooperative (default: what hetd.toml says)");
  acquire->add_option("--tenant", options->tenant, "a name for reports (default: the user's)");
  acquire->add_option("--job", options->job,
                      "the batch system's job it is for, for reports (default: $SLURM_JOB_ID, "
                      "$PBS_JOBID, $LSB_JOBID or $JOB_ID)");
  auto* model =
      acquire->add_option("--model", options->model,
                          "a model file: hetd plans against what is free and leases every stage");
  model->excludes(device);
  acquire->add_option("--objective", options->objective, "throughput or latency")
      ->needs(model)
      ->check(CLI::IsMember({"throughput", "latency"}));
  acquire->add_option("--wait", options->wait, "how long to wait in line, such as 30s")
      ->needs(model);
  acquire->add_option("--context", options->load.context, "tokens of KV cache per sequence")
      ->needs(model);
  acquire->add_option("--batch", options->load.sequences, "sequences at once")->needs(model);
  acquire->callback([&globals, options] {
    if (options->model.empty() && options->devices.empty() && options->names.empty()) {
      throw CLI::RequiredError("--device with --share and --memory, or --slice, or --model");
    }
    options->load.rows = options->load.sequences;
    globals.run = [&globals, options] {
      return options->model.empty() ? AcquireSlices(globals, *options)
                                    : AcquireModel(globals, *options);
    };
  });

  auto ids = std::make_shared<std::vector<std::string>>();
  CLI::App* release = app.add_subcommand("release", "Give leases back.");
  release->add_option("LEASE", *ids, "lease ids, or unambiguous beginnings of them")->required();
  release->callback(
      [&globals, ids] { globals.run = [&globals, ids] { return Release(globals, *ids); }; });

  auto sizes = std::make_shared<ResizeOptions>();
  CLI::App* resize = app.add_subcommand(
      "resize", "Give a lease another share, memory or priority while its processes run.");
  resize->add_option("LEASE", sizes->lease, "lease id, or an unambiguous beginning")->required();
  resize->add_option("--share", sizes->share, "percent of the device's compute");
  resize->add_option("--memory", sizes->memory, "bytes, such as 2GiB; not below what is used");
  resize->add_option("--priority", sizes->priority, "high, normal or batch");
  resize->callback(
      [&globals, sizes] { globals.run = [&globals, sizes] { return Resize(globals, *sizes); }; });

  for (const bool drain : {true, false}) {
    auto device = std::make_shared<std::string>();
    CLI::App* command =
        drain ? app.add_subcommand("drain", "Grant no new slices of a device; keep those it has.")
              : app.add_subcommand("undrain", "Grant slices of a device again.");
    command->add_option("DEVICE", *device, "device id, its beginning, or backend")->required();
    command->callback([&globals, device, drain] {
      globals.run = [&globals, device, drain] { return Drain(globals, *device, drain); };
    });
  }
}

}  // namespace het::hetctl
