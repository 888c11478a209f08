#include <set>

#include "base/uuid.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

void DescribesItsDevices(Fixture& t) {
  std::set<std::string> uuids;
  for (const DeviceInfo& info : Must(t.driver.Enumerate(), "Enumerate")) {
    EXPECT_TRUE(IsUuid(info.uuid)) << info.uuid;
    EXPECT_TRUE(uuids.insert(info.uuid).second) << info.uuid << " is there twice";
    EXPECT_EQ(info.backend, t.driver.name());
    EXPECT_FALSE(info.name.empty());
    EXPECT_FALSE(info.vendor.empty());
    if (info.state == DeviceState::kOk) {
      EXPECT_GT(info.memory_bytes, 0u) << info.name;
      EXPECT_GT(info.compute_units, 0u) << info.name;
    } else {
      EXPECT_FALSE(info.reason.empty()) << info.name << " does not say why it cannot be used";
    }
  }
}

void KeepsIdentityAndSize(Fixture& t) {
  const std::unique_ptr<Driver> again = Must(t.backend.create_driver(), "create_driver");
  for (const DeviceInfo& info : Must(again->Enumerate(), "Enumerate")) {
    if (info.uuid != t.info.uuid) continue;
    EXPECT_EQ(info.name, t.info.name);
    EXPECT_EQ(info.memory_bytes, t.info.memory_bytes) << "an unstable size cannot be leased out";
    EXPECT_EQ(info.compute_units, t.info.compute_units);
    return;
  }
  ADD_FAILURE() << "a second driver does not show " << t.info.uuid;
}

void SurvivesTheWire(Fixture& t) {
  for (const DeviceInfo& info : Must(t.driver.Enumerate(), "Enumerate")) {
    const Json json = ToJson(info);
    const Json parsed = Must(ParseJson(PrintJson(json)), "ParseJson");
    const DeviceInfo back = Must(DeviceInfoFromJson(parsed), "DeviceInfoFromJson");
    EXPECT_EQ(ToJson(back), json);
  }
}

void AnUnknownDeviceIsNotFoundAndTheOthersAreNamed(Fixture& t) {
  const std::string asked = "00000000-0000-4000-8000-00000000dead";
  const absl::Status status = t.driver.Open(asked, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_NE(status.message().find(asked), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find(t.info.uuid), absl::string_view::npos) << status;
}

void OpensAsEnumerated(Fixture& t) {
  EXPECT_EQ(t.device.info().uuid, t.info.uuid);
  EXPECT_EQ(t.device.info().backend, t.driver.name());
  EXPECT_EQ(&t.device.driver(), &t.driver);
  EXPECT_LE(t.device.info().compute_units, t.info.compute_units);
}

void OpensTwice(Fixture& t) {
  const std::unique_ptr<Device> again = t.OpenAgain();
  const Ref<Buffer> theirs = Must(again->Allocate(1024), "Allocate");
  EXPECT_EQ(&theirs->device(), again.get());
  EXPECT_GE(again->allocated_bytes(), 1024u);
  EXPECT_EQ(t.device.allocated_bytes(), 0u) << "each opening counts what it holds itself";
}

void SaysWhatItRuns(Fixture& t) {
  constexpr Capability kOf[] = {kRunsNative, kRunsPortable, kRunsGraphs, kRunsBuiltIn};
  EXPECT_TRUE(t.device.Can(kOf[static_cast<int>(t.backend.form)]));
}

void HandsOutNativeHandles(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  if (!t.device.Can(kNativeHandles)) {
    int anything = 0;
    EXPECT_EQ(t.device.WrapNativeQueue(&anything).status().code(),
              absl::StatusCode::kUnimplemented);
    EXPECT_EQ(queue->native_handle(), nullptr);
    return;
  }
  EXPECT_NE(t.device.native_handle(), nullptr);
  EXPECT_NE(t.NewBuffer(64)->native_handle(), nullptr);
  ASSERT_NE(queue->native_handle(), nullptr);
  const std::unique_ptr<Queue> wrapped =
      Must(t.device.WrapNativeQueue(queue->native_handle()), "WrapNativeQueue");
  EXPECT_EQ(wrapped->native_handle(), queue->native_handle());
  const Ref<Buffer> buffer = t.NewBuffer(64);
  Must(wrapped->Fill(*buffer, 0, 64, 0x5A), "Fill");
  EXPECT_EQ(t.Download(*wrapped, *buffer), std::vector<uint8_t>(64, 0x5A));
  EXPECT_EQ(t.device.WrapNativeQueue(nullptr).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace

std::vector<Case> DiscoveryCases() {
  return {
      {"Discovery", "DescribesItsDevices", DescribesItsDevices},
      {"Discovery", "KeepsIdentityAndSize", KeepsIdentityAndSize},
      {"Discovery", "SurvivesTheWire", SurvivesTheWire},
      {"Discovery", "AnUnknownDeviceIsNotFoundAndTheOthersAreNamed",
       AnUnknownDeviceIsNotFoundAndTheOthersAreNamed},
      {"Discovery", "OpensAsEnumerated", OpensAsEnumerated},
      {"Discovery", "OpensTwice", OpensTwice},
      {"Discovery", "SaysWhatItRuns", SaysWhatItRuns},
      {"Discovery", "HandsOutNativeHandles", HandsOutNativeHandles},
  };
}

}  // namespace het::conformance
