#include "partition/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"

namespace het {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

DeviceInfo Device(const std::string& uuid, uint64_t memory_bytes) {
  DeviceInfo device;
  device.uuid = uuid;
  device.name = "model of " + uuid;
  device.backend = "simulated";
  device.memory_bytes = memory_bytes;
  return device;
}

DeviceInfo CpuDevice(const std::string& uuid, std::vector<uint32_t> cores, uint64_t memory_bytes) {
  DeviceInfo device = Device(uuid, memory_bytes);
  device.backend = "cpu";
  device.kind = DeviceKind::kCpu;
  device.cores = std::move(cores);
  device.can_sub_divide = true;
  return device;
}

SliceRequest Ask(const std::string& device, uint32_t percent, uint64_t memory_bytes) {
  return {device, Share::OfPercent(percent), memory_bytes, Policy::kGuaranteed};
}

// Counts up, so that a failing run can be read.
std::function<std::string()> Counter() {
  return [next = 0]() mutable { return absl::StrCat("s", next++); };
}

Ledger LedgerOf(std::vector<DeviceInfo> devices) {
  Ledger ledger(Counter());
  ledger.SetInventory(std::move(devices));
  return ledger;
}

TEST(Ledger, RefusesTheLastBytesTwice) {
  Ledger ledger = LedgerOf({Device("gpu", 10 * kMiB)});
  ASSERT_TRUE(ledger.TryAcquire({Ask("gpu", 10, 9 * kMiB)}).ok());
  ASSERT_TRUE(ledger.TryAcquire({Ask("gpu", 10, kMiB)}).ok());
  EXPECT_EQ(ledger.TryAcquire({Ask("gpu", 10, 1)}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Ledger, RoundsMemoryUpToAMebibyte) {
  Ledger ledger = LedgerOf({Device("gpu", 10 * kMiB)});
  const auto slices = ledger.TryAcquire({Ask("gpu", 10, kMiB + 1)});
  ASSERT_TRUE(slices.ok());
  EXPECT_EQ(slices->front().memory_bytes, 2 * kMiB);
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]).memory_bytes, 8 * kMiB);
}

TEST(Ledger, GrantsAllSlicesOfARequestOrNone) {
  Ledger ledger = LedgerOf({Device("a", 10 * kMiB), Device("b", 10 * kMiB)});
  ASSERT_TRUE(ledger.TryAcquire({Ask("b", 50, kMiB)}).ok());
  EXPECT_FALSE(ledger.TryAcquire({Ask("a", 100, 10 * kMiB), Ask("b", 51, kMiB)}).ok());
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share::Whole(), 10 * kMiB}));
  EXPECT_EQ(ledger.slices().size(), 1u);
}

TEST(Ledger, SaysWhatIsFreeAndWhatWouldFit) {
  Ledger ledger = LedgerOf({Device("gpu", 16 * kGiB)});
  ASSERT_TRUE(ledger.TryAcquire({Ask("gpu", 60, 9 * kGiB)}).ok());
  const absl::Status status = ledger.TryAcquire({Ask("gpu", 50, 12 * kGiB)}).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("asked 50% and 12 GiB"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("40% and 7 GiB are free"));
  const auto shortage = ShortageOf(status);
  ASSERT_TRUE(shortage.has_value());
  EXPECT_EQ(shortage->free, (Amount{Share::OfPercent(40), 7 * kGiB}));
  EXPECT_FALSE(shortage->never_fits);
  EXPECT_TRUE(ledger
                  .TryAcquire({{"gpu", shortage->largest_free.share,
                                shortage->largest_free.memory_bytes, Policy::kCapped}})
                  .ok());
}

TEST(Ledger, SaysWhenARequestCanNeverFit) {
  Ledger ledger = LedgerOf({Device("a", 8 * kGiB), Device("b", 16 * kGiB)});
  ASSERT_TRUE(ledger.TryAcquire({Ask("a", 100, kGiB)}).ok());
  EXPECT_FALSE(ShortageOf(ledger.TryAcquire({Ask("a", 10, kGiB)}).status())->never_fits);
  // Blames the device that is too small, not the one that happens to be full.
  const auto never =
      ShortageOf(ledger.TryAcquire({Ask("a", 10, 1), Ask("b", 1, 17 * kGiB)}).status());
  EXPECT_TRUE(never->never_fits);
  EXPECT_EQ(never->device, "b");
  EXPECT_TRUE(
      ShortageOf(ledger.TryAcquire({Ask("b", 60, 1), Ask("b", 60, 1)}).status())->never_fits);
}

