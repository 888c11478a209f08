// What the CUDA shadow costs an unmodified program that has the card to itself, and how two
// programs share one, on a soft card (tests/soft_drivers): the driver's own calls are cheaper there
// than NVIDIA's, and its kernels run on the host's processors.
//
//   shadow [--pairs N] [--seconds S] [-o json]
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <string>
#include <thread>

#include "CLI/CLI.hpp"
#include "bench/pairs.h"
#include "bench/report.h"

namespace het::bench {
namespace {

constexpr char kCard[] = "736f6674-6375-4d61-8000-000000000001";

std::string InSlice(const std::string& socket) {
  return std::string("env LD_LIBRARY_PATH=" HET_SHADOW_FOLDER ":" HET_SOFT_DRIVERS
                     " HET_CUDA_DRIVER=" HET_SOFT_DRIVERS "/libcuda.so.1 HET_SEAT_SOCKET=") +
         socket + " HET_DEVICE=" + kCard + " HET_CUDA_VISIBLE=GPU-" + kCard + " ";
}

struct Tenant {
  interpose::SeatServer::Offer offer;
  FILE* program = nullptr;
  std::string output;
};

// Two programs with a backlog at 30/70: the larger one's part of the device's busy time, second by
// second, as percentage points off 70; and, since that is what the arbiter itself thinks, its part
// of the launches that got done, which are all alike.
void MeasureShares(const char* name, int rounds, int batch, int seconds, Report* report) {
  interpose::SeatServer server;
  Tenant tenants[2];
  for (Tenant& tenant : tenants) {
    tenant.offer = server.AddLease(Share::OfPercent(&tenant == tenants ? 70 : 30), 64 << 20);
    tenant.output = tenant.offer.socket + ".out";
    const std::string command = InSlice(tenant.offer.socket) + "POCL_MAX_PTHREAD_COUNT=1 " +
                                HET_CUDA_PROBE + " dlopen busy " + std::to_string(seconds + 2) +
                                " " + std::to_string(rounds) + " " + std::to_string(batch) + " > " +
                                tenant.output;
    tenant.program = popen(command.c_str(), "w");
  }
  const auto used = [&](const Tenant& tenant) {
    return static_cast<double>(server.Usage(tenant.offer.lease).used_ns);
  };
  for (int i = 0; i < 3000; ++i) {
    if (server.Usage(tenants[0].offer.lease).memory > 0 &&
        server.Usage(tenants[1].offer.lease).memory > 0) {
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (const Tenant& tenant : tenants) {
    std::fputs("go\n", tenant.program);
    std::fflush(tenant.program);
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));
  Samples off;
  const double first[] = {used(tenants[0]), used(tenants[1])};
  double before[] = {first[0], first[1]};
  for (int second = 0; second < seconds; ++second) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const double now[] = {used(tenants[0]), used(tenants[1])};
    const double large = now[0] - before[0], small = now[1] - before[1];
    if (large + small > 0) off.Add(std::abs(large / (large + small) - 0.70) * 100);
    before[0] = now[0];
    before[1] = now[1];
  }
  const double large = before[0] - first[0], small = before[1] - first[1];
  double launches[2] = {};
  for (const Tenant& tenant : tenants) {
    pclose(tenant.program);
    const auto printed = Output("cat " + tenant.output);
    if (printed) launches[&tenant - tenants] = Named(*printed)["launches"];
    unlink(tenant.output.c_str());
  }
  if (off.size() == 0 || launches[0] + launches[1] == 0) {
    report->Note(std::string(name) + ": the programs did nothing");
    return;
  }
  report->Add(Row{name, "points off 70, windows of 1 s", "points", off, 0});
  report->Add(Goal{std::string("30/70, ") + name + ": points off, all windows together",
                   std::abs(large / (large + small) - 0.70) * 100, 3.0, true});
  report->Add(Goal{std::string("30/70, ") + name + ": points off, by the launches done",
                   std::abs(launches[0] / (launches[0] + launches[1]) - 0.70) * 100, 3.0, true});
}

int Main(int argc, char** argv) {
  CLI::App app("What the CUDA shadow costs, and how two programs share a soft card");
  int pairs = 11, seconds = 8;
  std::string format = "table";
  app.add_option("--pairs", pairs, "Pairs of processes")->check(CLI::Range(1, 1000));
  app.add_option("--seconds", seconds, "Windows of a second each")->check(CLI::Range(1, 600));
  app.add_option("-o,--output", format)->check(CLI::IsMember({"table", "json"}));
  CLI11_PARSE(app, argc, argv);

  Report report("shadow");
  // To enqueue takes as long as to run in a slice: a launch that has no turn yet waits for it.
  Pairs runner("env LD_LIBRARY_PATH=" HET_SOFT_DRIVERS " ", InSlice);
  runner.Measure({"pipelined launch", HET_CUDA_PROBE " dlopen pipelined 5000 9", Named}, pairs,
                 {{"whole_us", 0.3}}, "the shadow", &report);
  MeasureShares("short kernels", 1000, 16, seconds, &report);
  MeasureShares("long kernels", 100'000, 1, seconds, &report);
  report.Print(format == "json");
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
