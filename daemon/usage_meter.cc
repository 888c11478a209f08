#include "daemon/usage_meter.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"
#include "partition/refusal.h"
#include "report/timestamp.h"
#include "report/wire.h"

namespace het::daemon {
namespace {

using report::DeviceSample;
using report::HolderSample;
using report::Row;

constexpr int64_t kNsPerMs = 1'000'000;
// A loop that stood still for longer was not looking.
constexpr int64_t kLongestIntervalMs = 10'000;
constexpr int kTicksPerSave = 60;
constexpr double kMostWatts = 1e6;
constexpr size_t kPageBytes = size_t{48} << 10;
constexpr int kRowsPerPage = 256;
constexpr char kOpenCl[] = "opencl";  // shows devices that other backends show too

uint64_t Grown(uint64_t before, uint64_t now) { return now > before ? now - before : 0; }

uint64_t TotalWait(const protocol::SliceUsage& usage) {
  uint64_t sum = 0;
  for (const auto& [reason, ns] : usage.throttled_ns) sum += ns;
  return sum;
}

// The work that a share of the device is, in parts of a core; of a device without cores, in parts
// of it.
uint64_t WorkOf(const DeviceInfo& device, Share share) {
  return uint64_t{share.parts()} * std::max<size_t>(1, device.cores.size());
}

std::string PartitionMode(const DeviceInfo& device) {
  if (!device.cores.empty()) return "cores";
  return device.can_sub_divide ? "sub-device" : "none";
}

// What a row's text takes at most: names may need escapes.
size_t BytesOf(const Row& row) {
  return 220 + row.lease.size() + 6 * (row.tenant.size() + row.job.size());
}

bool MaySee(const Row& row, const Caller& caller) {
  return caller.admin || row.owner == static_cast<int64_t>(caller.uid) ||
         (row.owner < 0 && row.lease.empty() && row.tenant.empty());
}

}  // namespace

void UsageMeter::Restore() {
  if (parts_.store == nullptr) return;
  const auto stored = parts_.store->Load();
  if (!stored.ok()) {
    Log().error("usage: {}", stored.status().ToString());
    return;
  }
  if (!stored->has_value()) return;
  const UsageStore::OpenHour& hour = **stored;
  for (const Json& entry : hour.body.value("devices", Json::array())) {
    const auto device = report::DeviceFromJson(entry.value("device", Json::object()));
    auto sums = report::DeviceHour::FromJson(entry.value("hour", Json::object()));
    if (!device.ok() || !sums.ok()) {
      Log().error("usage: a device of the hour that was open cannot be read: {}",
                  (device.ok() ? sums.status() : device.status()).ToString());
      continue;
    }
    open_[device->id] = {*device, *std::move(sums)};
  }
  hour_ = hour.hour;
}

std::map<std::string, UsageMeter::Pool> UsageMeter::Pools() const {
  std::map<std::string, Pool> pools;
  std::map<std::string, std::set<uint32_t>> cores;
  for (const DeviceInfo& device : parts_.ledger.devices()) {
    // What het cannot use is in `hetctl get devices`; nobody can hold any of it.
    if (device.state == DeviceState::kUnsupported || device.memory_bytes == 0) continue;
    const std::string id = parts_.ledger.PoolOf(device.uuid);
    const bool fresh = !pools.contains(id);
    Pool& pool = pools[id];
    if (fresh) {
      pool.sample.healthy = false;
      pool.sample.draining = true;
    }
    // By the name that its own backend gives it, if several show it.
    const bool own_name = device.backend != kOpenCl;
    if (fresh || (own_name && !pool.own_name)) {
      pool.own_name = own_name;
      pool.device.id = device.uuid;
      pool.device.name = device.name;
      pool.device.vendor = device.vendor;
      pool.device.kind = std::string(DeviceKindName(device.kind));
      pool.device.partition_mode = PartitionMode(device);
      pool.device.simulated = device.simulated;
    }
    pool.device.memory_kib = std::max(pool.device.memory_kib, device.memory_bytes >> 10);
    cores[id].insert(device.cores.begin(), device.cores.end());
    if (device.state == DeviceState::kOk) pool.sample.healthy = true;
    if (!parts_.ledger.IsDraining(device.uuid)) pool.sample.draining = false;
    if (!pool.watts && parts_.power_watts) pool.watts = parts_.power_watts(device.uuid);
    const Amount free = parts_.ledger.FreeOf(device);
    const uint64_t work = WorkOf(device, free.share);
    const uint64_t kib = free.memory_bytes >> 10;
    if (fresh || std::pair(work, kib) > std::pair(pool.free_work, pool.sample.free_kib)) {
      pool.free_work = work;
      pool.sample.free_kib = kib;
    }
  }
  for (auto& [id, pool] : pools) {
    pool.cores = std::max<size_t>(1, cores[id].size());
    pool.sample.memory_kib = pool.device.memory_kib;
    pool.sample.free_parts = static_cast<uint32_t>(pool.free_work / pool.cores);
  }
  return pools;
}

// "cpu3 user nice system idle iowait .." in clock ticks.
void UsageMeter::ReadProcessors() {
  const uint64_t ns_per_tick = 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  processor_delta_.clear();
  const std::string text = parts_.processor_times ? parts_.processor_times() : "";
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint32_t core = 0;
    if (fields.size() < 8 || !absl::StartsWith(fields[0], "cpu") ||
        !absl::SimpleAtoi(fields[0].substr(3), &core)) {
      continue;
    }
    uint64_t busy = 0;
    for (size_t field : {1, 2, 3, 6, 7}) {  // user, nice, system, irq, softirq
      uint64_t ticks = 0;
      if (absl::SimpleAtoi(fields[field], &ticks)) busy += ticks;
    }
    busy *= ns_per_tick;
    const auto before = processor_ns_.find(core);
    if (before != processor_ns_.end()) processor_delta_[core] = Grown(before->second, busy);
    processor_ns_[core] = busy;
  }
}

