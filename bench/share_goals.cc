// What else slices promise, on a simulated device with tenants in processes of their own:
//   priority    a request of 25 x 200 us beside a saturating best-effort tenant, against alone
//   cap         a capped tenant that is alone stays under its cap
//   throughput  the device's busy time with two tenants, against one alone
//   resize      how soon a changed share and a grown quota are in effect
//   memory      16 processes allocate at once: bytes over the quota, time to refuse
//
//   share_goals [--only NAME] [--seconds 5] [-o table|json]
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "bench/report.h"
#include "bench/sharing/tenants.h"
#include "partition/process_state.h"

namespace het::bench {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

struct Member {
  uint32_t percent = 50;
  Policy policy = Policy::kGuaranteed;
  uint32_t priority = 1;
  TenantWork work;
};

// One run of some tenants on one device.
class Scene {
 public:
  Scene() = default;
  Scene(const Scene&) = delete;
  ~Scene() { simulated::SharedTimeline::Destroy(plan.device); }

  absl::Status Open(int64_t length_ns, int64_t window_ns = kSecond) {
    HET_ASSIGN_OR_RETURN(host, ArbiterHost::Create("simulated"));
    plan.start_ns = NowNs() + kSecond / 2;
    plan.window_ns = window_ns;
    plan.end_ns = plan.start_ns + length_ns;
    HET_ASSIGN_OR_RETURN(plan.device, simulated::SharedTimeline::Create(plan.start_ns, window_ns));
    tenants = std::make_unique<Tenants>(*host);
    return absl::OkStatus();
  }
  absl::Status Add(const Member& member) {
    ArbiterLease lease;
    lease.weight = Share::OfPercent(member.percent);
    lease.policy = member.policy;
    lease.priority = member.priority;
    lease.uid = geteuid();
    HET_ASSIGN_OR_RETURN(const uint32_t index, host->AddLease(lease));
    leases.push_back(index);
    return tenants->Start(index, member.work, plan);
  }
  absl::Status Run() { return tenants->Wait(plan); }
  double Busy(uint32_t client, int from, int until) const {
    double sum = 0;
    for (int window = from; window < until; ++window) sum += plan.device->Busy(client, window);
    return sum;
  }

  std::unique_ptr<ArbiterHost> host;
  Tenants::Plan plan;
  std::unique_ptr<Tenants> tenants;  // before the host goes
  std::vector<uint32_t> leases;
};

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * values.size()))];
}

std::vector<double> RequestsMs(const TenantReport& report) {
  std::vector<double> all;
  for (uint32_t i = 0; i < report.requests.load(); ++i) {
    all.push_back(report.request_ns[i].load() / 1e6);
  }
  return all;
}

Row OneFigure(std::string name, std::string what, std::string unit, double value) {
  Row row{std::move(name), std::move(what), std::move(unit), {}, 0};
  row.samples.Add(value);
  return row;
}

