#include "scheduler/fleet/simulator.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "scheduler/fleet/fragmentation.h"
#include "scheduler/fleet/placer.h"
#include "scheduler/fleet/victims.h"

namespace het::fleet {
namespace {

constexpr double kHour = 3600;
constexpr size_t kNamedImpossible = 100;
constexpr int64_t kAskEvery = 1024;  // events

// This order at the same moment; arrivals, which are sorted and need no queue, come last.
enum class EventKind { kEnd, kRepair, kFailure };

struct Event {
  double time_s;
  EventKind kind;
  int64_t sequence;
  int subject;  // job, or device
  int start;    // kEnd: which start of the job this belongs to
  bool operator>(const Event& other) const {
    return std::tie(time_s, kind, sequence) > std::tie(other.time_s, other.kind, other.sequence);
  }
};

double Uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

std::vector<Job> WithLoad(const std::vector<Job>& jobs, double load, std::mt19937_64& random) {
  std::vector<Job> out;
  out.reserve(static_cast<size_t>(static_cast<double>(jobs.size()) * load) + 1);
  for (const Job& job : jobs) {
    const int whole = static_cast<int>(load);
    const int copies = whole + (Uniform(random) < load - whole ? 1 : 0);
    for (int i = 0; i < copies; ++i) {
      out.push_back(job);
      if (i > 0) out.back().arrival_s = jobs[random() % jobs.size()].arrival_s;
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Job& a, const Job& b) { return a.arrival_s < b.arrival_s; });
  return out;
}

WaitSummary Summarise(std::vector<double> waits) {
  WaitSummary summary;
  summary.count = static_cast<int64_t>(waits.size());
  if (waits.empty()) return summary;
  std::sort(waits.begin(), waits.end());
  const auto at = [&waits](double share) {
    const double rank = std::ceil(share * static_cast<double>(waits.size()));
    return waits[static_cast<size_t>(std::max(rank, 1.0)) - 1];
  };
  for (const double wait : waits) summary.mean_s += wait;
  summary.mean_s /= static_cast<double>(waits.size());
  summary.p50_s = at(0.50);
  summary.p95_s = at(0.95);
  summary.p99_s = at(0.99);
  summary.max_s = waits.back();
  return summary;
}

class Run {
 public:
  Run(const Fleet& fleet, const Jobs& jobs, const SimulatorOptions& options, bool keep_stays,
      std::unique_ptr<Policy> policy)
      : fleet_(fleet),
        options_(options),
        keep_stays_(keep_stays),
        random_(options.seed),
        jobs_(WithLoad(jobs.jobs, options.load, random_)),
        policy_(std::move(policy)),
        cluster_(fleet.nodes, {policy_->tracks_affinity(), policy_->takes_first_node()}),
        placer_(cluster_, *policy_, options.seed),
        fragmentation_(DemandOf(jobs.jobs), {}),
        on_node_(fleet.nodes.size()),
        used_milli_(static_cast<size_t>(jobs.tenants.size())) {
    result_.by_tenant.resize(used_milli_.size());
    tenant_wait_s_.resize(used_milli_.size());
    for (size_t n = 0; n < fleet.nodes.size(); ++n) {
      for (int d = 0; d < fleet.nodes[n].devices; ++d) devices_.emplace_back(n, d);
    }
  }

  SimulatorResult Go(const std::function<bool()>& go_on);

 private:
  struct State {
    int kind = 0;
    double left_s = 0;
    double start_s = 0;
    int node = -1;  // -1: not running
    DeviceSet devices = 0;
    int starts = 0;
    bool borrowed = false;
    bool impossible = false;
  };
  // Jobs that wait for the same thing, in their order.
  struct Line {
    std::set<std::tuple<int, double, int>> jobs;  // -priority, arrival, job
  };
  using LineKey = std::tuple<int, int, int>;  // class, kind, tenant

