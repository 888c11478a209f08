#include "daemon/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partition/refusal.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

DeviceInfo Gpu(const std::string& uuid, const std::string& name, uint32_t numa = 0) {
  DeviceInfo device;
  device.uuid = uuid;
  device.name = name;
  device.backend = "fake";
  device.kind = DeviceKind::kGpu;
  device.memory_bytes = 16 * kGiB;
  device.numa_node = numa;
  device.attributes["pciAddress"] = "0000:0" + uuid.substr(uuid.size() - 1) + ":00.0";
  return device;
}

Ledger LedgerOf(std::vector<DeviceInfo> devices) {
  Ledger ledger;
  ledger.SetInventory(std::move(devices));
  return ledger;
}

SliceRequest Ask(uint32_t devices, uint32_t percent, uint64_t memory_bytes = kGiB) {
  SliceRequest request;
  request.devices = devices;
  request.share = Share::OfParts(percent * 100);
  request.memory_bytes = memory_bytes;
  return request;
}

SliceRequest On(const std::string& device, uint32_t percent) {
  SliceRequest request = Ask(0, percent);
  request.device = device;
  return request;
}

std::vector<std::string> DevicesOf(const absl::StatusOr<std::vector<SliceRequest>>& placed) {
  std::vector<std::string> devices;
  EXPECT_TRUE(placed.ok()) << placed.status();
  if (!placed.ok()) return devices;
  for (const SliceRequest& slice : *placed) devices.push_back(slice.device);
  return devices;
}

// Four of a kind: a1 and a2 share a NUMA node, a3 and a4 another, where they are linked.
std::vector<DeviceInfo> Four() {
  return {Gpu("a1", "A", 0), Gpu("a2", "A", 0), Gpu("a3", "A", 1), Gpu("a4", "A", 1)};
}
Topology Linked() {
  Topology topology;
  for (const int i : {1, 2, 3, 4}) {
    PciPlace place;
    place.address = "0000:0" + std::to_string(i) + ":00.0";
    place.numa_node = i > 2 ? 1 : 0;
    topology.pci.push_back(place);
  }
  topology.direct = {{"0000:03:00.0", "0000:04:00.0", "nvlink", 50e9},
                     {"0000:04:00.0", "0000:03:00.0", "nvlink", 50e9}};
  return topology;
}

TEST(PlaceSlices, LeavesNamedDevicesAlone) {
  const Ledger ledger = LedgerOf(Four());
  const auto placed = PlaceSlices({On("a2", 50)}, ledger, {});
  EXPECT_THAT(DevicesOf(placed), UnorderedElementsAre("a2"));
  EXPECT_EQ(placed->front().placement, "");
}

TEST(PlaceSlices, AFractionGoesBesideAnother) {
  Ledger ledger = LedgerOf(Four());
  ASSERT_TRUE(ledger.TryAcquire(std::vector{On("a3", 50)}).ok());
  const auto placed = PlaceSlices({Ask(1, 50)}, ledger, {});
  EXPECT_THAT(DevicesOf(placed), UnorderedElementsAre("a3"));
  EXPECT_THAT(placed->front().placement, HasSubstr("policy het"));
  EXPECT_THAT(placed->front().placement, HasSubstr("fragmentation"));
}

TEST(PlaceSlices, WhatWasPlacedIsTakenFromWhatComesAfter) {
  const Ledger ledger = LedgerOf(Four());
  const auto placed =
      PlaceSlices({On("a1", 100), Ask(1, 100), Ask(1, 100), Ask(1, 100)}, ledger, {});
  EXPECT_THAT(DevicesOf(placed), UnorderedElementsAre("a1", "a2", "a3", "a4"));
}

TEST(PlaceSlices, SeveralDevicesAreLinkedOnes) {
  const Ledger ledger = LedgerOf(Four());
  const auto placed = PlaceSlices({Ask(2, 100)}, ledger, Linked());
  EXPECT_THAT(DevicesOf(placed), UnorderedElementsAre("a3", "a4"));
  EXPECT_THAT(placed->front().placement, HasSubstr("linked directly"));
}

TEST(PlaceSlices, ElseOfOneNumaNode) {
  Ledger ledger = LedgerOf(Four());
  ASSERT_TRUE(ledger.TryAcquire(std::vector{On("a4", 100)}).ok());
  const auto placed = PlaceSlices({Ask(2, 100)}, ledger, Linked());
  EXPECT_THAT(DevicesOf(placed), UnorderedElementsAre("a1", "a2"));
  EXPECT_THAT(placed->front().placement, HasSubstr("share a NUMA node"));
}

TEST(PlaceSlices, ElseAcrossAndSaysSo) {
  const Ledger ledger = LedgerOf(Four());
  const auto placed = PlaceSlices({Ask(3, 100)}, ledger, Linked());
  EXPECT_EQ(DevicesOf(placed).size(), 3u);
  EXPECT_THAT(placed->front().placement, HasSubstr("no island or NUMA node"));
}

TEST(PlaceSlices, OneSiliconUnderTwoNamesIsOneDevice) {
  DeviceInfo again = Gpu("b1", "A");
  DeviceInfo first = Gpu("a1", "A");
  first.cores = again.cores = {0, 1};
  first.backend = again.backend = "host";
  const Ledger ledger = LedgerOf({first, again});
  const auto placed = PlaceSlices({Ask(2, 10)}, ledger, {});
  ASSERT_FALSE(placed.ok());
  EXPECT_THAT(std::string(placed.status().message()), HasSubstr("can never fit"));
}

TEST(PlaceSlices, ARefusalSaysWhatIsFree) {
  Ledger ledger = LedgerOf(Four());
  for (const char* device : {"a1", "a2", "a3", "a4"}) {
    ASSERT_TRUE(ledger.TryAcquire(std::vector{On(device, 80)}).ok());
  }
  const auto placed = PlaceSlices({Ask(1, 30)}, ledger, {});
  EXPECT_EQ(placed.status().code(), absl::StatusCode::kResourceExhausted);
  const auto shortage = ShortageOf(placed.status());
  ASSERT_TRUE(shortage);
  EXPECT_EQ(shortage->free.share, Share::OfParts(2000));
  EXPECT_FALSE(shortage->never_fits);
}

TEST(PlaceSlices, OfTheKindThatWasAsked) {
  DeviceInfo npu = Gpu("n9", "N");
  npu.kind = DeviceKind::kNpu;
  const Ledger ledger = LedgerOf({Gpu("a1", "A"), npu});
  SliceRequest request = Ask(1, 100);
  request.kind = "npu";
  EXPECT_THAT(DevicesOf(PlaceSlices({request}, ledger, {})), UnorderedElementsAre("n9"));
  request.kind = "cpu";
  EXPECT_EQ(PlaceSlices({request}, ledger, {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(PlaceSlices, KeepsOutOfClosedDevices) {
  const Ledger ledger = LedgerOf({Gpu("a1", "A"), Gpu("a2", "A")});
  EXPECT_THAT(DevicesOf(PlaceSlices({Ask(1, 10)}, ledger, {}, {"a1"})), UnorderedElementsAre("a2"));
}

}  // namespace
}  // namespace het::daemon
