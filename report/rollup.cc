#include "report/rollup.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::report {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kSecondsPerHour = 3600;  // mJ to mWh
// So that an hour's sum of KiB x ms stays below 2^63: 2 PiB.
constexpr uint64_t kMostKib = uint64_t{1} << 41;

// a x b / c, rounded down.
uint64_t Scale(uint64_t a, uint64_t b, uint64_t c) {
  return c == 0 ? 0 : static_cast<uint64_t>(Wide{a} * b / c);
}

uint64_t Sum(const std::vector<uint64_t>& numbers) {
  Wide sum = 0;
  for (uint64_t number : numbers) sum += number;
  return static_cast<uint64_t>(std::min<Wide>(sum, UINT64_MAX));
}

// Gives each what it wants while it lasts; when it does not, each the same part of its wish.
// `left` keeps what nobody got.
void Share(std::vector<uint64_t>& wants, uint64_t& left) {
  const uint64_t all = Sum(wants);
  const uint64_t has = left;
  for (uint64_t& want : wants) {
    if (all > has) want = Scale(want, has, all);
    want = std::min(want, left);
    left -= want;
  }
}

int64_t Mean(uint64_t sum, int64_t over_ms) {
  return over_ms <= 0 ? 0 : static_cast<int64_t>(sum / static_cast<uint64_t>(over_ms));
}

}  // namespace

DeviceHour::Account& DeviceHour::AccountOf(const HolderSample& holder) {
  std::string key = absl::StrCat("1", holder.lease);
  auto found = accounts_.find(key);
  if (found != accounts_.end()) return found->second;
  const auto leases =
      static_cast<size_t>(std::distance(accounts_.lower_bound("1"), accounts_.lower_bound("2")));
  Account account;
  account.tenant = holder.tenant;
  account.owner = holder.owner;
  if (leases < kMostLeases) {
    account.lease = holder.lease;
    account.job = holder.job;
  } else {
    key = absl::StrCat("2", holder.owner, "/", holder.tenant);
    const bool known = accounts_.contains(key);
    if (!known && accounts_.size() >= kMostLeases + kMostTenants) {
      key = "3";
      account.tenant = "(others)";
      account.owner = kUnknown;
    }
  }
  return accounts_.try_emplace(std::move(key), std::move(account)).first->second;
}

// What nobody holds: what could be leased now is free, the rest is stranded.
void DeviceHour::Leave(const DeviceSample& sample, uint64_t rest, uint64_t can_lease,
                       uint64_t Amounts::*kind) {
  if (sample.draining) {
    reserved_.*kind += rest;
    return;
  }
  const uint64_t free = std::min(rest, can_lease);
  free_.*kind += free;
  stranded_.*kind += rest - free;
}

void DeviceHour::CarveMemory(const DeviceSample& sample, int64_t ms) {
  const auto time = static_cast<uint64_t>(ms);
  const uint64_t whole = std::clamp<uint64_t>(sample.memory_kib, 1, kMostKib);
  uint64_t left = whole;
  std::vector<uint64_t> limits;
  for (const HolderSample& holder : sample.holders) {
    limits.push_back(std::min(holder.memory_limit_kib, whole));
  }
  Share(limits, left);
  for (size_t i = 0; i < limits.size(); ++i) {
    const HolderSample& holder = sample.holders[i];
    if (holder.reserved) {
      reserved_.memory += limits[i] * time;
      continue;
    }
    Account& account = AccountOf(holder);
    const uint64_t used = std::min(holder.memory_used_kib, limits[i]);
    account.used.memory += used * time;
    account.idle.memory += (limits[i] - used) * time;
    account.memory_limit += limits[i] * time;
    account.memory_max_kib = std::max(account.memory_max_kib, used);
  }
  const bool can_lease = sample.free_parts > 0 && sample.free_kib > 0;
  const uint64_t largest = can_lease ? std::min(sample.free_kib, left) : 0;
  Leave(sample, left * time, largest * time, &Amounts::memory);
  if (!sample.draining) largest_free_ += largest * time;
}