  void Happen(const Event& event);
  void Arrive(int job);
  void End(int job, int start);
  void Fail();
  void Repair(int device);
  void Enqueue(int job);
  // Tries what waits: all of it, or, where room came up on one node only, what that node may let
  // in.
  void Dispatch(int node = -1, int tenant = -1);
  bool MayStartAfter(const LineKey& key, int node, int tenant);
  // Starts the first jobs of a line while they fit; the line's key when jobs are left.
  bool TryFirst(const LineKey& key, Line& line);
  bool TryStart(int job);
  void Start(int job, const Placement& placement, bool borrowed);
  void Leave(int job);  // its node
  bool Displace(int job);
  bool WithinQuota(int job) const;
  bool FitsEmptyFleet(int kind);
  void AdvanceTo(double time_s);
  void TakeSample();
  double Stranded() const;
  SimulatorResult Report();
  ClassSummary& ClassOf(int job) {
    return result_.by_class[static_cast<int>(jobs_[static_cast<size_t>(job)].job_class)];
  }
  void Push(double time_s, EventKind kind, int subject, int start = 0) {
    events_.push({time_s, kind, sequence_++, subject, start});
  }

  const Fleet& fleet_;
  const SimulatorOptions& options_;
  const bool keep_stays_;
  std::mt19937_64 random_;
  std::vector<Job> jobs_;
  std::unique_ptr<Policy> policy_;
  Cluster cluster_;
  Placer placer_;
  Fragmentation fragmentation_;

