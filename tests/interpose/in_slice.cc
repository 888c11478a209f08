// in_slice: runs programs inside slices of one device through the OpenCL layer, with an arbiter of
// its own in place of hetd. For tests, benchmarks and experiments.
//
//   in_slice [--device D] [--share PERCENT] [--memory BYTES] [--units N] [--sub-device F+C]
//            [--policy P] [--depth N] [--usage] -- PROGRAM ARGS [--and [--share ..] -- PROGRAM
//            ARGS]
//
// `--and` starts another program beside the first, in a lease of its own. Exits with the first
// program's status. --usage prints each lease's device time at the end, on stderr, and what is
// still booked of its memory.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/units.h"
#include "tests/interpose/seat_server.h"

namespace {

struct Run {
  std::string device = "Portable Computing Language";
  uint32_t share = 100;
  uint64_t memory = uint64_t{8} << 30;
  het::Policy policy = het::Policy::kGuaranteed;
  std::string units, sub_device;
  std::vector<char*> command;
};

int Usage() {
  std::fprintf(stderr,
               "usage: in_slice [OPTIONS] -- PROGRAM ARGS [--and [OPTIONS] -- PROGRAM ARGS]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Run> runs(1);
  het::ArbiterOptions options;
  bool usage = false;
  for (int i = 1; i < argc;) {
    const std::string option = argv[i++];
    Run& run = runs.back();
    if (option == "--usage") {
      usage = true;
    } else if (option == "--") {
      while (i < argc && std::string(argv[i]) != "--and") run.command.push_back(argv[i++]);
      run.command.push_back(nullptr);
      if (i < argc) ++i, runs.emplace_back();
    } else if (i < argc) {
      const std::string value = argv[i++];
      bool ok = true;
      if (option == "--device")
        run.device = value;
      else if (option == "--share")
        ok = absl::SimpleAtoi(value, &run.share);
      else if (option == "--memory")
        ok = absl::SimpleAtoi(value, &run.memory);
      else if (option == "--units")
        run.units = value;
      else if (option == "--sub-device")
        run.sub_device = value;
      else if (option == "--depth")
        ok = absl::SimpleAtoi(value, &options.depth);
      else if (option == "--policy")
        run.policy = *het::ParsePolicy(value);
      else
        return Usage();
      if (!ok) return Usage();
    } else {
      return Usage();
    }
  }
  if (runs.back().command.empty()) return Usage();

  het::interpose::SeatServer server(options);
  setenv("OPENCL_LAYERS", HET_LAYER, 1);
  std::vector<pid_t> children;
  std::vector<uint32_t> leases;
  for (Run& run : runs) {
    const auto offer = server.AddLease(het::Share::OfPercent(run.share), run.memory, run.policy);
    leases.push_back(offer.lease);
    const pid_t child = fork();
    if (child == 0) {
      setenv("HET_SEAT_SOCKET", offer.socket.c_str(), 1);
      setenv("HET_DEVICE", run.device.c_str(), 1);
      if (!run.units.empty()) setenv("HET_COMPUTE_UNITS", run.units.c_str(), 1);
      if (!run.sub_device.empty()) setenv("HET_SUB_DEVICE", run.sub_device.c_str(), 1);
      execvp(run.command[0], run.command.data());
      std::perror(run.command[0]);
      _exit(127);
    }
    children.push_back(child);
  }
  int first = 0;
  for (size_t i = 0; i < children.size(); ++i) {
    int status = 0;
    waitpid(children[i], &status, 0);
    if (i == 0) first = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  usleep(200'000);  // the closed connections are seen
  for (size_t i = 0; usage && i < leases.size(); ++i) {
    const het::ArbiterUsage used = server.Usage(leases[i]);
    std::fprintf(stderr, "lease %zu: share %u %%, device %.3f s, turns %llu, memory booked %llu\n",
                 i, runs[i].share, static_cast<double>(used.used_ns) * 1e-9,
                 static_cast<unsigned long long>(used.launches),
                 static_cast<unsigned long long>(used.memory));
  }
  return first;
}