void DeviceHour::CarveCompute(const DeviceSample& sample, int64_t ms) {
  const uint64_t whole = static_cast<uint64_t>(ms) * kNsPerMs;
  uint64_t left = whole;
  std::vector<uint64_t> used, idle;
  const auto limit_of = [whole](const HolderSample& holder) {
    return Scale(whole, std::min(holder.share_parts, kWholeParts), kWholeParts);
  };
  for (const HolderSample& holder : sample.holders) {
    const uint64_t does = holder.metered ? holder.used_ns : limit_of(holder);
    used.push_back(holder.reserved ? 0 : std::min(does, whole));
  }
  Share(used, left);
  for (size_t i = 0; i < used.size(); ++i) {
    const uint64_t limit = limit_of(sample.holders[i]);
    idle.push_back(limit > used[i] ? limit - used[i] : 0);
  }
  // A guaranteed lease may use what others leave idle: that is not idle then.
  Share(idle, left);
  for (size_t i = 0; i < used.size(); ++i) {
    const HolderSample& holder = sample.holders[i];
    if (holder.reserved) {
      reserved_.compute += idle[i];
      continue;
    }
    Account& account = AccountOf(holder);
    account.used.compute += used[i];
    account.idle.compute += idle[i];
    account.compute_limit += limit_of(holder);
    account.present_ms += ms;
    account.wait_ns += holder.wait_ns;
    account.metered = account.metered && holder.metered;
    account.seen[Scale(used[i], 100, whole)] += static_cast<uint32_t>(ms);
  }
  if (sample.energy_mj) {
    // By the device time that each used; the rest is the device's own.
    uint64_t rest = *sample.energy_mj;
    for (size_t i = 0; i < used.size(); ++i) {
      const uint64_t part = std::min(Scale(*sample.energy_mj, used[i], whole), rest);
      if (part > 0) AccountOf(sample.holders[i]).energy_mj += part;
      rest -= part;
    }
    energy_mj_ = energy_mj_.value_or(0) + rest;
  }
  const bool can_lease = sample.free_parts > 0 && sample.free_kib > 0;
  const uint64_t free =
      can_lease ? Scale(whole, std::min(sample.free_parts, kWholeParts), kWholeParts) : 0;
  Leave(sample, left, free, &Amounts::compute);
}

void DeviceHour::Add(const DeviceSample& sample) {
  denied_ += sample.denied;
  const int64_t ms = std::min(sample.interval_ms, kHourMs - covered_ms_);
  if (ms <= 0) return;
  covered_ms_ += ms;
  if (!sample.healthy) {
    unhealthy_.memory +=
        std::clamp<uint64_t>(sample.memory_kib, 1, kMostKib) * static_cast<uint64_t>(ms);
    unhealthy_.compute += static_cast<uint64_t>(ms) * kNsPerMs;
    if (sample.energy_mj) energy_mj_ = energy_mj_.value_or(0) + *sample.energy_mj;
    return;
  }
  CarveMemory(sample, ms);
  CarveCompute(sample, ms);
}