HolderSample UsageMeter::HolderOf(const Lease& lease, const DeviceInfo& device, const Pool& pool,
                                  std::map<std::string, Seen>& seen) {
  const Slice& slice = lease.slice;
  HolderSample holder;
  holder.memory_limit_kib = slice.memory_bytes >> 10;
  if (slice.policy != Policy::kBestEffort) {
    holder.share_parts = static_cast<uint32_t>(WorkOf(device, slice.share) / pool.cores);
  }
  if (lease.state == LeaseState::kAvailable) {
    holder.reserved = true;
    return holder;
  }
  holder.lease = lease.id;
  holder.tenant = lease.tenant;
  holder.job = lease.job;
  holder.owner = lease.uid;
  const protocol::SliceUsage usage = parts_.usage_of(lease);
  const auto before = seen_.find(lease.id);
  const Seen now = {usage.used_ns, TotalWait(usage)};
  holder.memory_used_kib = usage.memory_bytes >> 10;
  if (before != seen_.end()) {
    holder.used_ns = Grown(before->second.used_ns, now.used_ns);
    holder.wait_ns = Grown(before->second.wait_ns, now.wait_ns);
  }
  seen[lease.id] = now;
  const std::vector<uint32_t> cores = parts_.ledger.CoresOf(slice);
  if (slice.time_shared) {
    // The time of the cores that it shares, out of all cores.
    if (!cores.empty()) holder.used_ns = holder.used_ns * cores.size() / pool.cores;
    return holder;
  }
  if (cores.empty()) {
    // Units of its own, which nobody times. Nobody there: nothing is used.
    holder.metered = usage.processes == 0;
    return holder;
  }
  holder.used_ns = 0;
  for (uint32_t core : cores) {
    const auto busy = processor_delta_.find(core);
    if (busy != processor_delta_.end()) holder.used_ns += busy->second;
  }
  holder.used_ns /= pool.cores;
  return holder;
}

uint64_t UsageMeter::EnergyMj(const Pool& pool, int64_t ms) {
  return static_cast<uint64_t>(std::clamp(*pool.watts, 0.0, kMostWatts) * static_cast<double>(ms));
}

void UsageMeter::AddHolders(std::map<std::string, Pool>& pools, int64_t ms) {
  any_alone_ =
      std::any_of(parts_.book.leases().begin(), parts_.book.leases().end(), [](const auto& entry) {
        return !entry.second.slice.time_shared && !entry.second.slice.cores.empty();
      });
  if (any_alone_) {
    ReadProcessors();
  } else {
    processor_ns_.clear();
  }
  std::map<std::string, Seen> seen;
  for (const auto& [id, lease] : parts_.book.leases()) {
    const auto device = parts_.ledger.FindDevice(lease.slice.device);
    if (!device.ok()) continue;
    const auto pool = pools.find(parts_.ledger.PoolOf(lease.slice.device));
    if (pool == pools.end()) continue;
    pool->second.sample.holders.push_back(HolderOf(lease, **device, pool->second, seen));
  }
  seen_ = std::move(seen);
  for (auto& [id, pool] : pools) {
    pool.sample.interval_ms = ms;
    if (pool.watts) pool.sample.energy_mj = EnergyMj(pool, ms);
    const auto denied = denied_.find(id);
    if (denied != denied_.end()) pool.sample.denied = denied->second;
  }
}

