// hetctl slice: named slices, which the operator cuts and tenants lease by name.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/units.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/find.h"

namespace het::hetctl {
namespace {

struct SliceOptions {
  std::string name, device, share, memory, policy = "guaranteed", priority = "normal";
};

absl::StatusOr<SliceRequest> RequestOf(const SliceOptions& options) {
  SliceRequest slice;
  slice.name = options.name;
  HET_ASSIGN_OR_RETURN(slice.share, ParseShare(options.share));
  HET_ASSIGN_OR_RETURN(slice.memory_bytes, ParseBytes(options.memory));
  HET_ASSIGN_OR_RETURN(slice.policy, ParsePolicy(options.policy));
  HET_ASSIGN_OR_RETURN(slice.priority, ParsePriority(options.priority));
  return slice;
}

int Create(const Globals& globals, const SliceOptions& options) {
  auto slice = RequestOf(options);
  if (!slice.ok()) {
    Fail(slice.status());
    return kExitUsage;
  }
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const auto device = FindDevice(**client, options.device);
  if (!device.ok()) return Fail(device.status());
  slice->device = device->info.uuid;
  const auto made = (*client)->CreateSlice(*slice);
  if (!made.ok()) return Fail(made.status());
  PrintObject(ToJson(*made), globals.format);
  return kExitOk;
}

int Delete(const Globals& globals, const std::string& name) {
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const absl::Status status = (*client)->DeleteSlice(name);
  if (!status.ok()) return Fail(status);
  std::fprintf(stderr, "deleted slice %s\n", name.c_str());
  return kExitOk;
}

}  // namespace

void RegisterSlice(CLI::App& app, Globals& globals) {
  CLI::App* slice = app.add_subcommand("slice", "Cut named slices, which tenants lease by name.");
  slice->require_subcommand(1);
  auto options = std::make_shared<SliceOptions>();
  CLI::App* create = slice->add_subcommand("create", "Cut a slice and give it a name.");
  create->add_option("NAME", options->name, "letters, digits, '.', '-', '_'")->required();
  create->add_option("--device", options->device, "device id, its beginning, or backend")
      ->required();
  create->add_option("--share", options->share, "percent of its compute, such as 30")->required();
  create->add_option("--memory", options->memory, "bytes, such as 1GiB")->required();
  create->add_option("--policy", options->policy, "guaranteed, capped or best_effort");
  create->add_option("--priority", options->priority, "high, normal or batch");
  create->callback([&globals, options] {
    globals.run = [&globals, options] { return Create(globals, *options); };
  });
  CLI::App* remove = slice->add_subcommand("delete", "Give a named slice's part back.");
  remove->add_option("NAME", options->name, "its name")->required();
  remove->callback([&globals, options] {
    globals.run = [&globals, options] { return Delete(globals, options->name); };
  });
}

}  // namespace het::hetctl
