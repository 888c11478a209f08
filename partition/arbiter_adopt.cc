// How an owner that was restarted goes on with the pages its clients still map.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "partition/arbiter_host.h"
#include "partition/arbiter_pages.h"

namespace het {

using arbiter::ControlLease;
using arbiter::ControlPage;
using arbiter::ControlSlot;
using arbiter::RegionPage;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Calls `use` with the name of every entry of a directory; none when it cannot be read.
template <typename Use>
void ForEachEntry(const std::string& path, Use use) {
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) use(std::string(entry->d_name));
  closedir(directory);
}

std::string LinkOf(const std::string& path) {
  char target[128];
  const ssize_t size = readlink(path.c_str(), target, sizeof(target));
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
}

// Every memfd of an arbiter that some process has open, by name, opened for writing here. The files
// of an owner belong to its user with mode 0600, so what opens is this user's own.
void OpenAll(std::map<std::string, UniqueFd>& all) {
  constexpr absl::string_view kPrefix = "/memfd:het-arbiter-", kDeleted = " (deleted)";
  ForEachEntry("/proc", [&](const std::string& pid) {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(pid, &number) || static_cast<pid_t>(number) == getpid()) return;
    const std::string folder = absl::StrCat("/proc/", pid, "/fd");
    ForEachEntry(folder, [&](const std::string& descriptor) {
      const std::string path = absl::StrCat(folder, "/", descriptor);
      const std::string link = LinkOf(path);
      absl::string_view name = link;
      if (!absl::StartsWith(name, kPrefix) || !absl::ConsumeSuffix(&name, kDeleted)) return;
      name.remove_prefix(absl::string_view("/memfd:").size());
      if (all.contains(std::string(name))) return;
      UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
      struct stat info;
      if (!fd.valid() || fstat(fd.get(), &info) != 0 || info.st_uid != geteuid()) return;
      all.emplace(name, std::move(fd));
    });
  });
}

}  // namespace

std::vector<ArbiterHost::Found> ArbiterHost::FindPages(std::map<std::string, UniqueFd> kept) {
  std::vector<Found> found;
  std::map<std::string, UniqueFd> files = std::move(kept);
  OpenAll(files);
  for (auto& [name, fd] : files) {
    if (name.size() != arbiter::ControlName(0).size()) continue;
    absl::StatusOr<SharedPages> control =
        SharedPages::Map(std::move(fd), sizeof(ControlPage), /*writable=*/true);
    if (!control.ok()) continue;
    Found one;
    one.control = *std::move(control);
    for (uint32_t index = 0; index < arbiter::kRegions; ++index) {
      const auto region = files.find(absl::StrCat(name, "-", index));
      if (region == files.end()) continue;
      absl::StatusOr<SharedPages> pages =
          SharedPages::Map(std::move(region->second), sizeof(RegionPage), /*writable=*/true);
      if (pages.ok()) one.regions.emplace(index, *std::move(pages));
    }
    found.push_back(std::move(one));
  }
  return found;
}

absl::StatusOr<std::unique_ptr<ArbiterHost>> ArbiterHost::Adopt(Found found, const Clock& clock) {
  auto* page = static_cast<ControlPage*>(found.control.data());
  if (page->magic != arbiter::kControlMagic || page->version != arbiter::kLayoutVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the pages are of version ", page->version, ", this is version ", arbiter::kLayoutVersion));
  }
  std::unique_ptr<ArbiterHost> host(new ArbiterHost(clock, std::move(found.control)));
  for (uint32_t index = 0; index < arbiter::kRegions; ++index) {
    if (page->regions[index].present.load(kRelaxed) == 0) break;
    const uid_t uid = page->regions[index].uid.load(kRelaxed);
    const auto known = found.regions.find(index);
    if (known != found.regions.end()) {
      host->regions_.push_back({uid, std::move(known->second)});
      continue;
    }
    // Nobody maps it any more: all of its processes have ended.
    HET_RETURN_IF_ERROR(host->MakeRegion(index, uid));
  }
  host->ReadLeases();
  host->ReadSeats();
  host->Beat();
  return host;
}

void ArbiterHost::ReadLeases() {
  for (uint32_t index = 0; index < arbiter::kLeases; ++index) {
    const ControlLease& entry = control().leases[index];
    const uint64_t info = entry.info.load(kRelaxed);
    const uint32_t region = entry.region.load(kRelaxed);
    if ((info & arbiter::kLeaseActive) == 0 || region >= regions_.size()) {
      free_leases_.push_back(index);
      continue;
    }
    LeaseRecord& record = leases_[index];
    record.region = region;
    record.lease.weight = Share::OfParts(static_cast<uint32_t>(info >> arbiter::kLeaseWeightShift));
    record.lease.policy = static_cast<Policy>(info >> arbiter::kLeasePolicyShift & 0xff);
    record.lease.priority = info >> arbiter::kLeasePriorityShift & 0xff;
    record.lease.memory_quota = entry.memory_quota.load(kRelaxed);
    record.lease.uid = regions_[region].uid;
    record.lease.id = std::string(entry.id, strnlen(entry.id, sizeof(entry.id)));
  }
}

void ArbiterHost::ReadSeats() {
  for (uint32_t slot = 0; slot < arbiter::kSlots; ++slot) {
    const ControlSlot& entry = control().slots[slot];
    const bool active = control().active[slot / 64].load(kRelaxed) >> (slot % 64) & 1;
    const auto lease = leases_.find(entry.lease.load(kRelaxed));
    if (active && lease != leases_.end()) {
      lease->second.slots.push_back(slot);
      lease_of_slot_[slot] = lease->first;
    } else {
      free_slots_.push_back(
          {slot, static_cast<pid_t>(entry.pid.load(kRelaxed)), entry.start_time.load(kRelaxed)});
    }
  }
}

}  // namespace het