void UsageMeter::EnterHour(int64_t hour) {
  if (hour == hour_) return;
  CloseHour();
  hour_ = hour;
  const auto closed = parts_.store->IsClosed(hour);
  closed_ = closed.ok() && *closed;
  if (closed_) {
    Log().warn("usage: the clock went back into the hour {}, which is closed: not counted",
               report::FormatTime(hour));
  }
}

std::vector<Row> UsageMeter::OpenRows(std::vector<report::Device>& devices) const {
  std::vector<Row> rows;
  for (const auto& [id, open] : open_) {
    std::vector<Row> own = open.hour.Rows(hour_, static_cast<uint32_t>(devices.size()));
    devices.push_back(open.device);
    rows.insert(rows.end(), std::make_move_iterator(own.begin()),
                std::make_move_iterator(own.end()));
  }
  return rows;
}

bool UsageMeter::SameAsBefore(const std::map<std::string, Pool>& pools) const {
  if (changes_ != parts_.book.changes() || !denied_.empty() || any_alone_ ||
      parts_.any_attached()) {
    return false;
  }
  return std::equal(
      pools.begin(), pools.end(), last_.begin(), last_.end(),
      [](const auto& now, const auto& before) {
        const DeviceSample &a = now.second.sample, &b = before.second.sample;
        return now.first == before.first && now.second.device == before.second.device &&
               now.second.watts.has_value() == before.second.watts.has_value() &&
               std::tie(a.memory_kib, a.healthy, a.draining, a.free_kib, a.free_parts) ==
                   std::tie(b.memory_kib, b.healthy, b.draining, b.free_kib, b.free_parts);
      });
}

void UsageMeter::Settle() {
  if (same_ms_ == 0) return;
  for (auto& [id, pool] : last_) {
    pool.sample.interval_ms = same_ms_;
    pool.sample.denied = 0;
    if (pool.sample.energy_mj) pool.sample.energy_mj = std::exchange(pool.same_mj, 0);
    for (HolderSample& holder : pool.sample.holders) holder.used_ns = holder.wait_ns = 0;
    open_.at(pool.device.id).hour.Add(pool.sample);
  }
  same_ms_ = 0;
}

void UsageMeter::CloseHour() {
  Settle();
  last_.clear();
  if (hour_ == report::kUnknown || closed_) {
    open_.clear();
    return;
  }
  std::vector<report::Device> devices;
  const std::vector<Row> rows = OpenRows(devices);
  if (!rows.empty()) {
    const absl::Status status = parts_.store->Close(hour_, devices, rows);
    if (!status.ok()) {
      Log().error("usage: the hour {} is lost: {}", report::FormatTime(hour_), status.ToString());
    }
  }
  open_.clear();
}

