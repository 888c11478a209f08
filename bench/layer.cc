// What the OpenCL layer costs an unmodified program that has the device to itself. Every pair
// (without, with the layer) runs interleaved in fresh processes, and the figure is the median of
// the differences or ratios of neighbours: the machine's own drift falls out.
//
//   layer [--pairs N] [--quick] [-o json]
//
// Programs: tests/interpose/layer_probe (empty kernels, pipelined and with clFinish after each),
// clpeak's and CLBlast's own timings, where those are installed.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "bench/pairs.h"
#include "bench/report.h"
#include "interpose/turns.h"
#include "partition/arbiter_host.h"
#include "partition/process_state.h"

namespace het::interpose {
namespace {

using bench::Named;
using bench::Pairs;
using bench::Program;
using bench::Report;
using bench::Row;
using bench::Samples;
using bench::Values;
using Clock = std::chrono::steady_clock;

// All numbers of "name : value" lines, in order; equal names are numbered.
Values Colons(const std::string& output) {
  static const std::regex line(R"(([A-Za-z0-9_ ]+?)\s*:\s*([0-9.]+)(?: us)?\s*$)",
                               std::regex::ECMAScript | std::regex::multiline);
  Values values;
  for (std::sregex_iterator it(output.begin(), output.end(), line), end; it != end; ++it) {
    std::string name = (*it)[1];
    while (values.count(name) != 0) name += "'";
    values[name] = std::stod((*it)[2]);
  }
  return values;
}

// Rows of CLBlast's tuners: "| id | of | parameters | .. | OK 166 ms | 1.30 ms | ..": the time of
// each configuration.
Values TunerRows(const std::string& output) {
  static const std::regex row(R"(\|\s*\d+ \|\s*\d+ \|([ 0-9]+)\|.*\|\s*([0-9.]+) ms \|)");
  Values values;
  for (std::sregex_iterator it(output.begin(), output.end(), row), end; it != end; ++it) {
    values[(*it)[1]] = std::stod((*it)[2]);
  }
  return values;
}

class NoDriver : public Turns::Watcher {
 public:
  bool WatchQueue(Turns::Queue, Turns::Turn*) override { return false; }
  bool WatchEvent(Turns::Event, Turns::Turn*) override { return false; }
  void DropEvent(Turns::Event) override {}
};

class InProcess : public Seat {
 public:
  explicit InProcess(std::unique_ptr<ArbiterSeat> seat) : seat_(std::move(seat)) {}
  std::optional<Ticket> TryBegin(uint64_t ns) override { return seat_->TryBegin(ns); }
  absl::StatusOr<Ticket> Begin(uint64_t ns) override { return seat_->Begin(ns); }
  void End(const Ticket& ticket, uint64_t ns) override { seat_->End(ticket, ns); }
  bool alone() const override { return seat_->alone(); }
  absl::Status Reserve(uint64_t bytes) override { return seat_->Reserve(bytes); }
  void GiveBack(uint64_t bytes) override { seat_->GiveBack(bytes); }
  uint64_t memory_limit() const override { return seat_->memory_limit(); }
  uint64_t memory_used() const override { return seat_->memory_used(); }

