// Copies between devices of one driver: other cards, and the same card opened once more.
#include <numeric>

#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

// Other usable devices of the driver, opened whole, and this one opened once more where it can be.
std::vector<std::unique_ptr<Device>> Others(Fixture& t) {
  std::vector<std::unique_ptr<Device>> others;
  for (const DeviceInfo& info : Must(t.driver.Enumerate(), "Enumerate")) {
    if (info.state != DeviceState::kOk) continue;
    absl::StatusOr<std::unique_ptr<Device>> other =
        t.driver.Open(info.uuid, info.uuid == t.info.uuid ? t.backend.open : OpenOptions{});
    if (other.ok()) others.push_back(*std::move(other));
  }
  return others;
}

std::vector<uint8_t> Pattern(size_t bytes, uint8_t first) {
  std::vector<uint8_t> pattern(bytes);
  std::iota(pattern.begin(), pattern.end(), first);
  return pattern;
}

void ReachesNobodyWithoutTheCapability(Fixture& t) {
  if (t.device.Can(kPeerCopies)) return;
  for (const std::unique_ptr<Device>& other : Others(t)) {
    EXPECT_FALSE(t.device.Reaches(*other)) << other->info().name;
  }
}

void CopiesBothWaysInOrder(Fixture& t) {
  if (!t.device.Can(kPeerCopies)) return;
  constexpr uint64_t kBytes = (1 << 20) + 77;
  const std::vector<uint8_t> pattern = Pattern(kBytes, 3);
  int reached = 0;
  for (const std::unique_ptr<Device>& other : Others(t)) {
    if (!t.device.Reaches(*other)) continue;
    ++reached;
    const std::unique_ptr<Queue> ours = t.NewQueue();
    const std::unique_ptr<Queue> theirs =
        Must(other->CreateQueue(QueueKind::kTransfer), "CreateQueue of the other");
    for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kStaging}) {
      const Ref<Buffer> here = t.NewBuffer(kBytes);
      const Ref<Buffer> back = t.NewBuffer(kBytes);
      const Ref<Buffer> there = Must(other->Allocate(kBytes, kind), "Allocate on the other");
      const Ref<Timeline> sent = t.NewTimeline();
      const Ref<Timeline> touched = Must(other->CreateTimeline(), "CreateTimeline of the other");
      Must(ours->Write(pattern.data(), *here, 0, kBytes), "Write");
      Must(ours->Copy(*here, 5, *there, 11, kBytes - 40, {{}, {sent, 1}}), "Copy there");
      // The other device changes it after it has arrived, and this one fetches it after that.
      const Fence arrived[] = {{sent, 1}};
      Must(theirs->Fill(*there, 100, 50, 0xAB, {arrived, {touched, 1}}), "Fill there");
      const Fence changed[] = {{touched, 1}};
      Must(ours->Fill(*back, 0, kBytes, 0), "Fill");
      Must(ours->Copy(*there, 11, *back, 5, kBytes - 40, {changed, {sent, 2}}), "Copy back");
      t.Await(*sent, 2);
      std::vector<uint8_t> want(kBytes, 0);
      std::copy(pattern.begin() + 5, pattern.end() - 35, want.begin() + 5);
      std::fill_n(want.begin() + 5 + 89, 50, 0xAB);
      EXPECT_EQ(t.Download(*ours, *back), want) << other->info().name;
    }
  }
  EXPECT_GT(reached, 0) << "it says that it copies to peers, and reaches not even itself";
}

void RefusesRangesAndStrangers(Fixture& t) {
  if (!t.device.Can(kPeerCopies)) return;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> here = t.NewBuffer(64);
  for (const std::unique_ptr<Device>& other : Others(t)) {
    const Ref<Buffer> there = Must(other->Allocate(64), "Allocate on the other");
    const Ref<Buffer> more = Must(other->Allocate(64), "Allocate on the other");
    EXPECT_EQ(queue->Copy(*here, 0, *there, 1, 64).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(queue->Copy(*there, 0, *more, 0, 64).code(), absl::StatusCode::kInvalidArgument)
        << "neither is this queue's";
  }
  t.Finish(*queue);
}

}  // namespace

std::vector<Case> PeerCases() {
  return {
      {"Peer", "ReachesNobodyWithoutTheCapability", ReachesNobodyWithoutTheCapability},
      {"Peer", "CopiesBothWaysInOrder", CopiesBothWaysInOrder},
      {"Peer", "RefusesRangesAndStrangers", RefusesRangesAndStrangers},
  };
}

}  // namespace het::conformance