void UsageMeter::Tick() {
  if (parts_.store == nullptr) return;
  const int64_t now = parts_.clock.MonotonicNanos();
  const int64_t ms = (now - last_ns_) / kNsPerMs;
  const bool looked = last_ns_ != 0 && ms >= 0 && ms <= kLongestIntervalMs;
  // What is less than a millisecond is counted with the next sample.
  last_ns_ = looked ? last_ns_ + ms * kNsPerMs : now;
  EnterHour(report::HourOf(parts_.clock.WallNanos() / 1'000'000'000));
  std::map<std::string, Pool> pools = Pools();
  if (looked && !closed_ && SameAsBefore(pools)) {
    same_ms_ += ms;
    for (auto& [id, pool] : pools) {
      if (pool.watts) last_.at(id).same_mj += EnergyMj(pool, ms);
    }
  } else {
    Settle();
    changes_ = parts_.book.changes();
    AddHolders(pools, looked ? ms : 0);
    denied_.clear();
    if (closed_) return;
    for (auto& [id, pool] : pools) {
      OpenDevice& open = open_[pool.device.id];
      open.device = pool.device;
      open.hour.Add(pool.sample);
    }
    last_ = std::move(pools);
  }
  if (++ticks_unsaved_ >= kTicksPerSave) Save();
}

void UsageMeter::Save() {
  ticks_unsaved_ = 0;
  Settle();
  if (parts_.store == nullptr || hour_ == report::kUnknown || closed_) return;
  Json devices = Json::array();
  for (const auto& [id, open] : open_) {
    devices.push_back({{"device", report::ToJson(open.device)}, {"hour", open.hour.ToJson()}});
  }
  const absl::Status saved = parts_.store->Save(hour_, {{"devices", std::move(devices)}});
  if (!saved.ok()) Log().warn("usage: {}", saved.ToString());
}

void UsageMeter::Refused(const absl::Status& status) {
  const std::optional<Shortage> shortage = ShortageOf(status);
  if (shortage && !shortage->device.empty()) ++denied_[parts_.ledger.PoolOf(shortage->device)];
}

absl::StatusOr<Stream> UsageMeter::Report(const Caller& caller, const Json& parameters) {
  if (parts_.store == nullptr) {
    return absl::UnavailableError("there is no history of usage here; see hetd's log");
  }
  HET_ASSIGN_OR_RETURN(const double from, JsonNumber(parameters, "from"));
  HET_ASSIGN_OR_RETURN(const double to, JsonNumber(parameters, "to"));
  constexpr double kLatest = 1e12;
  if (!(from >= 0 && from < to && to <= kLatest)) {
    return InvalidField("to", "must be after \"from\", both in Unix seconds");
  }
  struct Reading {
    UsageStore::Place place;
    int64_t to = 0;
    std::optional<uid_t> owner;
    std::vector<UsageStore::Entry> entries;  // read, not sent yet
    size_t next = 0;
    bool all_read = false;
    bool first = true;
    bool open_rows = false;
    std::set<int64_t> told;  // devices
  };
  auto reading = std::make_shared<Reading>();
  reading->place.hour = report::HourOf(static_cast<int64_t>(from)) - 1;
  reading->to = static_cast<int64_t>(to);
  if (!caller.admin) reading->owner = caller.uid;
  return Stream([this, reading, caller, from = static_cast<int64_t>(from)]() -> Page {
    Reading& r = *reading;
    Page page;
    page.parameters = {{"devices", Json::array()}, {"rows", Json::array()}};
    const bool open_hour =
        hour_ != report::kUnknown && !closed_ && hour_ < r.to && hour_ >= report::HourOf(from);
    if (r.first) {
      page.parameters["node"] = parts_.node;
      page.parameters["ownRowsOnly"] = r.owner.has_value();
      if (open_hour && !open_.empty()) page.parameters["openHour"] = hour_;
      r.open_rows = open_hour;
    }
    r.first = false;
    size_t bytes = 0;
    while (bytes < kPageBytes) {
      if (r.next == r.entries.size() && !r.all_read) {
        auto read = parts_.store->Read(r.place, r.to, r.owner, kRowsPerPage);
        if (!read.ok()) Log().error("usage: {}", read.status().ToString());
        r.entries = read.ok() ? *std::move(read) : std::vector<UsageStore::Entry>();
        r.next = 0;
        r.all_read = r.entries.empty();
        // The hour that is open comes last; in it are the rows that are not written yet.
        if (r.all_read && r.open_rows) {
          Settle();
          std::vector<report::Device> devices;
          for (Row& row : OpenRows(devices)) {
            if (!MaySee(row, caller)) continue;
            const auto number = parts_.store->NumberOf(devices[row.device]);
            if (number.ok()) r.entries.push_back({*number, std::move(row)});
          }
        }
      }
      if (r.next == r.entries.size()) return page;
      const UsageStore::Entry& entry = r.entries[r.next++];
      if (r.told.insert(entry.device).second) {
        const auto device = parts_.store->FindDevice(entry.device);
        Json told =
            device.ok() ? report::ToJson(*device) : Json{{"id", absl::StrCat(entry.device)}};
        bytes += PrintJson(told).size();
        page.parameters["devices"].push_back(Json::array({entry.device, std::move(told)}));
      }
      page.parameters["rows"].push_back(report::RowToJson(entry.row, entry.device));
      bytes += BytesOf(entry.row);
    }
    page.continues = true;
    return page;
  });
}

}  // namespace het::daemon