 private:
  std::unique_ptr<ArbiterSeat> seat_;
};

// The layer's own part of a launch, without loader and driver.
void MeasureTurns(Report* report) {
  auto host = *ArbiterHost::Create("device");
  ArbiterLease lease;
  lease.weight = Share::OfPercent(100);
  lease.memory_quota = 1;
  lease.uid = geteuid();
  const uint32_t index = *host->AddLease(lease);
  InProcess seat(*ArbiterSeat::Join(*host->Seat(index, getpid(), StartTimeOfProcess(getpid()))));
  NoDriver driver;
  Turns turns(seat, driver);
  int queue = 0;
  turns.AddQueue(&queue, true);
  constexpr int kLaunches = 200'000;
  Samples samples;
  for (int round = 0; round < 11; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < kLaunches; ++i) {
      const absl::StatusOr<Turns::Pass> pass = turns.Enter(&queue, 1, {});
      if (pass.ok()) turns.Leave(*pass, &queue, true, nullptr, false);
    }
    const std::chrono::duration<double, std::nano> took = Clock::now() - start;
    if (round > 0) samples.Add(took.count() / kLaunches);
  }
  report->Add(Row{"turns alone", "Enter + Leave", "ns/launch", samples, 0});
}

void MeasureProbe(Pairs* pairs, int count, Report* report) {
  const std::string probe = HET_LAYER_PROBE;
  const Program programs[] = {{"pipelined launch", probe + " pipelined 5000 9", Named},
                              {"launch + clFinish", probe + " finished 500 5", Named}};
  for (const Program& program : programs) {
    pairs->Measure(program, count, {{"whole_us", 1.0}}, "the layer", report);
  }
}

// Programs that time themselves: the median over all of their figures of with/without.
void MeasureTimings(Pairs* pairs, const Program& program, bool more_is_better, int count,
                    Report* report) {
  Samples ratios;
  size_t figures = 0;
  std::map<std::string, Samples> without, with;
  for (int i = 0; i < count; ++i) {
    const auto both = pairs->Run(program);
    if (!both) {
      report->Note(program.name + ": not installed, or it failed");
      return;
    }
    for (const auto& [name, value] : both->first) {
      const auto other = both->second.find(name);
      if (value <= 0 || other == both->second.end()) continue;
      without[name].Add(value);
      with[name].Add(other->second);
    }
  }
  Samples of_figures;
  for (const auto& [name, samples] : without) {
    const double ratio = with.at(name).median() / samples.median();
    of_figures.Add(more_is_better ? 1 / ratio : ratio);
    ++figures;
  }
  if (figures == 0) {
    report->Note(program.name + ": printed no figure");
    return;
  }
  report->Add(Row{program.name, std::to_string(figures) + " figures", "time ratio", of_figures, 0});
  report->Add(bench::Goal{program.name + ": time with over without the layer, median of figures",
                          of_figures.median(), 1.01, true});
}

int Main(int argc, char** argv) {
  CLI::App app("What the OpenCL layer costs a program that is alone on the device");
  int pairs = 11;
  bool quick = false;
  std::string format = "table";
  std::string device = "Portable Computing Language";
  app.add_option("--pairs", pairs, "Pairs of processes per program")->check(CLI::Range(1, 1000));
  app.add_flag("--quick", quick, "Without clpeak and CLBlast");
  app.add_option("--device", device, "UUID, or a part of the name");
  app.add_option("-o,--output", format)->check(CLI::IsMember({"table", "json"}));
  CLI11_PARSE(app, argc, argv);

  // The programs take every platform they find, also those that have no device here.
  setenv("OCL_ICD_VENDORS", "pocl.icd", 0);
  Report report("layer");
  Pairs runner("", [&](const std::string& socket) {
    return "env OPENCL_LAYERS=" HET_LAYER " HET_DEVICE='" + device + "' HET_SEAT_SOCKET=" + socket +
           " ";
  });
  MeasureTurns(&report);
  MeasureProbe(&runner, pairs, &report);
  if (!quick) {
    const int few = std::max(3, pairs / 3);
    MeasureTimings(&runner, {"clpeak compute-sp", "clpeak --compute-sp", Colons}, true, few,
                   &report);
    // In a directory of its own: it leaves a file of results.
    MeasureTimings(
        &runner,
        {"CLBlast xaxpy tuner",
         "sh -c 'cd $(mktemp -d) && clblast_tuner_xaxpy -n 4194304 -runs 10'", TunerRows},
        false, few, &report);
    MeasureTimings(&runner, {"clpeak bandwidth", "clpeak --global-bandwidth", Colons}, true, few,
                   &report);
  }
  report.Print(format == "json");
  return 0;
}

}  // namespace
}  // namespace het::interpose

int main(int argc, char** argv) { return het::interpose::Main(argc, argv); }
