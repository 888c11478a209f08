// hetctl run: a program inside a slice. hetctl leases the slice, prepares the environment, and
// becomes the program: same process, so the lease lives exactly as long as the program does, and
// signals, job control and the exit code are the program's own.
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/status.h"
#include "base/units.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/find.h"
#include "tools/hetctl/interposers.h"
#include "tools/hetctl/scope.h"

namespace het::hetctl {
namespace {

constexpr int kExitCannotRun = 126, kExitNoProgram = 127;  // as shells have them

struct RunOptions {
  std::string device, share, memory, slice, lease, tenant;
  std::string policy = "guaranteed", priority = "normal";
  std::vector<std::string> command;
};

void Set(const char* name, const std::string& value) { setenv(name, value.c_str(), 1); }

// Affinity is inherited by every thread and child from here on.
absl::Status BindTo(const std::vector<uint32_t>& cores) {
  if (cores.empty()) return absl::OkStatus();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (uint32_t core : cores) CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof(set), &set) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("cannot bind to cores ", absl::StrJoin(cores, ",")));
}

// A program that uses the processors directly: held by the cgroup of a systemd scope where there is
// one; else its cores hold its time, and its memory is bounded by the address space it may have.
// `prefix` goes before the program's own arguments.
absl::Status EnterProcessors(const Lease& lease, std::vector<std::string>* prefix) {
  const Slice& slice = lease.slice;
  if (const std::optional<ServiceManager> manager = SystemdRun()) {
    *prefix = ScopeArguments(*manager, lease);
    return absl::OkStatus();
  }
  const rlimit limit = {slice.memory_bytes, slice.memory_bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) {
    return ErrnoStatus(
        errno, absl::StrCat("cannot limit the memory to ", FormatBytes(slice.memory_bytes)));
  }
  if (slice.time_shared) {
    std::fprintf(
        stderr,
        "hetctl: note: no systemd here to make a scope: %s of time-shared cores is cooperative, "
        "not "
        "enforced, for a program that uses the processors directly; a share of whole cores is\n",
        FormatShare(slice.share).c_str());
  }
  return absl::OkStatus();
}

// `first` before what the variable lists already.
void SetBefore(const char* name, const std::string& first) {
  const char* others = std::getenv(name);
  const bool has_others = others != nullptr && *others != '\0';
  Set(name, has_others ? absl::StrCat(first, ":", others) : first);
}

absl::Status EnterOpenCl(const Slice& slice, const DeviceInfo& device) {
  HET_ASSIGN_OR_RETURN(const std::string layer, FindOpenClLayer());
  SetBefore("OPENCL_LAYERS", layer);
  Set("HET_DEVICE", device.uuid);
  Set("HET_ARBITRATE", slice.time_shared ? "1" : "0");
  if (!slice.cores.empty()) {
    // PoCL takes its threads from here; the layer tells the program the same number.
    Set("POCL_MAX_PTHREAD_COUNT", absl::StrCat(slice.cores.size()));
    Set("HET_COMPUTE_UNITS", absl::StrCat(slice.cores.size()));
  } else if (slice.compute_units > 0) {
    Set("HET_COMPUTE_UNITS", absl::StrCat(slice.compute_units));
  }
  return absl::OkStatus();
}

// A program that knows nothing of het is in no green context: its launches take turns whatever the
// slice's own mechanism is.
absl::Status EnterCuda(const DeviceInfo& device) {
  HET_ASSIGN_OR_RETURN(const CudaShadow shadow, FindCudaShadow());
  SetBefore("LD_LIBRARY_PATH", shadow.folder);
  Set("HET_CUDA_DRIVER", shadow.driver);
  if (!shadow.management.empty()) Set("HET_NVML_DRIVER", shadow.management);
  Set("HET_DEVICE", device.uuid);
  Set("HET_CUDA_VISIBLE", CudaName(device));
  Set("CUDA_VISIBLE_DEVICES", CudaName(device));  // for programs that read it themselves
  // The same card through NVIDIA's OpenCL is the same slice.
  if (const auto layer = FindOpenClLayer(); layer.ok()) SetBefore("OPENCL_LAYERS", *layer);
  return absl::OkStatus();
}