// The parts of the whole in 1e-12, which add up to exactly one: what rounding down leaves goes to
// the largest remainders.
void DeviceHour::AddShares(std::vector<Row>& rows, const std::vector<Amounts>& amounts) {
  const auto apportion = [&](uint64_t Amounts::*kind, uint64_t Row::*share) {
    Wide whole = 0;
    for (const Amounts& amount : amounts) whole += amount.*kind;
    if (whole == 0) return;
    uint64_t left = kWhole;
    std::vector<std::pair<Wide, size_t>> remainders;
    for (size_t i = 0; i < rows.size(); ++i) {
      const Wide scaled = Wide{amounts[i].*kind} * kWhole;
      rows[i].*share = static_cast<uint64_t>(scaled / whole);
      left -= rows[i].*share;
      remainders.emplace_back(scaled % whole, i);
    }
    std::sort(remainders.begin(), remainders.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    for (uint64_t i = 0; i < left; ++i) ++(rows[remainders[i].second].*share);
  };
  apportion(&Amounts::memory, &Row::memory_share);
  apportion(&Amounts::compute, &Row::compute_share);
}

std::vector<Row> DeviceHour::Rows(int64_t hour, uint32_t device) const {
  std::vector<Row> rows;
  std::vector<Amounts> amounts;
  if (covered_ms_ == 0) return rows;
  Row blank;
  blank.hour = hour;
  blank.device = device;
  blank.covered_ms = covered_ms_;
  const auto add = [&](Row row, State state, const Amounts& amount) {
    row.state = state;
    rows.push_back(std::move(row));
    amounts.push_back(amount);
  };
  for (const auto& [key, account] : accounts_) {
    Row row = blank;
    row.tenant = account.tenant;
    row.owner = account.owner;
    row.job = account.job;
    row.lease = account.lease;
    row.memory_limit_kib = Mean(account.memory_limit, account.present_ms);
    row.memory_used_kib = Mean(account.used.memory, account.present_ms);
    row.memory_used_max_kib = static_cast<int64_t>(account.memory_max_kib);
    // 1e-6 of the device's time: ns per ms.
    row.compute_limit = Mean(account.compute_limit, account.present_ms);
    row.queue_wait_ms = static_cast<int64_t>(account.wait_ns / kNsPerMs);
    if (account.metered) {
      row.compute_used = Mean(account.used.compute, account.present_ms);
      uint64_t all = 0, below = 0;
      for (uint32_t ms : account.seen) all += ms;
      for (size_t percent = 0; percent < kBuckets; ++percent) {
        below += account.seen[percent];
        if (below * 100 < all * 95) continue;
        row.compute_used_p95 = static_cast<int64_t>(percent) * 10'000;
        break;
      }
    }
    if (account.used.memory + account.used.compute > 0) {
      if (energy_mj_) row.energy_mwh = static_cast<int64_t>(account.energy_mj / kSecondsPerHour);
      add(row, State::kUsed, account.used);
      row.energy_mwh = kUnknown;
    }
    row.queue_wait_ms = kUnknown;  // once per lease: with what it used, if it did
    if (account.used.memory + account.used.compute == 0) {
      row.queue_wait_ms = static_cast<int64_t>(account.wait_ns / kNsPerMs);
    }
    if (account.idle.memory + account.idle.compute > 0) add(row, State::kHeldIdle, account.idle);
  }
  Row row = blank;
  row.denied_requests = static_cast<int64_t>(denied_);
  row.largest_free_kib = Mean(largest_free_, covered_ms_);
  if (energy_mj_) row.energy_mwh = static_cast<int64_t>(*energy_mj_ / kSecondsPerHour);
  add(row, State::kFree, free_);
  const std::pair<State, const Amounts*> others[] = {{State::kStranded, &stranded_},
                                                     {State::kUnhealthy, &unhealthy_},
                                                     {State::kReserved, &reserved_}};
  for (const auto& [state, amount] : others) {
    if (amount->memory + amount->compute > 0) add(blank, state, *amount);
  }
  AddShares(rows, amounts);
  return rows;
}

namespace {

Json PairToJson(uint64_t memory, uint64_t compute) { return Json::array({memory, compute}); }

absl::Status ReadNumbers(const Json& json, const char* field, std::vector<uint64_t>& numbers) {
  const auto found = json.find(field);
  if (found == json.end() || !found->is_array()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", field, "\" must be a list of numbers"));
  }
  numbers.clear();
  for (const Json& number : *found) {
    if (!number.is_number_unsigned()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", field, "\" must be a list of numbers"));
    }
    numbers.push_back(number.get<uint64_t>());
  }
  return absl::OkStatus();
}

}  // namespace

Json DeviceHour::ToJson() const {
  Json accounts = Json::array();
  for (const auto& [key, account] : accounts_) {
    Json seen = Json::array();
    for (size_t percent = 0; percent < kBuckets; ++percent) {
      if (account.seen[percent] == 0) continue;
      seen.push_back(percent);
      seen.push_back(account.seen[percent]);
    }
    accounts.push_back(
        {{"key", key},
         {"lease", account.lease},
         {"tenant", account.tenant},
         {"job", account.job},
         {"owner", account.owner},
         {"metered", account.metered},
         {"sums",
          {account.used.memory, account.used.compute, account.idle.memory, account.idle.compute,
           static_cast<uint64_t>(account.present_ms), account.memory_limit, account.compute_limit,
           account.memory_max_kib, account.wait_ns, account.energy_mj}},
         {"seen", std::move(seen)}});
  }
  Json json = {{"coveredMs", covered_ms_},
               {"free", PairToJson(free_.memory, free_.compute)},
               {"stranded", PairToJson(stranded_.memory, stranded_.compute)},
               {"unhealthy", PairToJson(unhealthy_.memory, unhealthy_.compute)},
               {"reserved", PairToJson(reserved_.memory, reserved_.compute)},
               {"denied", denied_},
               {"largestFree", largest_free_},
               {"accounts", std::move(accounts)}};
  if (energy_mj_) json["energyMj"] = *energy_mj_;
  return json;
}