TEST(Ledger, NamesTheFieldThatIsWrong) {
  Ledger ledger = LedgerOf({Device("gpu", kGiB)});
  EXPECT_EQ(FieldOf(ledger.TryAcquire({}).status()), "slices");
  EXPECT_EQ(FieldOf(ledger.TryAcquire({Ask("gpu", 1, 1), Ask("gpu", 0, 1)}).status()),
            "slices[1].sharePercent");
  EXPECT_EQ(FieldOf(ledger.TryAcquire({Ask("gpu", 101, 1)}).status()), "slices[0].sharePercent");
  EXPECT_EQ(FieldOf(ledger.TryAcquire({Ask("gpu", 1, 0)}).status()), "slices[0].memoryBytes");
}

TEST(Ledger, NamesTheDevicesThereAre) {
  Ledger ledger = LedgerOf({Device("gpu", kGiB)});
  const absl::Status status = ledger.TryAcquire({Ask("gone", 1, 1)}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model of gpu (gpu)"));
}

TEST(Ledger, SaysWhyADeviceCannotBeUsed) {
  DeviceInfo broken = Device("gpu", kGiB);
  broken.state = DeviceState::kUnsupported;
  broken.reason = "no driver";
  broken.remedy = "install one";
  Ledger ledger = LedgerOf({broken});
  const absl::Status status = ledger.TryAcquire({Ask("gpu", 1, 1)}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no driver; install one"));
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), Amount{});
}

TEST(Ledger, CannotReleaseASliceTwice) {
  Ledger ledger = LedgerOf({Device("gpu", kGiB)});
  const std::string id = ledger.TryAcquire({Ask("gpu", 1, 1)})->front().id;
  EXPECT_TRUE(ledger.Release(id).ok());
  EXPECT_EQ(ledger.Release(id).code(), absl::StatusCode::kNotFound);
}

TEST(Ledger, GivesWholeCoresExclusivelyLowestFirst) {
  Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1, 2, 3}, kGiB)});
  const auto slices = ledger.TryAcquire({Ask("cpu", 25, 1), Ask("cpu", 50, 1)});
  ASSERT_TRUE(slices.ok());
  EXPECT_THAT((*slices)[0].cores, ElementsAre(0));
  EXPECT_THAT((*slices)[1].cores, ElementsAre(1, 2));
  EXPECT_EQ((*slices)[1].isolation, Isolation::kDriver);
}

TEST(Ledger, SharesInTimeTheCoresThatNobodyHasAlone) {
  Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1, 2, 3}, kGiB)});
  const auto slices = ledger.TryAcquire({Ask("cpu", 10, 1), Ask("cpu", 25, 1), Ask("cpu", 35, 1)});
  ASSERT_TRUE(slices.ok());
  EXPECT_TRUE((*slices)[0].time_shared);
  EXPECT_THAT((*slices)[0].cores, ElementsAre(0, 1, 2, 3));
  EXPECT_FALSE((*slices)[1].time_shared);
  EXPECT_THAT((*slices)[1].cores, ElementsAre(0));
  EXPECT_TRUE((*slices)[2].time_shared);
  EXPECT_EQ((*slices)[2].isolation, Isolation::kCooperative);
  for (size_t i : {0, 2}) {
    EXPECT_THAT(ledger.CoresOf((*slices)[i]), ElementsAre(1, 2, 3)) << i;
  }
  // 45 % of 4 cores are 1.8: a third whole core would leave too little.
  EXPECT_THAT(ledger.TryAcquire({Ask("cpu", 25, 1)})->front().cores, ElementsAre(1));
  EXPECT_EQ(ledger.TryAcquire({Ask("cpu", 25, 1)}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(ledger.CoresOf((*slices)[0]), ElementsAre(2, 3));
}

TEST(Ledger, TimeSharesUpToTheLastPercent) {
  Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1}, kGiB)});
  const auto slices = ledger.TryAcquire({Ask("cpu", 30, 1), Ask("cpu", 30, 1), Ask("cpu", 40, 1)});
  ASSERT_TRUE(slices.ok()) << slices.status();
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]).share, Share());
  EXPECT_FALSE(ledger.TryAcquire({Ask("cpu", 1, 1)}).ok());
}

