#include "daemon/node.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"

namespace het::daemon {
namespace {

constexpr int64_t kStoreRetryNanos = 1'000'000'000;
constexpr int64_t kBeatNanos = 500'000'000;  // clients give hetd up after four of these

// The earlier of two moments, of which 0 is none.
int64_t Earlier(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return a + b;
  return std::min(a, b);
}

}  // namespace

Node::Node(Environment& environment, Store& store, Discovery::Options discovery, Config config,
           NodeOverlay overlay)
    : environment_(environment),
      clock_(environment.clock()),
      config_(std::move(config)),
      overlay_(std::move(overlay)),
      ledger_([this] { return environment_.NewId(); }),
      book_(ledger_, store, clock_, environment.BootId(),
            {config_.limits.leases_per_user, config_.isolation_at_least,
             [this] { return environment_.NewId(); }}),
      arbiters_(ledger_, book_, clock_),
      methods_(ledger_, book_, arbiters_, clock_,
               {[this](const ProcessId& process) { return environment_.Watch(process); },
                [this](std::function<void()> done) { discovery_.Scan(std::move(done)); },
                [this](std::function<void()> done) {
                  overlay_.measure_links(ledger_.devices(), std::move(done));
                },
                overlay_.topology, [this] { return overlay_.links(ledger_.devices()); },
                [this] { return overlay_.telemetry(ledger_.devices()); },
                [this](const Caller& caller, const Json& parameters) -> absl::StatusOr<Stream> {
                  if (observer_.report) return observer_.report(caller, parameters);
                  return absl::UnavailableError("this hetd keeps no history of usage");
                },
                [this](const absl::Status& status) {
                  if (observer_.refused) observer_.refused(status);
                },
                &statistics_},
               config_.limits.waiting_per_user),
      discovery_(environment, store, std::move(discovery),
                 {[this](std::vector<DeviceInfo> devices) {
                    found_ = std::move(devices);
                    overlay_.on_scanned(found_);
                    SetDevices(found_);
                  },
                  [this] {
                    known_.rates = true;
                    methods_.SetKnown(known_);
                  },
                  overlay_.watches}) {}

absl::Status Node::Begin(Answers& answers) {
  HET_RETURN_IF_ERROR(
      book_.Restore([this](const ProcessId& process) { return environment_.IsAlive(process); }));
  for (const ProcessId& process : book_.Processes()) {
    // It may have ended since.
    if (!environment_.Watch(process).ok()) book_.ReclaimProcess(process);
  }
  Failpoint("restore.staged");
  methods_.AnswerThrough(&answers);
  discovery_.Scan();
  return absl::OkStatus();
}

void Node::RecoverArbiters() {
  for (const ProcessId& process : arbiters_.Recover()) {
    if (!environment_.Watch(process).ok()) arbiters_.Reap(process);
  }
}

void Node::OnProcessEnded(const ProcessId& process) {
  arbiters_.Reap(process);
  statistics_.Reclaimed("process_ended", book_.ReclaimProcess(process));
  Failpoint("reclaim.staged");
}

void Node::OverlayChanged() {
  if (known_.devices) SetDevices(found_);
}

void Node::SetDevices(std::vector<DeviceInfo> devices) {
  overlay_.apply(devices);
  Unlist(devices);
  ledger_.SetInventory(std::move(devices));
  known_.devices = true;
  arbiters_.Sync();  // what a share means depends on the cores there are
  CutNamedSlices();
  methods_.SetKnown(known_);
}

void Node::Unlist(std::vector<DeviceInfo>& devices) const {
  std::erase_if(devices, [this](const DeviceInfo& device) {
    return device.state == DeviceState::kRemoved &&
           std::none_of(ledger_.slices().begin(), ledger_.slices().end(),
                        [&](const auto& entry) { return entry.second.device == device.uuid; });
  });
}

void Node::CutNamedSlices() {
  const Caller self = {geteuid(), {}, /*admin=*/true};
  for (SliceRequest slice : config_.slices) {
    if (book_.HasNamed(slice.name)) continue;
    const absl::StatusOr<const DeviceInfo*> device = ledger_.FindMeant(slice.device);
    absl::Status cut = device.status();
    if (device.ok()) {
      slice.device = (*device)->uuid;
      cut = book_.Create(self, slice).status();
    }
    if (!cut.ok()) {
      Log().error("slice {} of hetd.toml is not there: {}", slice.name, cut.ToString());
    }
  }
}

void Node::Tick() {
  const int64_t now = clock_.MonotonicNanos();
  if (NextExpiry() != 0 && NextExpiry() <= clock_.BoottimeNanos()) {
    statistics_.Reclaimed("expired", book_.ReclaimExpired());
  }
  methods_.AnswerOverdue();
  if (next_beat_ != 0 && next_beat_ <= now) {
    arbiters_.Beat();
    next_beat_ = now + kBeatNanos;
  }
  if (next_store_retry_ != 0 && next_store_retry_ <= now) {
    book_.Probe();
    next_store_retry_ = now + kStoreRetryNanos;
  }
  discovery_.CheckIfDue();
}

int64_t Node::NextTick() const {
  const int64_t next = Earlier(Earlier(methods_.NextDeadline(), next_beat_), next_store_retry_);
  return Earlier(next, discovery_.NextCheck());
}

void Node::EndTurn() {
  methods_.Flush();
  if (changes_seen_ != book_.changes()) {
    changes_seen_ = book_.changes();
    // The last lease of a removed device may have ended.
    const std::vector<DeviceInfo>& devices = ledger_.devices();
    if (std::any_of(devices.begin(), devices.end(), [](const DeviceInfo& device) {
          return device.state == DeviceState::kRemoved;
        })) {
      OverlayChanged();
      methods_.Flush();
    }
    environment_.ForgetUnless([this](const ProcessId& process) {
      return book_.HasLeases(process) || arbiters_.HasSeats(process);
    });
  }
  const int64_t now = clock_.MonotonicNanos();
  if (arbiters_.empty()) {
    next_beat_ = 0;
  } else if (next_beat_ == 0) {
    next_beat_ = now + kBeatNanos;
  }
  if (book_.store_status().ok()) {
    next_store_retry_ = 0;
  } else if (next_store_retry_ == 0) {
    next_store_retry_ = now + kStoreRetryNanos;
  }
}

}  // namespace het::daemon
