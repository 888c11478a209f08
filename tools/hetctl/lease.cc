// hetctl acquire and release.
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
#include "tools/hetctl/model_file.h"

namespace het::hetctl {
namespace {

struct AcquireOptions {
  std::vector<std::string> devices, shares, memories;
  std::string policy = "guaranteed", tenant, ttl, model, objective = "throughput", wait = "0s";
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
  terms.holder = Holder::kManual;  // a lease of hetctl outlives it
  terms.confirm = true;
  if (!options.ttl.empty()) {
    HET_ASSIGN_OR_RETURN(terms.ttl_ms, ParseDurationMillis(options.ttl));
    if (terms.ttl_ms == 0) return absl::InvalidArgumentError("--ttl must be more than 0");
  }
  return terms;
}

// --device, --share and --memory may be repeated: the i-th of each make the i-th slice; one value
// serves all.
absl::StatusOr<std::vector<SliceRequest>> Slices(const AcquireOptions& options) {
  HET_ASSIGN_OR_RETURN(const Policy policy, ParsePolicy(options.policy));
  const size_t count = options.devices.size();
  const auto pick = [count](const std::vector<std::string>& values, size_t i) {
    return values.size() == count ? values[i] : values.front();
  };
  for (const auto* values : {&options.shares, &options.memories}) {
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
    HET_ASSIGN_OR_RETURN(slices[i].share, ParseShare(pick(options.shares, i)));
    HET_ASSIGN_OR_RETURN(slices[i].memory_bytes, ParseBytes(pick(options.memories, i)));
  }
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
  const auto leases = (*client)->ListLeases();
  if (!leases.ok()) return Fail(leases.status());
  protocol::LeaseChange change;
  for (const std::string& id : ids) {
    const auto matches = [&id](const Lease& lease) { return absl::StartsWith(lease.id, id); };
    const auto found = std::find_if(leases->begin(), leases->end(), matches);
    if (id.empty() || found == leases->end())
      return Fail(
          absl::NotFoundError(absl::StrCat("no lease \"", id, "\"; see hetctl get leases")));
    if (std::find_if(found + 1, leases->end(), matches) != leases->end()) {
      return Fail(
          absl::InvalidArgumentError(absl::StrCat("more than one lease begins with \"", id, "\"")));
    }
    change.leases.push_back({found->id, found->generation});
  }
  const absl::Status status = (*client)->Release(change);
  if (!status.ok()) return Fail(status);
  for (const protocol::LeaseRef& lease : change.leases)
    std::fprintf(stderr, "released %s\n", lease.id.c_str());
  return kExitOk;
}

}  // namespace

void RegisterLease(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<AcquireOptions>();
  CLI::App* acquire =
      app.add_subcommand("acquire", "Lease slices (all or none), or the slices a model needs.");
  auto* device = acquire->add_option("--device", options->devices,
                                     "device id (may be repeated: several slices, all or none)");
  acquire->add_option("--share", options->shares, "percent of its compute, such as 30")
      ->needs(device);
  acquire->add_option("--memory", options->memories, "bytes, such as 1GiB")->needs(device);
  acquire->add_option("--policy", options->policy, "guaranteed, capped or best_effort");
  acquire->add_option("--ttl", options->ttl,
                      "end the lease after this time, such as 1h (default: when released)");
  acquire->add_option("--tenant", options->tenant, "a name for reports (default: the user's)");
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
    if (options->model.empty() && options->devices.empty()) {
      throw CLI::RequiredError("--device with --share and --memory, or --model");
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
}

}  // namespace het::hetctl