TEST(Ledger, BestEffortTakesNoShareFromOthers) {
  Ledger ledger = LedgerOf({Device("gpu", kGiB)});
  SliceRequest scavenger = Ask("gpu", 60, kMiB);
  scavenger.policy = Policy::kBestEffort;
  ASSERT_TRUE(ledger.TryAcquire({Ask("gpu", 100, kMiB), scavenger, scavenger}).ok());
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share(), kGiB - 3 * kMiB}));
}

TEST(Ledger, ResizesATimeSharedSliceInPlace) {
  Ledger ledger = LedgerOf({Device("gpu", kGiB)});
  const auto slices = ledger.TryAcquire({Ask("gpu", 30, kMiB), Ask("gpu", 50, kMiB)});
  const std::string id = slices->front().id;
  const auto grown = ledger.Resize(id, Share::OfPercent(50), 8 * kMiB);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share(), kGiB - 9 * kMiB}));
  const absl::Status refusal = ledger.Resize(id, Share::OfPercent(51), std::nullopt).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ShortageOf(refusal)->largest_free.share, Share::OfPercent(50));
  EXPECT_EQ(ledger.slices().at(id).share, Share::OfPercent(50));
  ledger.Restore(slices->front());
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share::OfPercent(20), kGiB - 2 * kMiB}));
}

TEST(Ledger, DoesNotResizeTheShareOfWholeCores) {
  Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1}, kGiB)});
  const std::string id = ledger.TryAcquire({Ask("cpu", 50, kMiB)})->front().id;
  EXPECT_EQ(ledger.Resize(id, Share::OfPercent(30), std::nullopt).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(ledger.Resize(id, std::nullopt, 2 * kMiB).ok());
}

TEST(Ledger, FitsTimeSharesOfDevicesWithDifferentCores) {
  DeviceInfo node = CpuDevice("numa0", {0, 1}, kGiB);
  node.backend = "opencl";
  Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1, 2, 3}, kGiB), node});
  // 90 % of cores 0-1 and 70 % of 0-3 are 4.6 cores of 4.
  ASSERT_TRUE(ledger.TryAcquire({Ask("numa0", 90, 1)}).ok());
  EXPECT_FALSE(ledger.TryAcquire({Ask("cpu", 70, 1)}).ok());
  ASSERT_TRUE(ledger.TryAcquire({Ask("cpu", 55, 1)}).ok());
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[1]).share, Share());
}

TEST(Ledger, DevicesOfTheSameSiliconShareIt) {
  DeviceInfo opencl = CpuDevice("pocl", {0, 1}, 3 * kGiB);
  opencl.backend = "opencl";
  Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1}, 4 * kGiB), opencl});
  EXPECT_THAT(ledger.devices()[0].shares_hardware_with, ElementsAre("pocl"));
  EXPECT_THAT(ledger.devices()[1].shares_hardware_with, ElementsAre("cpu"));
  const auto slices = ledger.TryAcquire({Ask("cpu", 50, 2 * kGiB), Ask("pocl", 50, kGiB)});
  ASSERT_TRUE(slices.ok());
  EXPECT_THAT((*slices)[0].cores, ElementsAre(0));
  EXPECT_THAT((*slices)[1].cores, ElementsAre(1));
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share(), kGiB}));
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[1]), (Amount{Share(), kGiB}));
  const absl::Status status = ledger.TryAcquire({Ask("cpu", 60, 1), Ask("pocl", 60, 1)}).status();
  EXPECT_TRUE(ShortageOf(status)->never_fits);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the same hardware"));
}

TEST(Ledger, RoundsASubDividedShareToUnitsAndSaysWhenItIsInexact) {
  DeviceInfo gpu = Device("gpu", kGiB);
  gpu.compute_units = 8;
  gpu.can_sub_divide = true;
  Ledger ledger = LedgerOf({gpu});
  const auto slices = ledger.TryAcquire({Ask("gpu", 25, 1), Ask("gpu", 30, 1), Ask("gpu", 1, 1)});
  ASSERT_TRUE(slices.ok());
  EXPECT_EQ((*slices)[0].compute_units, 2u);
  EXPECT_EQ((*slices)[0].isolation, Isolation::kDriver);
  EXPECT_EQ((*slices)[1].compute_units, 2u);
  EXPECT_EQ((*slices)[1].isolation, Isolation::kCooperative);
  EXPECT_EQ((*slices)[2].compute_units, 1u);
}

