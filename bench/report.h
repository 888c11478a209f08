// Report: what a benchmark program measured, as a text table or as JSON. A row is one variant of
// one case: samples (taken interleaved with the other variants), shown as median with min and max,
// and as a ratio to the case's control.
#ifndef HET_BENCH_REPORT_H_
#define HET_BENCH_REPORT_H_

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace het::bench {

class Samples {
 public:
  void Add(double value) { values_.push_back(value); }
  double min() const { return *std::min_element(values_.begin(), values_.end()); }
  double max() const { return *std::max_element(values_.begin(), values_.end()); }
  double median() const {
    std::vector<double> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    const size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }
  size_t size() const { return values_.size(); }

 private:
  std::vector<double> values_;
};

struct Row {
  std::string name;
  std::string what;
  std::string unit;
  Samples samples;
  double ratio = 0;  // to the control; 0: none
};

// A figure that the project set itself: met when value <= (or >=) target.
struct Goal {
  std::string what;
  double value = 0;
  double target = 0;
  bool at_most = true;
  bool met() const { return at_most ? value <= target : value >= target; }
};

class Report {
 public:
  explicit Report(std::string name) : name_(std::move(name)) {}
  void Add(Row row) { rows_.push_back(std::move(row)); }
  void Add(Goal goal) { goals_.push_back(std::move(goal)); }
  void Note(std::string text) { notes_.push_back(std::move(text)); }

  void Print(bool json) const {
    json ? PrintAsJson() : PrintAsText();
    std::fflush(stdout);
  }

 private:
  void PrintAsText() const {
    std::printf("%-34s %-22s %10s %10s %10s  %-14s %8s\n", "case", "variant", "median", "min",
                "max", "unit", "ratio");
    for (const Row& row : rows_) {
      std::printf("%-34s %-22s %10.3f %10.3f %10.3f  %-14s ", row.name.c_str(), row.what.c_str(),
                  row.samples.median(), row.samples.min(), row.samples.max(), row.unit.c_str());
      if (row.ratio > 0) {
        std::printf("%8.3f\n", row.ratio);
      } else {
        std::printf("%8s\n", "-");
      }
    }
    for (const std::string& note : notes_) std::printf("%s\n", note.c_str());
    for (const Goal& goal : goals_) {
      std::printf("%-5s %s: %.3f (goal %s %.3f)\n", goal.met() ? "met" : "SHORT", goal.what.c_str(),
                  goal.value, goal.at_most ? "<=" : ">=", goal.target);
    }
  }

  void PrintAsJson() const {
    Json rows = Json::array();
    for (const Row& row : rows_) {
      Json item = {{"case", row.name},
                   {"variant", row.what},
                   {"unit", row.unit},
                   {"median", row.samples.median()},
                   {"min", row.samples.min()},
                   {"max", row.samples.max()},
                   {"rounds", row.samples.size()}};
      if (row.ratio > 0) item["ratio"] = row.ratio;
      rows.push_back(std::move(item));
    }
    Json goals = Json::array();
    for (const Goal& goal : goals_) {
      goals.push_back({{"what", goal.what},
                       {"value", goal.value},
                       {goal.at_most ? "atMost" : "atLeast", goal.target},
                       {"met", goal.met()}});
    }
    const Json json = {{"benchmark", name_}, {"rows", rows}, {"goals", goals}, {"notes", notes_}};
    std::printf("%s\n", PrintJson(json, 2).c_str());
  }

  std::string name_;
  std::vector<Row> rows_;
  std::vector<Goal> goals_;
  std::vector<std::string> notes_;
};

// -o json, --output json; anything else but -h is an error. False: print usage and stop.
inline bool WantsJson(int argc, char** argv, bool* json) {
  *json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if ((arg == "-o" || arg == "--output") && i + 1 < argc) {
      const std::string format = argv[++i];
      if (format != "json" && format != "table") return false;
      *json = format == "json";
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace het::bench

#endif  // HET_BENCH_REPORT_H_
