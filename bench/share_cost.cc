// What a turn costs: TryBegin and End when nobody else is at work, with few and with many seats,
// beside the two atomic additions that a launch counter alone would need. Seats are of one process:
// the pages do not know the difference.
//
//   share_cost [-o table|json]
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "bench/report.h"
#include "partition/arbiter_host.h"
#include "partition/arbiter_seat.h"
#include "partition/process_state.h"

namespace het::bench {
namespace {

constexpr int kRounds = 15;
constexpr int kPairs = 200'000;

// A device with `count` leases, a seat each.
struct Table {
  std::unique_ptr<ArbiterHost> host;
  std::vector<std::unique_ptr<ArbiterSeat>> seats;
};

absl::StatusOr<Table> MakeTable(int count, Policy policy) {
  Table table;
  absl::StatusOr<std::unique_ptr<ArbiterHost>> host = ArbiterHost::Create("cost");
  if (!host.ok()) return host.status();
  table.host = *std::move(host);
  for (int i = 0; i < count; ++i) {
    ArbiterLease lease;
    lease.weight = Share::OfParts(10000 / count);
    lease.policy = policy;
    lease.uid = geteuid();
    absl::StatusOr<uint32_t> index = table.host->AddLease(lease);
    if (!index.ok()) return index.status();
    absl::StatusOr<SeatGrant> grant =
        table.host->Seat(*index, getpid(), StartTimeOfProcess(getpid()));
    if (!grant.ok()) return grant.status();
    absl::StatusOr<std::unique_ptr<ArbiterSeat>> seat = ArbiterSeat::Join(*std::move(grant));
    if (!seat.ok()) return seat.status();
    table.seats.push_back(*std::move(seat));
  }
  return table;
}

// Nanoseconds per pair; 0 when a turn was refused, which would make the figure worthless.
double TurnNs(ArbiterSeat& seat) {
  const int64_t start = Clock::Real().MonotonicNanos();
  for (int i = 0; i < kPairs; ++i) {
    const std::optional<Ticket> ticket = seat.TryBegin(1000);
    if (!ticket) return 0;
    seat.End(*ticket, 1010);  // the estimate is never exact
  }
  return static_cast<double>(Clock::Real().MonotonicNanos() - start) / kPairs;
}

double ControlNs() {
  static std::atomic<uint64_t> issued{0}, completed{0};
  const int64_t start = Clock::Real().MonotonicNanos();
  for (int i = 0; i < kPairs; ++i) {
    issued.fetch_add(1);
    completed.fetch_add(1);
  }
  return static_cast<double>(Clock::Real().MonotonicNanos() - start) / kPairs;
}

int Main(int argc, char** argv) {
  bool json = false;
  if (!WantsJson(argc, argv, &json)) {
    std::fprintf(stderr, "usage: share_cost [-o table|json]\n");
    return 64;
  }
  Report report("share_cost");
  Row control{"turn", "control: two additions", "ns", {}, 0};
  struct Case {
    int seats;
    double goal;
    Table table;
    Row row;
  };
  std::vector<Case> cases;
  for (const auto& [seats, goal] : {std::pair{1, 0.0}, {4, 50.0}, {64, 250.0}}) {
    absl::StatusOr<Table> table = MakeTable(seats, Policy::kGuaranteed);
    if (!table.ok()) {
      std::fprintf(stderr, "share_cost: %s\n", std::string(table.status().message()).c_str());
      return 1;
    }
    cases.push_back({seats, goal, *std::move(table),
                     Row{"turn", absl::StrCat("of ", seats, " seats"), "ns", {}, 0}});
  }
  for (int round = 0; round < kRounds; ++round) {  // interleaved: the machine's moods hit all
    control.samples.Add(ControlNs());
    for (Case& c : cases) {
      const double ns = TurnNs(*c.table.seats[0]);
      if (ns == 0) {
        std::fprintf(stderr, "share_cost: a turn was refused though nobody else is at work\n");
        return 1;
      }
      c.row.samples.Add(ns);
    }
  }
  const double base = control.samples.median();
  report.Add(control);
  for (Case& c : cases) {
    c.row.ratio = c.row.samples.median() / base;
    report.Add(c.row);
    if (c.goal > 0) {
      report.Add(Goal{absl::StrCat("TryBegin + End with ", c.seats, " seats, ns"),
                      c.row.samples.median(), c.goal, true});
    }
  }
  report.Print(json);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
