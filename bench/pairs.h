// Pairs: a program run without and within a slice, interleaved, in fresh processes, so that the
// machine's own drift falls out of the differences; under an arbiter of its own in place of hetd.
#ifndef HET_BENCH_PAIRS_H_
#define HET_BENCH_PAIRS_H_

#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "bench/report.h"
#include "tests/interpose/seat_server.h"

namespace het::bench {

using Values = std::map<std::string, double>;

// What a command prints; nothing where it fails.
inline std::optional<std::string> Output(const std::string& command) {
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string text;
  char part[4096];
  while (const size_t n = fread(part, 1, sizeof(part), pipe)) text.append(part, n);
  return pclose(pipe) == 0 ? std::optional(text) : std::nullopt;
}

// "name value" lines.
inline Values Named(const std::string& output) {
  Values values;
  char name[64];
  double value = 0;
  for (size_t at = 0; at < output.size();) {
    if (std::sscanf(output.c_str() + at, "%63s %lf", name, &value) == 2) values[name] = value;
    const size_t end = output.find('\n', at);
    at = end == std::string::npos ? output.size() : end + 1;
  }
  return values;
}

struct Program {
  std::string name;
  std::string command;
  // "name value" lines, or what a program prints for people.
  std::function<Values(const std::string& output)> read;
};

class Pairs {
 public:
  // What goes before a command: without a slice, and in that of a seat's socket.
  using InSlice = std::function<std::string(const std::string& socket)>;
  Pairs(std::string plain, const InSlice& in_slice) : plain_(std::move(plain)) {
    sliced_ = in_slice(server_.AddLease(Share::OfPercent(100), uint64_t{8} << 30).socket);
  }

  std::optional<std::pair<Values, Values>> Run(const Program& program) {
    // Which comes first alternates.
    const bool slice_first = ++runs_ % 2 == 0;
    std::optional<std::string> with, without;
    if (slice_first) with = Output(sliced_ + program.command);
    without = Output(plain_ + program.command);
    if (!slice_first) with = Output(sliced_ + program.command);
    if (!with || !without) return std::nullopt;
    return std::pair(program.read(*without), program.read(*with));
  }

  // Rows of each value without and with, and of their differences; `goals` on the last by name.
  void Measure(const Program& program, int count, const std::map<std::string, double>& goals,
               const std::string& whose, Report* report) {
    std::map<std::string, std::array<Samples, 3>> all;
    for (int i = 0; i < count; ++i) {
      const auto both = Run(program);
      if (!both) {
        report->Note(program.name + ": the program failed");
        break;
      }
      for (const auto& [name, without] : both->first) {
        const double with = both->second.at(name);
        all[name][0].Add(without);
        all[name][1].Add(with);
        all[name][2].Add(with - without);
      }
    }
    for (const auto& [name, samples] : all) {
      report->Add(Row{program.name, "without, " + name, "us", samples[0], 0});
      report->Add(Row{program.name, "with, " + name, "us", samples[1],
                      samples[1].median() / samples[0].median()});
      report->Add(Row{program.name, "difference, " + name, "us", samples[2], 0});
      const auto goal = goals.find(name);
      if (goal == goals.end()) continue;
      report->Add(Goal{whose + " per pipelined launch, us (median difference of pairs)",
                       samples[2].median(), goal->second, true});
    }
  }

 private:
  interpose::SeatServer server_;
  std::string plain_, sliced_;
  int runs_ = 0;
};

}  // namespace het::bench

#endif  // HET_BENCH_PAIRS_H_