absl::StatusOr<Lease> AcquireFor(protocol::Client& client, const RunOptions& options,
                                 const DeviceInfo& device) {
  protocol::AcquireRequest request;
  request.terms.tenant = options.tenant;
  request.terms.holder = Holder::kProcess;  // this process, which becomes the program
  request.terms.confirm = true;
  SliceRequest slice;
  slice.name = options.slice;
  if (!slice.name.empty()) {
    request.slices = {slice};
    HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases, client.Acquire(std::move(request)));
    return leases.front();
  }
  slice.device = device.uuid;
  HET_ASSIGN_OR_RETURN(slice.share, ParseShare(options.share));
  HET_ASSIGN_OR_RETURN(slice.memory_bytes, ParseBytes(options.memory));
  HET_ASSIGN_OR_RETURN(slice.policy, ParsePolicy(options.policy));
  HET_ASSIGN_OR_RETURN(slice.priority, ParsePriority(options.priority));
  request.slices = {slice};
  HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases, client.Acquire(std::move(request)));
  return leases.front();
}

// Leases the slice and enters it; `prefix` is what must run the program.
absl::Status Prepare(const Globals& globals, const RunOptions& options,
                     std::vector<std::string>* prefix) {
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<protocol::Client> client, Connect(globals));
  Lease lease;
  protocol::DeviceRow device;
  if (!options.lease.empty()) {
    HET_ASSIGN_OR_RETURN(lease, FindLease(*client, options.lease));
    HET_ASSIGN_OR_RETURN(device, FindDevice(*client, lease.slice.device));
  } else if (!options.slice.empty()) {
    HET_ASSIGN_OR_RETURN(lease, AcquireFor(*client, options, {}));
    HET_ASSIGN_OR_RETURN(device, FindDevice(*client, lease.slice.device));
  } else {
    HET_ASSIGN_OR_RETURN(device, FindDevice(*client, options.device));
  }
  const std::string& backend = device.info.backend;
  if (backend != "opencl" && backend != "cuda" && backend != "cpu") {
    return absl::FailedPreconditionError(
        absl::StrCat("hetctl run can hold programs to slices of opencl, cuda and cpu devices; ",
                     device.info.name, " is one of backend ", backend,
                     device.info.simulated ? ", which is simulated" : ""));
  }
  if (lease.id.empty()) {
    HET_ASSIGN_OR_RETURN(lease, AcquireFor(*client, options, device.info));
  }
  HET_RETURN_IF_ERROR(BindTo(lease.slice.cores));
  std::error_code error;
  Set("HET_LEASE", lease.id);
  Set("HET_SOCKET", std::filesystem::absolute(client->socket_path(), error).string());
  if (backend == "opencl") return EnterOpenCl(lease.slice, device.info);
  return backend == "cuda" ? EnterCuda(device.info) : EnterProcessors(lease, prefix);
}

int Run(const Globals& globals, const RunOptions& options) {
  std::vector<std::string> command;
  const absl::Status prepared = Prepare(globals, options, &command);
  if (!prepared.ok()) return Fail(prepared);
  command.insert(command.end(), options.command.begin(), options.command.end());
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  const int error = errno;
  std::fprintf(stderr, "hetctl: cannot run %s: %s\n", arguments[0], strerror(error));
  return error == ENOENT ? kExitNoProgram : kExitCannotRun;
}

}  // namespace

void RegisterRun(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* run = app.add_subcommand(
      "run",
      "Run a program inside a slice: hetctl run --device D --share 30 --memory 2GiB -- PROGRAM");
  auto* device =
      run->add_option("--device", options->device, "device id, its beginning, or backend");
  auto* share = run->add_option("--share", options->share, "percent of its compute, such as 30");
  auto* memory = run->add_option("--memory", options->memory, "bytes, such as 2GiB");
  device->needs(share)->needs(memory);
  share->needs(device);
  memory->needs(device);
  run->add_option("--policy", options->policy, "guaranteed, capped or best_effort");
  run->add_option("--priority", options->priority, "high, normal or batch");
  run->add_option("--tenant", options->tenant, "a name for reports (default: the user's)");
  run->add_option("--lease", options->lease, "run in a slice that is leased already")
      ->excludes(device);
  run->add_option("--slice", options->slice, "run in a named slice")->excludes(device);
  run->add_option("COMMAND", options->command, "the program and its arguments, after --")
      ->required();
  run->positionals_at_end();
  run->callback([&globals, options] {
    if (options->device.empty() && options->lease.empty() && options->slice.empty()) {
      throw CLI::RequiredError("--device with --share and --memory, or --slice, or --lease");
    }
    globals.run = [&globals, options] { return Run(globals, *options); };
  });
}

}  // namespace het::hetctl