absl::Status Priority(int seconds, Report& report) {
  for (const bool sync : {false, true}) {
    std::vector<double> alone, beside;
    double left = 0, harvested = 0;
    for (int round = 0; round < 2 * seconds; ++round) {  // interleaved, a second each
      Scene scene;
      HET_RETURN_IF_ERROR(scene.Open(kSecond));
      Member high;
      high.priority = 3;
      high.work = {200'000, 4, sync, true, 20 * kMs, 25};
      HET_RETURN_IF_ERROR(scene.Add(high));
      if (round % 2 == 1) {
        Member low;
        low.policy = Policy::kBestEffort;
        low.work = {200'000, 4, false, true, 0, 0};
        HET_RETURN_IF_ERROR(scene.Add(low));
      }
      HET_RETURN_IF_ERROR(scene.Run());
      const std::vector<double> requests = RequestsMs(scene.tenants->report(0));
      std::vector<double>& into = round % 2 == 1 ? beside : alone;
      into.insert(into.end(), requests.begin(), requests.end());
      if (round % 2 == 1) {
        left += kSecond - scene.Busy(0, 0, 1);
        harvested += scene.Busy(1, 0, 1);
      }
    }
    const std::string name = sync ? "25 x 200 us, each waited for" : "25 x 200 us, pipelined";
    for (const auto& [what, q] : {std::pair{"P50", 0.5}, {"P99", 0.99}}) {
      const double control = Quantile(alone, q), value = Quantile(beside, q);
      report.Add(OneFigure(name, absl::StrCat(what, " alone"), "ms", control));
      Row row = OneFigure(name, absl::StrCat(what, " beside best effort"), "ms", value);
      row.ratio = value / control;
      report.Add(row);
      if (q > 0.9) {
        report.Add(Goal{absl::StrCat(name, ": P99 over alone"), value / control, 1.10, true});
      }
    }
    report.Add(Goal{absl::StrCat(name, ": best effort's part of what is left"), harvested / left,
                    0.90, false});
  }
  return absl::OkStatus();
}

absl::Status Cap(int seconds, Report& report) {
  for (const uint32_t percent : {10u, 30u, 75u}) {
    Scene scene;
    HET_RETURN_IF_ERROR(scene.Open(seconds * kSecond));
    Member member;
    member.percent = percent;
    member.policy = Policy::kCapped;
    HET_RETURN_IF_ERROR(scene.Add(member));
    HET_RETURN_IF_ERROR(scene.Run());
    Row row{absl::StrCat("cap of ", percent, " %, alone"), "share of wall time", "%", {}, 0};
    for (int window = 0; window < seconds; ++window) {
      row.samples.Add(scene.Busy(0, window, window + 1) / kSecond * 100);
    }
    report.Add(row);
    report.Add(Goal{absl::StrCat("cap of ", percent, " %: highest window over it, points"),
                    row.samples.max() - percent, 1, true});
  }
  return absl::OkStatus();
}

absl::Status Throughput(int seconds, Report& report) {
  struct Case {
    const char* name;
    uint32_t shares[2];
    uint32_t depths[2];
    double goal;
  };
  const Case cases[] = {{"50:50, depth 4:4", {50, 50}, {4, 4}, 0.98},
                        {"90:10, depth 4:4", {90, 10}, {4, 4}, 0.98},
                        {"75:25, depth 1:4", {75, 25}, {1, 4}, 0.85}};
  std::vector<Row> rows;
  for (const Case& c : cases) rows.push_back({c.name, "device busy", "%", {}, 0});
  Row solo{"one tenant alone", "device busy", "%", {}, 0};
  Row control{"one tenant, no arbiter", "device busy", "%", {}, 0};
  const auto busy = [](const std::vector<Member>& members) -> absl::StatusOr<double> {
    Scene scene;
    HET_RETURN_IF_ERROR(scene.Open(kSecond));
    for (const Member& member : members) HET_RETURN_IF_ERROR(scene.Add(member));
    HET_RETURN_IF_ERROR(scene.Run());
    double sum = 0;
    for (size_t i = 0; i < members.size(); ++i) sum += scene.Busy(i, 0, 1);
    return sum / kSecond * 100;
  };
  for (int round = 0; round < seconds; ++round) {
    Member plain;
    plain.percent = 100;
    HET_ASSIGN_OR_RETURN(const double alone, busy({plain}));
    solo.samples.Add(alone);
    plain.work.arbitrated = false;
    HET_ASSIGN_OR_RETURN(const double free, busy({plain}));
    control.samples.Add(free);
    for (size_t i = 0; i < std::size(cases); ++i) {
      Member first, second;
      first.percent = cases[i].shares[0];
      first.work.depth = cases[i].depths[0];
      second.percent = cases[i].shares[1];
      second.work.depth = cases[i].depths[1];
      HET_ASSIGN_OR_RETURN(const double both, busy({first, second}));
      rows[i].samples.Add(both);
    }
  }
  report.Add(control);
  solo.ratio = solo.samples.median() / control.samples.median();
  report.Add(solo);
  for (size_t i = 0; i < std::size(cases); ++i) {
    rows[i].ratio = rows[i].samples.median() / solo.samples.median();
    report.Add(Goal{absl::StrCat(cases[i].name, ": throughput over alone"), rows[i].ratio,
                    cases[i].goal, false});
    report.Add(rows[i]);
  }
  return absl::OkStatus();
}

absl::Status Resize(int seconds, Report& report) {
  constexpr int64_t kStep = 20 * kMs;
  constexpr int kSpan = 5;  // windows that count together
  Row row{"share 50 % to 80 %", "in effect after", "ms", {}, 0};
  for (int round = 0; round < seconds; ++round) {
    Scene scene;
    HET_RETURN_IF_ERROR(scene.Open(kSecond, kStep));
    Member half;
    HET_RETURN_IF_ERROR(scene.Add(half));
    HET_RETURN_IF_ERROR(scene.Add(half));
    SleepUntilNs(scene.plan.start_ns + 300 * kMs);
    for (int i = 0; i < 2; ++i) {  // first the one that shrinks: never over 100 %
      ArbiterLease lease = *scene.host->LeaseOf(scene.leases[1 - i]);
      lease.weight = Share::OfPercent(i == 0 ? 20 : 80);
      HET_RETURN_IF_ERROR(scene.host->ChangeLease(scene.leases[1 - i], lease));
    }
    const int64_t changed = NowNs() - scene.plan.start_ns;
    HET_RETURN_IF_ERROR(scene.Run());
    // The first window from which on the share is the new one, within three points.
    const int first = static_cast<int>(changed / kStep) + 1;
    double after = 1000;
    for (int window = first; window + kSpan < kSecond / kStep; ++window) {
      const double mine = scene.Busy(0, window, window + kSpan);
      const double all = mine + scene.Busy(1, window, window + kSpan);
      if (std::abs(mine / all - 0.8) < 0.03) {
        after = (window * kStep - changed) / 1e6;
        break;
      }
    }
    row.samples.Add(after);
  }
  report.Add(row);
  report.Add(Goal{"share change in effect, ms", row.samples.max(), 200, true});

  Row grow{"memory quota doubled", "in effect after", "ms", {}, 0};
  for (int round = 0; round < 20; ++round) {
    Scene scene;
    HET_RETURN_IF_ERROR(scene.Open(kSecond));
    ArbiterLease lease;
    lease.weight = Share::OfPercent(50);
    lease.memory_quota = 1000;
    lease.uid = geteuid();
    HET_ASSIGN_OR_RETURN(const uint32_t index, scene.host->AddLease(lease));
    HET_ASSIGN_OR_RETURN(SeatGrant grant,
                         scene.host->Seat(index, getpid(), StartTimeOfProcess(getpid())));
    HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterSeat> seat, ArbiterSeat::Join(std::move(grant)));
    HET_RETURN_IF_ERROR(seat->Reserve(1000));
    std::atomic<int64_t> granted{0};
    std::thread waiter([&] {
      while (!seat->Reserve(1000).ok()) std::this_thread::yield();
      granted.store(NowNs());
    });
    SleepUntilNs(NowNs() + 5 * kMs);
    const int64_t asked = NowNs();
    lease.memory_quota = 2000;
    const absl::Status changed = scene.host->ChangeLease(index, lease);
    waiter.join();
    HET_RETURN_IF_ERROR(changed);
    grow.samples.Add((granted.load() - asked) / 1e6);
  }
  report.Add(grow);
  report.Add(Goal{"memory grow in effect, ms", grow.samples.max(), 50, true});
  return absl::OkStatus();
}

absl::Status Memory(int seconds, Report& report) {
  (void)seconds;
  constexpr int kProcesses = 16;
  constexpr int kEach = 100'000 / kProcesses;
  constexpr uint64_t kQuota = 1000;
  Scene scene;
  HET_RETURN_IF_ERROR(scene.Open(20 * kSecond));
  ArbiterLease lease;
  lease.weight = Share::OfPercent(50);
  lease.memory_quota = kQuota;
  lease.uid = geteuid();
  HET_ASSIGN_OR_RETURN(const uint32_t index, scene.host->AddLease(lease));
  // What the tenants believe to hold.
  struct Board {
    std::atomic<uint64_t> held;
    std::atomic<uint64_t> over;
  };
  absl::StatusOr<SharedPages> pages = SharedPages::Create("board", sizeof(Board));
  if (!pages.ok()) return pages.status();
  auto* board = static_cast<Board*>(pages->data());
  const auto greedy = [board](ArbiterSeat& seat, TenantReport& out) {
    std::mt19937 random(seat.slot() * 7919 + 1);
    std::vector<uint64_t> mine;
    for (int i = 0; i < kEach; ++i) {
      const uint64_t bytes = 1 + random() % 200;
      const int64_t asked = NowNs();
      if (seat.Reserve(bytes).ok()) {
        if (board->held.fetch_add(bytes) + bytes > kQuota) board->over.fetch_add(1);
        out.launches.fetch_add(1);
        mine.push_back(bytes);
      } else if (const uint32_t n = out.requests.load(); n < TenantReport::kMostRequests) {
        out.request_ns[n].store(NowNs() - asked);
        out.requests.store(n + 1);
      }
      while (!mine.empty() && random() % 2 == 0) {
        board->held.fetch_sub(mine.back());
        seat.GiveBack(mine.back());
        mine.pop_back();
      }
    }
    for (const uint64_t bytes : mine) {
      board->held.fetch_sub(bytes);
      seat.GiveBack(bytes);
    }
    return absl::OkStatus();
  };
  for (int i = 0; i < kProcesses; ++i) HET_RETURN_IF_ERROR(scene.tenants->Start(index, greedy));
  uint64_t highest = 0;
  HET_RETURN_IF_ERROR(scene.tenants->Wait(
      scene.plan, [&] { highest = std::max(highest, scene.host->Usage(index)->memory); }));
  std::vector<double> refusals;
  double granted = 0;
  for (int i = 0; i < kProcesses; ++i) {
    const std::vector<double> own = RequestsMs(scene.tenants->report(i));
    refusals.insert(refusals.end(), own.begin(), own.end());
    granted += scene.tenants->report(i).launches.load();
  }
  const std::string name = "100,000 from 16 processes";
  report.Add(OneFigure(name, "granted", "", granted));
  report.Add(OneFigure(name, "refused", "", refusals.size()));
  report.Add(OneFigure(name, "refusal, median", "us", Quantile(refusals, 0.5) * 1e3));
  report.Add(OneFigure(name, "refusal, P99", "us", Quantile(refusals, 0.99) * 1e3));
  report.Add(OneFigure(name, "refusal, longest", "us", Quantile(refusals, 1) * 1e3));
  report.Add(Goal{"times over the quota", static_cast<double>(board->over.load()), 0, true});
  report.Add(Goal{"refusal, P99, ms", Quantile(refusals, 0.99), 1, true});
  if (highest > kQuota) return absl::InternalError("the books showed more than the quota");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  struct Part {
    const char* name;
    absl::Status (*run)(int, Report&);
  };
  const Part parts[] = {{"priority", Priority},
                        {"cap", Cap},
                        {"throughput", Throughput},
                        {"resize", Resize},
                        {"memory", Memory}};
  std::string only, output = "table";
  int seconds = 5;
  CLI::App app("What slices promise besides shares, on a simulated device");
  app.add_option("--only", only, "one part")
      ->check(CLI::IsMember({"priority", "cap", "throughput", "resize", "memory"}));
  app.add_option("--seconds", seconds, "of each variant")->check(CLI::Range(1, 100));
  app.add_option("-o,--output", output, "table or json")->check(CLI::IsMember({"table", "json"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "share_goals: %s\n", error.what());
    return 64;
  }
  Report report("share_goals");
  for (const Part& part : parts) {
    if (!only.empty() && only != part.name) continue;
    const absl::Status status = part.run(seconds, report);
    if (!status.ok()) {
      std::fprintf(stderr, "share_goals: %s: %s\n", part.name,
                   std::string(status.message()).c_str());
      return 1;
    }
  }
  report.Note("the device is simulated; tenants are processes of their own");
  report.Print(output == "json");
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
