#include "scheduler/fleet/trace.h"

#include <cmath>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace het::fleet {
namespace {

constexpr double kMaxSeconds = 1e12;

// One line after the other of a CSV text, fields by heading.
class Table {
 public:
  static absl::StatusOr<Table> Open(absl::string_view csv, absl::string_view file) {
    Table table(csv, file);
    if (!table.Next()) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": empty; a heading line was expected"));
    }
    for (size_t i = 0; i < table.fields_.size(); ++i) {
      const std::string heading(absl::StripAsciiWhitespace(table.fields_[i]));
      if (!table.columns_.try_emplace(heading, i).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(file, ":1: the heading \"", heading, "\" is there twice"));
      }
    }
    return table;
  }

  // False at the end. Blank lines are passed over.
  bool Next() {
    while (!rest_.empty()) {
      const size_t end = rest_.find('\n');
      absl::string_view line = rest_.substr(0, end);
      rest_ = end == absl::string_view::npos ? absl::string_view() : rest_.substr(end + 1);
      ++line_;
      line = absl::StripSuffix(line, "\r");
      if (line.empty()) continue;
      fields_ = absl::StrSplit(line, ',');
      return true;
    }
    return false;
  }

  bool Has(absl::string_view column) const { return columns_.contains(column); }
  absl::Status Require(const std::vector<absl::string_view>& columns) const {
    for (const absl::string_view column : columns) {
      if (Has(column)) continue;
      return absl::InvalidArgumentError(absl::StrCat(file_, ":1: no column \"", column,
                                                     "\"; needed: ", absl::StrJoin(columns, ", ")));
    }
    return absl::OkStatus();
  }
  absl::Status CheckWidth() const {
    if (fields_.size() == columns_.size()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(file_, ":", line_, ": ", columns_.size(),
                                                   " fields expected, ", fields_.size(),
                                                   " are there"));
  }

  // "" where there is no such column.
  absl::string_view Text(absl::string_view column) const {
    const auto found = columns_.find(column);
    return found == columns_.end() ? absl::string_view()
                                   : absl::StripAsciiWhitespace(fields_[found->second]);
  }
  absl::Status Error(absl::string_view column, absl::string_view expected) const {
    return absl::InvalidArgumentError(absl::StrCat(file_, ":", line_, ": ", column, ": ", expected,
                                                   " expected, \"", Text(column).substr(0, 60),
                                                   "\" is there"));
  }
  // `fallback` where the column or its value is missing.
  absl::StatusOr<int32_t> Int(absl::string_view column, int32_t low, int32_t high,
                              std::optional<int32_t> fallback = std::nullopt) const {
    const absl::string_view text = Text(column);
    if (text.empty() && fallback) return *fallback;
    int32_t value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < low || value > high) {
      return Error(column, absl::StrCat("a whole number from ", low, " to ", high));
    }
    return value;
  }
  absl::StatusOr<double> Number(absl::string_view column, double high,
                                std::optional<double> fallback = std::nullopt) const {
    const absl::string_view text = Text(column);
    if (text.empty() && fallback) return *fallback;
    double value = 0;
    if (!absl::SimpleAtod(text, &value) || !(value >= 0) || !(value <= high)) {
      return Error(column, absl::StrCat("a number from 0 to ", high));
    }
    return value;
  }

 private:
  Table(absl::string_view csv, absl::string_view file) : rest_(csv), file_(file) {}

  absl::string_view rest_;
  std::string file_;
  int line_ = 0;
  std::vector<absl::string_view> fields_;
  absl::flat_hash_map<std::string, size_t> columns_;
};

absl::StatusOr<uint64_t> ReadModels(const Table& table, Names& models) {
  const absl::string_view text = table.Text("gpu_spec");
  uint64_t set = 0;
  for (const absl::string_view name : absl::StrSplit(text, '|', absl::SkipWhitespace())) {
    const int model = models.Of(absl::StripAsciiWhitespace(name));
    if (model >= kMaxModels) return table.Error("gpu_spec", "at most 64 different models");
    set |= uint64_t{1} << model;
  }
  return set;
}

