#include "daemon/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

DeviceInfo Device(const std::string& uuid, const std::string& backend) {
  DeviceInfo device;
  device.uuid = uuid;
  device.backend = backend;
  device.kind = DeviceKind::kGpu;
  return device;
}

class MachineTest : public testing::Test {
 protected:
  MachineTest() { uv_loop_init(&loop_); }
  ~MachineTest() override { EXPECT_EQ(uv_loop_close(&loop_), 0) << "a handle was left open"; }

  // A probe that answers by `script`, and counts its calls in the file "calls".
  Machine::Options Probe(const std::string& script) {
    Machine::Options options;
    options.probe = directory_.Write(
        "probe", "#!/bin/sh\necho \"$@\" >> " + directory_.path() + "/calls\n" + script, true);
    options.file = directory_.path() + "/links.json";
    return options;
  }
  int Calls() {
    const auto text = ReadFile(directory_.path() + "/calls");
    return text.ok() ? static_cast<int>(std::count(text->begin(), text->end(), '\n')) : 0;
  }
  void Measure(Machine& machine, const std::vector<DeviceInfo>& devices) {
    int done = 0;
    machine.MeasureLinks(devices, [&done] { ++done; });
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(done, 1);
  }

  TestDirectory directory_;
  uv_loop_t loop_;
};

constexpr char kLinks[] =
    R"(echo '{"links":[{"from":"a","to":"b","bytesPerSecond":2e9,"latencySeconds":1e-5,"route":"host"},)"
    R"({"from":"b","to":"a","bytesPerSecond":3e9,"latencySeconds":1e-5,"route":"host"},)"
    R"({"from":"a","to":"host","bytesPerSecond":4e9,"latencySeconds":1e-5,"route":"host"},)"
    R"({"from":"b","to":"host","bytesPerSecond":4e9,"latencySeconds":1e-5,"route":"host"},)"
    R"({"from":"stranger","to":"a","bytesPerSecond":1}]}')";

TEST_F(MachineTest, MeasuresLinksOnceAndKeepsThem) {
  const std::vector<DeviceInfo> devices = {Device("a", "x"), Device("b", "x")};
  {
    Machine machine(&loop_, Probe(kLinks));
    Measure(machine, devices);
    EXPECT_EQ(Calls(), 1);
    Measure(machine, devices);
    EXPECT_EQ(Calls(), 1) << "known already";
  }
  Machine next(&loop_, Probe(kLinks));
  Measure(next, devices);
  EXPECT_EQ(Calls(), 1) << "known from the file";
  const std::vector<Json> rows = next.LinkRows(devices);
  EXPECT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows[0].value("bytesPerSecond", 0.0), 2e9);
  EXPECT_EQ(rows[0].value("route", ""), "host");
  std::vector<DeviceInfo> newer = devices;
  newer[0].driver_version = "2";
  Measure(next, newer);
  EXPECT_EQ(Calls(), 2) << "another driver, other figures";
}

TEST_F(MachineTest, GoesOnWithoutALinkThatCannotBeMeasured) {
  Machine machine(&loop_, Probe("kill -SEGV $$"));
  Measure(machine, {Device("a", "x"), Device("b", "y")});
  EXPECT_EQ(Calls(), 4) << "x-x, x-y, y-x, y-y";
  for (const Json& row : machine.LinkRows({Device("a", "x"), Device("b", "y")})) {
    EXPECT_FALSE(row.contains("bytesPerSecond"));
    EXPECT_EQ(row["kind"], "host memory");
  }
}

TEST_F(MachineTest, LeavesDevicesAloneThatCannotBeUsed) {
  DeviceInfo broken = Device("a", "x"), simulated = Device("b", "simulated");
  broken.state = DeviceState::kDegraded;
  simulated.simulated = true;
  Machine machine(&loop_, Probe(kLinks));
  Measure(machine, {broken, simulated});
  EXPECT_EQ(Calls(), 0);
}

TEST_F(MachineTest, ReadsTheTree) {
  Machine machine(
      &loop_,
      Probe(
          R"(echo '{"topology":{"machine":"m","pci":[{"address":"0000:01:00.0","numaNode":1}]}}')"));
  int done = 0;
  machine.Read([&done] { ++done; });
  uv_run(&loop_, UV_RUN_DEFAULT);
  EXPECT_EQ(done, 1);
  EXPECT_EQ(machine.topology().machine, "m");
  std::vector<DeviceInfo> devices = {Device("a", "x")};
  devices[0].attributes["pciAddress"] = "01:00.0";
  PlaceDevices(machine.topology(), devices);
  EXPECT_EQ(devices[0].numa_node, 1u);
}

TEST_F(MachineTest, LivesWithoutATree) {
  Machine machine(&loop_, Probe("exit 3"));
  int done = 0;
  machine.Read([&done] { ++done; });
  uv_run(&loop_, UV_RUN_DEFAULT);
  EXPECT_EQ(done, 1);
  EXPECT_TRUE(machine.topology().pci.empty());
}

TEST_F(MachineTest, FingerprintChangesWithWhatIsPluggedIn) {
  directory_.Write("sys/bus/pci/devices/0000:01:00.0/class", "0x030000");
  const std::string before = Fingerprint(directory_.path());
  EXPECT_EQ(Fingerprint(directory_.path()), before);
  directory_.Write("dev/accel/accel0", "");
  const std::string plugged = Fingerprint(directory_.path());
  EXPECT_NE(plugged, before);
  std::filesystem::create_directory_symlink(
      "/drivers/vfio-pci", directory_.path() + "/sys/bus/pci/devices/0000:01:00.0/driver");
  EXPECT_NE(Fingerprint(directory_.path()), plugged);
}

}  // namespace
}  // namespace het::daemon