TEST(Ledger, TheWholeOfAMigInstanceIsHeldByHardware) {
  DeviceInfo instance = Device("mig", kGiB);
  instance.attributes["mig"] = "the card";
  Ledger ledger = LedgerOf({instance});
  const auto part = ledger.TryAcquire({Ask("mig", 40, 1)});
  ASSERT_TRUE(part.ok());
  EXPECT_EQ((*part)[0].isolation, Isolation::kCooperative);
  ASSERT_TRUE(ledger.Release((*part)[0].id).ok());
  const auto whole = ledger.TryAcquire({Ask("mig", 100, 1)});
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ((*whole)[0].isolation, Isolation::kHardware);
}

TEST(Ledger, AdoptsWhatWasGrantedBefore) {
  Ledger before = LedgerOf({CpuDevice("cpu", {0, 1, 2, 3}, kGiB)});
  const auto first = before.TryAcquire({Ask("cpu", 25, 1)});
  const auto second = before.TryAcquire({Ask("cpu", 30, 1)});
  ASSERT_TRUE(before.Release(first->front().id).ok());

  Ledger after(Counter());
  ASSERT_TRUE(after.Adopt(*second).ok());  // before the inventory is known
  after.SetInventory(before.devices());
  EXPECT_EQ(after.FreeOf(after.devices()[0]), before.FreeOf(before.devices()[0]));
  EXPECT_EQ(after.Adopt(*second).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(after.TryAcquire({Ask("cpu", 25, 1)})->front().cores, (std::vector<uint32_t>{0}));
}

TEST(Ledger, KeepsTheSlicesOfADeviceThatWent) {
  Ledger ledger = LedgerOf({Device("a", kGiB), Device("b", kGiB)});
  const std::string id = ledger.TryAcquire({Ask("a", 50, kMiB)})->front().id;
  ledger.SetInventory({Device("b", kGiB)});
  EXPECT_TRUE(ledger.slices().contains(id));
  ledger.SetInventory({Device("a", kGiB), Device("b", kGiB)});
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]).share, Share::OfPercent(50));
  EXPECT_TRUE(ledger.Release(id).ok());
  EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share::Whole(), kGiB}));
}

// ---- against a model that recomputes everything from the list of grants ----

class NaiveNode {
 public:
  explicit NaiveNode(std::vector<DeviceInfo> devices) : devices_(std::move(devices)) {}

  // Silicon is host cores and, for the others, the device itself; a core holds 10000 parts.
  Amount FreeOf(const DeviceInfo& device, const std::vector<Slice>& slices) const {
    uint64_t used_memory = 0;
    uint64_t own_memory = 0;
    uint64_t used_parts = 0;
    uint64_t pool_memory = device.memory_bytes;
    for (const DeviceInfo& other : devices_) {
      if (Linked(device, other)) pool_memory = std::max(pool_memory, other.memory_bytes);
    }
    for (const Slice& slice : slices) {
      if (slice.device == device.uuid) own_memory += slice.memory_bytes;
      if (!Linked(device, Of(slice))) continue;
      used_memory += slice.memory_bytes;
      used_parts += slice.share.parts() * std::max<uint64_t>(1, device.cores.size());
    }
    const uint64_t units = std::max<uint64_t>(1, device.cores.size());
    return {Share::OfParts(static_cast<uint32_t>((units * Share::kWhole - used_parts) / units)),
            std::min(pool_memory - used_memory, device.memory_bytes - own_memory)};
  }

 private:
  bool Linked(const DeviceInfo& a, const DeviceInfo& b) const {
    if (a.uuid == b.uuid) return true;
    return std::any_of(a.cores.begin(), a.cores.end(), [&b](uint32_t core) {
      return std::count(b.cores.begin(), b.cores.end(), core) > 0;
    });
  }
  const DeviceInfo& Of(const Slice& slice) const {
    return *std::find_if(devices_.begin(), devices_.end(),
                         [&](const DeviceInfo& d) { return d.uuid == slice.device; });
  }
  std::vector<DeviceInfo> devices_;
};