absl::StatusOr<JobSpec> ReadSpec(const Table& table, Names& models) {
  JobSpec spec;
  HET_ASSIGN_OR_RETURN(spec.cpu_milli, table.Int("cpu_milli", 0, kMaxCpuMilli));
  HET_ASSIGN_OR_RETURN(spec.memory_mib, table.Int("memory_mib", 0, kMaxMemoryMib));
  HET_ASSIGN_OR_RETURN(spec.devices, table.Int("num_gpu", 0, kMaxDevices));
  if (spec.devices == 0) return spec;
  HET_ASSIGN_OR_RETURN(spec.milli, table.Int("gpu_milli", 1, kWholeDevice));
  HET_ASSIGN_OR_RETURN(spec.device_memory_mib, table.Int("gpu_memory_mib", 0, kMaxMemoryMib, 0));
  HET_ASSIGN_OR_RETURN(spec.models, ReadModels(table, models));
  return spec;
}

absl::Status ReadTimes(const Table& table, Job& job) {
  job.duration_s = std::numeric_limits<double>::infinity();
  if (table.Has("arrival_s")) {
    HET_ASSIGN_OR_RETURN(job.arrival_s, table.Number("arrival_s", kMaxSeconds));
    HET_ASSIGN_OR_RETURN(job.duration_s, table.Number("duration_s", kMaxSeconds, job.duration_s));
    return absl::OkStatus();
  }
  HET_ASSIGN_OR_RETURN(job.arrival_s, table.Number("creation_time", kMaxSeconds, 0));
  if (table.Text("deletion_time").empty()) return absl::OkStatus();
  HET_ASSIGN_OR_RETURN(const double end, table.Number("deletion_time", kMaxSeconds));
  if (end < job.arrival_s) {
    return table.Error("deletion_time",
                       absl::StrCat("a time not before creation_time (", job.arrival_s, " s)"));
  }
  // What a trace calls its life span begins when it was scheduled, if it ever was.
  HET_ASSIGN_OR_RETURN(const double begin,
                       table.Number("scheduled_time", kMaxSeconds, job.arrival_s));
  job.duration_s = begin >= job.arrival_s && begin <= end ? end - begin : end - job.arrival_s;
  return absl::OkStatus();
}

absl::StatusOr<JobClass> ReadClass(const Table& table) {
  const absl::string_view text = table.Text("class");
  if (text.empty()) return JobClass::kOnDemand;
  for (int i = 0; i < kJobClasses; ++i) {
    if (text == JobClassName(static_cast<JobClass>(i))) return static_cast<JobClass>(i);
  }
  return table.Error("class", "reserved, on-demand or batch");
}

}  // namespace

int Names::Of(absl::string_view name) {
  if (const auto found = Find(name)) return *found;
  names_.emplace_back(name);
  return size() - 1;
}

std::optional<int> Names::Find(absl::string_view name) const {
  for (int i = 0; i < size(); ++i) {
    if (names_[i] == name) return i;
  }
  return std::nullopt;
}

absl::string_view JobClassName(JobClass job_class) {
  constexpr absl::string_view kNames[] = {"reserved", "on-demand", "batch"};
  return kNames[static_cast<int>(job_class)];
}