absl::StatusOr<DeviceHour> DeviceHour::FromJson(const Json& json) {
  DeviceHour hour;
  HET_ASSIGN_OR_RETURN(const uint64_t covered, JsonUint(json, "coveredMs"));
  if (covered > static_cast<uint64_t>(kHourMs)) {
    return absl::InvalidArgumentError("\"coveredMs\" is more than an hour");
  }
  hour.covered_ms_ = static_cast<int64_t>(covered);
  HET_ASSIGN_OR_RETURN(hour.denied_, JsonUint(json, "denied"));
  HET_ASSIGN_OR_RETURN(hour.largest_free_, JsonUint(json, "largestFree"));
  if (json.contains("energyMj")) {
    HET_ASSIGN_OR_RETURN(hour.energy_mj_, JsonUint(json, "energyMj"));
  }
  std::vector<uint64_t> numbers;
  const std::pair<const char*, Amounts*> totals[] = {{"free", &hour.free_},
                                                     {"stranded", &hour.stranded_},
                                                     {"unhealthy", &hour.unhealthy_},
                                                     {"reserved", &hour.reserved_}};
  for (const auto& [field, amounts] : totals) {
    HET_RETURN_IF_ERROR(ReadNumbers(json, field, numbers));
    if (numbers.size() != 2) return absl::InvalidArgumentError(absl::StrCat(field, ": two sums"));
    *amounts = {numbers[0], numbers[1]};
  }
  const auto accounts = json.find("accounts");
  if (accounts == json.end() || !accounts->is_array()) {
    return absl::InvalidArgumentError("\"accounts\" must be a list");
  }
  for (const Json& entry : *accounts) {
    Account account;
    HET_ASSIGN_OR_RETURN(const std::string key, JsonString(entry, "key"));
    HET_ASSIGN_OR_RETURN(account.lease, JsonString(entry, "lease"));
    HET_ASSIGN_OR_RETURN(account.tenant, JsonString(entry, "tenant"));
    HET_ASSIGN_OR_RETURN(account.job, JsonString(entry, "job"));
    HET_ASSIGN_OR_RETURN(const double owner, JsonNumber(entry, "owner", kUnknown));
    account.owner = static_cast<int64_t>(owner);
    HET_ASSIGN_OR_RETURN(account.metered, JsonBool(entry, "metered", true));
    HET_RETURN_IF_ERROR(ReadNumbers(entry, "sums", numbers));
    // Nine before energy was metered.
    if (numbers.size() != 9 && numbers.size() != 10) {
      return absl::InvalidArgumentError("\"sums\": ten numbers");
    }
    account.used = {numbers[0], numbers[1]};
    account.idle = {numbers[2], numbers[3]};
    account.present_ms = static_cast<int64_t>(std::min<uint64_t>(numbers[4], covered));
    account.memory_limit = numbers[5];
    account.compute_limit = numbers[6];
    account.memory_max_kib = numbers[7];
    account.wait_ns = numbers[8];
    if (numbers.size() > 9) account.energy_mj = numbers[9];
    HET_RETURN_IF_ERROR(ReadNumbers(entry, "seen", numbers));
    for (size_t i = 0; i + 1 < numbers.size(); i += 2) {
      if (numbers[i] >= kBuckets) return absl::InvalidArgumentError("\"seen\": percent");
      account.seen[numbers[i]] = static_cast<uint32_t>(numbers[i + 1]);
    }
    hour.accounts_.emplace(key, std::move(account));
  }
  return hour;
}

}  // namespace het::report