  double now_s_ = 0;
  double next_sample_s_ = 0, sample_every_s_ = 0;
  int64_t sequence_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<State> states_;
  std::map<LineKey, Line> lines_;
  int64_t waiting_ = 0, running_ = 0, batch_running_ = 0, borrowed_running_ = 0;
  std::vector<std::vector<int>> on_node_;  // running jobs
  std::vector<int64_t> used_milli_;        // by tenant
  std::vector<std::pair<size_t, int>> devices_;
  std::vector<double> waits_[kJobClasses];
  std::vector<double> tenant_wait_s_;
  std::map<int, bool> possible_;  // by kind
  int64_t arrivals_left_ = 0;
  SimulatorResult result_;
};

bool Run::FitsEmptyFleet(int kind) {
  const auto [found, fresh] = possible_.try_emplace(kind, false);
  if (fresh) {
    for (size_t n = 0; n < fleet_.nodes.size() && !found->second; ++n) {
      if (n > 0 && fleet_.nodes[n] == fleet_.nodes[n - 1]) continue;
      found->second = EmptyState(fleet_.nodes[n]).Fits(placer_.spec(kind));
    }
  }
  return found->second;
}

bool Run::WithinQuota(int job) const {
  const Job& j = jobs_[static_cast<size_t>(job)];
  if (options_.quota_milli.empty()) return true;
  const size_t tenant = static_cast<size_t>(j.tenant);
  const int64_t quota = tenant < options_.quota_milli.size() ? options_.quota_milli[tenant] : 0;
  return used_milli_[tenant] + j.spec.TotalMilli() <= quota;
}

void Run::Enqueue(int job) {
  const Job& j = jobs_[static_cast<size_t>(job)];
  const LineKey key{static_cast<int>(j.job_class), states_[static_cast<size_t>(job)].kind,
                    j.tenant};
  lines_[key].jobs.emplace(-j.priority, j.arrival_s, job);
  ++waiting_;
}

void Run::Start(int job, const Placement& placement, bool borrowed) {
  State& state = states_[static_cast<size_t>(job)];
  const Job& j = jobs_[static_cast<size_t>(job)];
  state.node = placement.node;
  state.devices = placement.devices;
  state.start_s = now_s_;
  state.borrowed = borrowed;
  if (state.starts++ == 0) {
    waits_[static_cast<int>(j.job_class)].push_back(now_s_ - j.arrival_s);
    tenant_wait_s_[static_cast<size_t>(j.tenant)] += now_s_ - j.arrival_s;
    ++result_.by_tenant[static_cast<size_t>(j.tenant)].started;
  }
  on_node_[static_cast<size_t>(placement.node)].push_back(job);
  used_milli_[static_cast<size_t>(j.tenant)] += j.spec.TotalMilli();
  ++running_;
  batch_running_ += j.job_class == JobClass::kBatch ? 1 : 0;
  borrowed_running_ += borrowed ? 1 : 0;
  if (std::isfinite(state.left_s)) Push(now_s_ + state.left_s, EventKind::kEnd, job, state.starts);
}

void Run::Leave(int job) {
  State& state = states_[static_cast<size_t>(job)];
  const Job& j = jobs_[static_cast<size_t>(job)];
  cluster_.Remove(state.node, j.spec, state.devices);
  std::vector<int>& there = on_node_[static_cast<size_t>(state.node)];
  there.erase(std::find(there.begin(), there.end(), job));
  used_milli_[static_cast<size_t>(j.tenant)] -= j.spec.TotalMilli();
  --running_;
  batch_running_ -= j.job_class == JobClass::kBatch ? 1 : 0;
  borrowed_running_ -= state.borrowed ? 1 : 0;
  const double hours =
      static_cast<double>(j.spec.TotalMilli()) / kWholeDevice * (now_s_ - state.start_s) / kHour;
  TenantSummary& tenant = result_.by_tenant[static_cast<size_t>(j.tenant)];
  tenant.device_hours += hours;
  if (state.borrowed) tenant.borrowed_device_hours += hours;
  if (keep_stays_) {
    result_.stays.push_back(
        {job, state.node, state.devices, state.start_s, now_s_, state.borrowed});
  }
  state.left_s -= now_s_ - state.start_s;
  state.node = -1;
}

bool Run::Displace(int job) {
  const Job& j = jobs_[static_cast<size_t>(job)];
  if (!options_.preempt || j.job_class == JobClass::kBatch || !WithinQuota(job)) return false;
  const bool quotas = !options_.quota_milli.empty();
  if (batch_running_ == 0 && (!quotas || borrowed_running_ == 0)) return false;
  const auto may_go = [&](int other) {
    const Job& o = jobs_[static_cast<size_t>(other)];
    if (o.job_class == JobClass::kBatch) return true;
    return quotas && o.tenant != j.tenant && states_[static_cast<size_t>(other)].borrowed;
  };
  // Batch first, then the lowest priority, then the latest to start.
  const auto goes_before = [&](int a, int b) {
    const auto key = [&](int x) {
      const Job& job_x = jobs_[static_cast<size_t>(x)];
      return std::make_tuple(-static_cast<int>(job_x.job_class), job_x.priority,
                             -states_[static_cast<size_t>(x)].start_s, x);
    };
    return key(a) < key(b);
  };
  std::vector<int> best;
  int best_node = -1;
  int64_t least = 0;
  for (int n = 0; n < cluster_.nodes(); ++n) {
    std::vector<int> candidates;
    for (const int other : on_node_[static_cast<size_t>(n)]) {
      if (may_go(other)) candidates.push_back(other);
    }
    if (candidates.empty()) continue;
    std::sort(candidates.begin(), candidates.end(), goes_before);
    std::vector<Occupant> occupants;
    for (const int other : candidates) {
      occupants.push_back({other, &jobs_[static_cast<size_t>(other)].spec,
                           states_[static_cast<size_t>(other)].devices});
    }
    const auto victims = VictimsFor(cluster_, n, j.spec, occupants);
    if (!victims) continue;
    int64_t taken = 0;
    for (const int other : *victims) taken += jobs_[static_cast<size_t>(other)].spec.TotalMilli();
    if (best_node >= 0 && taken >= least) continue;
    best_node = n;
    least = taken;
    best = *victims;
  }
  if (best_node < 0) return false;
  for (const int other : best) {
    Leave(other);
    ++ClassOf(other).displaced;
    Enqueue(other);
  }
  const NodeState& state = cluster_.state(cluster_.state_of(best_node));
  const Choice choice = policy_->Evaluate(state, j.spec);
  Start(job, {best_node, cluster_.Place(best_node, j.spec, choice.places)}, false);
  return true;
}

bool Run::TryStart(int job) {
  const Job& j = jobs_[static_cast<size_t>(job)];
  const bool within = WithinQuota(job);
  if (!within && j.job_class == JobClass::kReserved) return false;
  ++result_.decisions;
  if (const auto placement = placer_.Place(states_[static_cast<size_t>(job)].kind)) {
    Start(job, *placement, !within || j.job_class == JobClass::kBatch);
    return true;
  }
  return Displace(job);
}

bool Run::TryFirst(const LineKey& key, Line& line) {
  const auto first = line.jobs.begin();
  if (!TryStart(std::get<2>(*first))) return false;
  line.jobs.erase(first);
  --waiting_;
  if (line.jobs.empty()) lines_.erase(key);
  return true;
}

// Nothing that waits fitted anywhere, within its quota, before that node had more room and that
// tenant used less; what could displace others may have been let in by either.
bool Run::MayStartAfter(const LineKey& key, int node, int tenant) {
  if (node < 0) return true;
  const bool displaces = std::get<0>(key) != static_cast<int>(JobClass::kBatch) &&
                         options_.preempt && (batch_running_ > 0 || borrowed_running_ > 0);
  if (displaces || (!options_.quota_milli.empty() && std::get<2>(key) == tenant)) return true;
  return cluster_.state(cluster_.state_of(node)).Fits(placer_.spec(std::get<1>(key)));
}

void Run::Dispatch(int node, int tenant) {
  // The first of each line, best first; a line whose first does not start is done for now.
  std::set<std::tuple<int, int, double, int, LineKey>> firsts;
  const auto add = [&](const LineKey& key, const Line& line) {
    const auto& [priority, arrival, job] = *line.jobs.begin();
    firsts.emplace(std::get<0>(key), priority, arrival, job, key);
  };
  for (const auto& [key, line] : lines_) {
    if (MayStartAfter(key, node, tenant)) add(key, line);
  }
  while (!firsts.empty()) {
    const LineKey key = std::get<4>(*firsts.begin());
    firsts.erase(firsts.begin());
    Line& line = lines_.at(key);
    if (!TryFirst(key, line)) continue;
    const auto left = lines_.find(key);
    if (left != lines_.end()) add(key, left->second);
  }
}

void Run::Arrive(int job) {
  --arrivals_left_;
  const Job& j = jobs_[static_cast<size_t>(job)];
  State& state = states_[static_cast<size_t>(job)];
  state.kind = placer_.Kind(j.spec);
  state.left_s = j.duration_s;
  policy_->Observe(j.spec);
  ++ClassOf(job).arrived;
  ++result_.by_tenant[static_cast<size_t>(j.tenant)].arrived;
  if (!FitsEmptyFleet(state.kind)) {
    state.impossible = true;
    ++ClassOf(job).impossible;
    if (result_.impossible.size() < kNamedImpossible) result_.impossible.push_back(j.name);
    return;
  }
  Enqueue(job);
  const LineKey key{static_cast<int>(j.job_class), state.kind, j.tenant};
  Line& line = lines_.at(key);
  // Whoever stands before it did not fit, and nothing has left since.
  if (std::get<2>(*line.jobs.begin()) == job) TryFirst(key, line);
}

void Run::End(int job, int start) {
  const State& state = states_[static_cast<size_t>(job)];
  if (state.node < 0 || state.starts != start) return;  // it was displaced meanwhile
  const int node = state.node;
  Leave(job);
  ++ClassOf(job).completed;
  Dispatch(node, jobs_[static_cast<size_t>(job)].tenant);
}

void Run::Fail() {
  if (devices_.empty()) return;
  const double rate = static_cast<double>(devices_.size()) / options_.device_mtbf_s;
  if (arrivals_left_ > 0 || running_ > 0) {
    Push(now_s_ - std::log1p(-Uniform(random_)) / rate, EventKind::kFailure, 0);
  }
  const size_t device = random_() % devices_.size();
  const auto [node, number] = devices_[device];
  if (cluster_.failed(static_cast<int>(node), number)) return;
  ++result_.device_failures;
  const std::vector<int> there = on_node_[node];
  for (const int job : there) {
    if ((states_[static_cast<size_t>(job)].devices >> number & 1) == 0) continue;
    Leave(job);
    ++ClassOf(job).failed;
    Enqueue(job);
  }
  cluster_.FailDevice(static_cast<int>(node), number);
  if (keep_stays_) {
    result_.outages.push_back({static_cast<int>(node), number, now_s_, now_s_ + options_.repair_s});
  }
  Push(now_s_ + options_.repair_s, EventKind::kRepair, static_cast<int>(device));
  Dispatch();
}

void Run::Repair(int device) {
  const auto [node, number] = devices_[static_cast<size_t>(device)];
  cluster_.RepairDevice(static_cast<int>(node), number);
  Dispatch(static_cast<int>(node));
}

double Run::Stranded() const {
  double sum = 0;
  for (const StateId id : cluster_.active())
    sum += cluster_.count(id) * fragmentation_.Of(cluster_.state(id));
  return sum;
}

void Run::TakeSample() {
  result_.series.push_back({next_sample_s_, cluster_.capacity_milli(), cluster_.allocated_milli(),
                            Stranded(), waiting_, running_});
}

void Run::AdvanceTo(double time_s) {
  while (next_sample_s_ <= time_s && static_cast<int>(result_.series.size()) < options_.samples) {
    TakeSample();
    next_sample_s_ += sample_every_s_;
  }
  const double hours = (time_s - now_s_) / kHour / kWholeDevice;
  result_.capacity_device_hours += static_cast<double>(cluster_.capacity_milli()) * hours;
  result_.allocated_device_hours += static_cast<double>(cluster_.allocated_milli()) * hours;
  now_s_ = time_s;
}

void Run::Happen(const Event& event) {
  switch (event.kind) {
    case EventKind::kEnd:
      return End(event.subject, event.start);
    case EventKind::kRepair:
      return Repair(event.subject);
    case EventKind::kFailure:
      return Fail();
  }
}

SimulatorResult Run::Go(const std::function<bool()>& go_on) {
  states_.resize(jobs_.size());
  arrivals_left_ = static_cast<int64_t>(jobs_.size());
  double last_s = 0;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    last_s = std::max(last_s, jobs_[i].arrival_s);
    if (std::isfinite(jobs_[i].duration_s)) {
      last_s = std::max(last_s, jobs_[i].arrival_s + jobs_[i].duration_s);
    }
  }
  now_s_ = result_.begin_s = jobs_.empty() ? 0 : jobs_.front().arrival_s;
  last_s = std::min(last_s, options_.until_s);
  next_sample_s_ = now_s_;
  sample_every_s_ = std::max((last_s - now_s_) / std::max(options_.samples - 1, 1), 1e-9);
  if (options_.device_mtbf_s > 0 && !devices_.empty()) {
    const double rate = static_cast<double>(devices_.size()) / options_.device_mtbf_s;
    Push(now_s_ - std::log1p(-Uniform(random_)) / rate, EventKind::kFailure, 0);
  }
  size_t next = 0;  // arrival
  for (int64_t count = 0; next < jobs_.size() || !events_.empty(); ++count) {
    const bool arrives =
        next < jobs_.size() && (events_.empty() || jobs_[next].arrival_s < events_.top().time_s);
    const double time_s = arrives ? jobs_[next].arrival_s : events_.top().time_s;
    if (time_s > options_.until_s) {
      AdvanceTo(options_.until_s);
      break;
    }
    if (count % kAskEvery == 0 && go_on && !go_on()) {
      result_.interrupted = true;
      break;
    }
    AdvanceTo(time_s);
    if (arrives) {
      Arrive(static_cast<int>(next++));
    } else {
      const Event event = events_.top();
      events_.pop();
      Happen(event);
    }
  }
  return Report();
}

SimulatorResult Run::Report() {
  result_.end_s = now_s_;
  for (size_t job = 0; job < jobs_.size(); ++job) {
    const State& state = states_[job];
    if (state.node >= 0) ++ClassOf(static_cast<int>(job)).running;
  }
  for (const auto& [key, line] : lines_)
    result_.by_class[std::get<0>(key)].waiting += static_cast<int64_t>(line.jobs.size());
  std::vector<double> all_waits;
  for (int c = 0; c < kJobClasses; ++c) {
    ClassSummary& summary = result_.by_class[c];
    all_waits.insert(all_waits.end(), waits_[c].begin(), waits_[c].end());
    summary.wait = Summarise(std::move(waits_[c]));
    result_.all.arrived += summary.arrived;
    result_.all.completed += summary.completed;
    result_.all.running += summary.running;
    result_.all.waiting += summary.waiting;
    result_.all.impossible += summary.impossible;
    result_.all.displaced += summary.displaced;
    result_.all.failed += summary.failed;
  }
  result_.all.wait = Summarise(std::move(all_waits));
  // Jobs that still run have stayed until now.
  for (size_t job = 0; job < jobs_.size(); ++job) {
    if (states_[job].node >= 0) Leave(static_cast<int>(job));
  }
  for (size_t t = 0; t < result_.by_tenant.size(); ++t) {
    TenantSummary& tenant = result_.by_tenant[t];
    if (tenant.started > 0)
      tenant.mean_wait_s = tenant_wait_s_[t] / static_cast<double>(tenant.started);
  }
  // The series is evenly spaced: its mean is the time's.
  double stranded = 0, capacity = 0;
  for (const Sample& sample : result_.series) {
    stranded += sample.stranded_milli;
    capacity += static_cast<double>(sample.capacity_milli);
  }
  if (capacity > 0) {
    result_.stranded_device_hours = result_.capacity_device_hours * stranded / capacity;
  }
  for (Outage& outage : result_.outages) outage.end_s = std::min(outage.end_s, now_s_);
  if (keep_stays_) result_.jobs = std::move(jobs_);
  return std::move(result_);
}

absl::Status Check(const Fleet& fleet, const SimulatorOptions& o) {
  int64_t devices = 0;
  for (const NodeSpec& node : fleet.nodes) devices += node.devices;
  if (devices == 0) return absl::InvalidArgumentError("the fleet has no devices to allocate");
  if (!(o.load > 0) || o.load > 1000) {
    return absl::InvalidArgumentError(absl::StrCat("a load of ", o.load, "; above 0, to 1000"));
  }
  if (!(o.device_mtbf_s >= 0) || !(o.repair_s >= 0) || !(o.until_s >= 0)) {
    return absl::InvalidArgumentError("times between failures, of repair and of the end: from 0");
  }
  if (o.samples < 2 || o.samples > 100'000) {
    return absl::InvalidArgumentError(absl::StrCat(o.samples, " samples; 2 to 100000 will do"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SimulatorResult> Simulate(const Fleet& fleet, const Jobs& jobs,
                                         const SimulatorOptions& options, bool keep_stays,
                                         const std::function<bool()>& go_on) {
  HET_RETURN_IF_ERROR(Check(fleet, options));
  HET_ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy,
                       MakePolicy(options.policy, fleet.nodes, DemandOf(jobs.jobs)));
  return Run(fleet, jobs, options, keep_stays, std::move(policy)).Go(go_on);
}

}  // namespace het::fleet