absl::StatusOr<Fleet> ParseNodes(absl::string_view csv, absl::string_view file) {
  HET_ASSIGN_OR_RETURN(Table table, Table::Open(csv, file));
  const absl::string_view name_column = table.Has("sn") ? "sn" : "name";
  HET_RETURN_IF_ERROR(table.Require({name_column, "cpu_milli", "memory_mib", "gpu", "model"}));
  Fleet fleet;
  absl::flat_hash_set<std::string> seen;
  while (table.Next()) {
    HET_RETURN_IF_ERROR(table.CheckWidth());
    const std::string name(table.Text(name_column));
    if (name.empty()) return table.Error(name_column, "a name");
    if (!seen.insert(name).second) return table.Error(name_column, "a name that is there once");
    NodeSpec node;
    HET_ASSIGN_OR_RETURN(node.cpu_milli, table.Int("cpu_milli", 0, kMaxCpuMilli));
    HET_ASSIGN_OR_RETURN(node.memory_mib, table.Int("memory_mib", 0, kMaxMemoryMib));
    HET_ASSIGN_OR_RETURN(node.devices, table.Int("gpu", 0, kMaxDevices));
    HET_ASSIGN_OR_RETURN(node.device_memory_mib, table.Int("gpu_memory_mib", 0, kMaxMemoryMib, 0));
    if (node.devices > 0 && table.Text("model").empty()) return table.Error("model", "a model");
    node.model = fleet.models.Of(table.Text("model"));
    if (node.model >= kMaxModels) return table.Error("model", "at most 64 different models");
    HET_ASSIGN_OR_RETURN(const int32_t island, table.Int("gpu_per_island", 0, kMaxDevices, 0));
    HET_ASSIGN_OR_RETURN(const int32_t numa, table.Int("gpu_per_numa", 0, kMaxDevices, 0));
    node.devices_per_island = static_cast<int16_t>(island);
    node.devices_per_numa = static_cast<int16_t>(numa);
    HET_ASSIGN_OR_RETURN(const double cost, table.Number("cost_per_hour", 1e9, 0));
    HET_ASSIGN_OR_RETURN(const int32_t count,
                         table.Int("count", 1, static_cast<int32_t>(kMaxNodes), 1));
    if (fleet.nodes.size() + static_cast<size_t>(count) > kMaxNodes) {
      return table.Error("count", absl::StrCat("at most ", kMaxNodes, " nodes"));
    }
    for (int32_t i = 0; i < count; ++i) {
      fleet.nodes.push_back(node);
      fleet.names.push_back(count == 1 ? name : absl::StrCat(name, "-", i));
      fleet.cost_per_hour.push_back(cost);
    }
  }
  if (fleet.nodes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": no nodes below the heading"));
  }
  return fleet;
}

absl::StatusOr<Jobs> ParseJobs(absl::string_view csv, absl::string_view file, Names& models) {
  HET_ASSIGN_OR_RETURN(Table table, Table::Open(csv, file));
  HET_RETURN_IF_ERROR(table.Require({"name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"}));
  Jobs all;
  all.tenants.Of("default");
  while (table.Next()) {
    HET_RETURN_IF_ERROR(table.CheckWidth());
    Job job;
    job.name = std::string(table.Text("name"));
    if (job.name.empty()) return table.Error("name", "a name");
    HET_ASSIGN_OR_RETURN(job.spec, ReadSpec(table, models));
    HET_RETURN_IF_ERROR(ReadTimes(table, job));
    if (!table.Text("tenant").empty()) {
      job.tenant = all.tenants.Of(table.Text("tenant"));
      if (all.tenants.size() > 10'000) return table.Error("tenant", "at most 10000 tenants");
    }
    HET_ASSIGN_OR_RETURN(job.job_class, ReadClass(table));
    HET_ASSIGN_OR_RETURN(job.priority, table.Int("priority", -1'000'000, 1'000'000, 0));
    all.jobs.push_back(std::move(job));
    if (all.jobs.size() > kMaxJobs) {
      return table.Error("name", absl::StrCat("at most ", kMaxJobs, " jobs"));
    }
  }
  if (all.jobs.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": no jobs below the heading"));
  }
  return all;
}

std::vector<Demand> DemandOf(const std::vector<Job>& jobs) {
  absl::flat_hash_map<JobSpec, size_t> index;
  std::vector<Demand> demand;
  for (const Job& job : jobs) {
    const auto [found, fresh] = index.try_emplace(job.spec, demand.size());
    if (fresh) demand.push_back({job.spec, 0});
    demand[found->second].weight += 1;
  }
  return demand;
}

}  // namespace het::fleet