// Nobody's core is in two slices, and the time-shared ones fit what is left.
void ExpectCoresAreNotOversold(const std::vector<Slice>& slices, const Ledger& ledger) {
  std::set<uint32_t> taken;
  uint64_t parts = 0, cores = 0;
  for (const Slice& slice : slices) {
    const DeviceInfo& device = **ledger.FindDevice(slice.device);
    cores = std::max<uint64_t>(cores, device.cores.size());
    if (device.cores.empty()) continue;
    if (slice.time_shared) {
      parts += uint64_t{slice.share.parts()} * device.cores.size();
      continue;
    }
    EXPECT_EQ(slice.cores.size() * Share::kWhole,
              uint64_t{slice.share.parts()} * device.cores.size());
    for (uint32_t core : slice.cores) EXPECT_TRUE(taken.insert(core).second) << "core " << core;
  }
  EXPECT_LE(parts, (cores - std::min<uint64_t>(cores, taken.size())) * Share::kWhole);
  for (const Slice& slice : slices) {
    if (!slice.time_shared) continue;
    for (uint32_t core : ledger.CoresOf(slice)) EXPECT_FALSE(taken.contains(core));
  }
}

TEST(LedgerProperty, BooksAgreeWithANaiveModelOverRandomHistories) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    std::vector<DeviceInfo> devices = {CpuDevice("cpu", {0, 1, 2}, 64 * kMiB),
                                       CpuDevice("pocl", {0, 1, 2}, 48 * kMiB),
                                       Device("gpu", 32 * kMiB)};
    Ledger ledger = LedgerOf(devices);
    const NaiveNode model(devices);
    std::vector<Slice> held;
    for (int step = 0; step < 400; ++step) {
      if (!held.empty() && random() % 5 < 2) {
        const size_t victim = random() % held.size();
        ASSERT_TRUE(ledger.Release(held[victim].id).ok());
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(victim));
      } else {
        const DeviceInfo& device = ledger.devices()[random() % devices.size()];
        const uint32_t share = random() % 4 == 0 ? 3333 + random() % 3 : 100 + random() % 6000;
        const SliceRequest request = {device.uuid, Share::OfParts(share),
                                      1 + random() % (40 * kMiB)};
        const Amount free = model.FreeOf(device, held);
        const auto slices = ledger.TryAcquire({request});
        const uint64_t rounded = (request.memory_bytes + kMiB - 1) / kMiB * kMiB;
        ASSERT_EQ(slices.ok(), request.share <= free.share && rounded <= free.memory_bytes)
            << "seed " << seed << " step " << step << " " << slices.status();
        if (slices.ok()) {
          held.push_back(slices->front());
        } else {
          ASSERT_EQ(ShortageOf(slices.status())->free, free);
        }
      }
      for (const DeviceInfo& device : ledger.devices()) {
        ASSERT_EQ(ledger.FreeOf(device), model.FreeOf(device, held)) << "seed " << seed;
      }
      ExpectCoresAreNotOversold(held, ledger);
      ASSERT_EQ(ledger.slices().size(), held.size());
    }
    for (const Slice& slice : held) ASSERT_TRUE(ledger.Release(slice.id).ok());
    EXPECT_EQ(ledger.FreeOf(ledger.devices()[0]), (Amount{Share::Whole(), 64 * kMiB}));
  }
}

TEST(LedgerProperty, ARestartAtAnyPointFindsTheSameBooks) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    Ledger ledger = LedgerOf({CpuDevice("cpu", {0, 1, 2, 3}, 64 * kMiB), Device("gpu", 32 * kMiB)});
    for (int step = 0; step < 60; ++step) {
      if (!ledger.slices().empty() && random() % 3 == 0) {
        ASSERT_TRUE(ledger.Release(std::string(ledger.slices().begin()->first)).ok());
      } else {
        const DeviceInfo& device = ledger.devices()[random() % 2];
        (void)ledger.TryAcquire({{device.uuid, Share::OfParts(100 + random() % 3000),
                                  1 + random() % (8 * kMiB), Policy::kCapped, Priority::kNormal}});
      }
      std::vector<Slice> slices;
      for (const auto& [id, slice] : ledger.slices()) slices.push_back(slice);
      std::shuffle(slices.begin(), slices.end(), random);
      Ledger restarted = LedgerOf(ledger.devices());
      ASSERT_TRUE(restarted.Adopt(slices).ok());
      for (const DeviceInfo& device : ledger.devices()) {
        ASSERT_EQ(restarted.FreeOf(device), ledger.FreeOf(device));
      }
    }
  }
}

}  // namespace
}  // namespace het
