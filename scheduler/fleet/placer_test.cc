#include "scheduler/fleet/placer.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/fleet/het_policy.h"

namespace het::fleet {
namespace {

constexpr NodeSpec kPair{.cpu_milli = 16'000, .memory_mib = 64'000, .devices = 2, .model = 0};
constexpr NodeSpec kEight{.cpu_milli = 96'000, .memory_mib = 384'000, .devices = 8, .model = 1};
constexpr JobSpec kHalf{.cpu_milli = 2'000, .memory_mib = 4'000, .devices = 1, .milli = 500};
constexpr JobSpec kWhole{.cpu_milli = 8'000, .memory_mib = 30'000, .devices = 1, .milli = 1000};
constexpr JobSpec kFour{.cpu_milli = 32'000, .memory_mib = 100'000, .devices = 4, .milli = 1000};
constexpr JobSpec kCores{.cpu_milli = 4'000, .memory_mib = 8'000};

std::vector<NodeSpec> Nodes(int pairs, int eights) {
  std::vector<NodeSpec> nodes(static_cast<size_t>(pairs), kPair);
  nodes.insert(nodes.end(), static_cast<size_t>(eights), kEight);
  return nodes;
}

std::unique_ptr<Policy> Make(absl::string_view name) {
  return *MakePolicy(name, Nodes(10, 6), {{kHalf, 5}, {kWhole, 3}, {kFour, 1}, {kCores, 2}});
}

TEST(Cluster, EqualNodesShareAState) {
  Cluster cluster(Nodes(3, 2));
  EXPECT_THAT(cluster.active(), testing::SizeIs(2));
  EXPECT_EQ(cluster.count(cluster.state_of(0)), 3);
  const DeviceSet devices = cluster.Place(1, kHalf, 1);
  EXPECT_EQ(cluster.count(cluster.state_of(0)), 2);
  EXPECT_EQ(cluster.count(cluster.state_of(1)), 1);
  EXPECT_EQ(cluster.allocated_milli(), 500);
  cluster.Remove(1, kHalf, devices);
  EXPECT_EQ(cluster.state_of(1), cluster.state_of(0));
  EXPECT_EQ(cluster.allocated_milli(), 0);
}

TEST(Cluster, DevicesKeepTheirNumbers) {
  Cluster cluster(Nodes(1, 0));
  const DeviceSet first = cluster.Place(0, kHalf, 0b10);  // places are sorted, numbers are not
  const DeviceSet second = cluster.Place(0, kWhole, 0b10);
  EXPECT_EQ(first & second, 0);
  cluster.Remove(0, kHalf, first);
  EXPECT_EQ(cluster.state(cluster.state_of(0)).devices[1].milli, 1000);
  EXPECT_EQ(cluster.state(cluster.state_of(0)).devices[0].milli, 0);
}

// Two islands of two on each NUMA node of four.
NodeSpec Linked() {
  NodeSpec spec = kEight;
  spec.devices_per_island = 2;
  spec.devices_per_numa = 4;
  return spec;
}

TEST(NodeState, SeveralDevicesAreOfOneIslandWhereOneHoldsThem) {
  constexpr JobSpec kTwo{.cpu_milli = 1, .memory_mib = 1, .devices = 2, .milli = 1000};
  Cluster cluster({Linked()});
  (void)cluster.Place(0, kWhole, 0b1);  // half of an island is gone
  const NodeState& state = cluster.state(cluster.state_of(0));
  const DeviceSet devices = cluster.Place(0, kTwo, TightestDevices(state, kTwo));
  EXPECT_EQ(cluster.NearnessOf(0, devices), Nearness::kLinked);
}

TEST(NodeState, ElseOfOneNumaNodeElseAnywhere) {
  Cluster cluster({Linked()});
  const NodeState& empty = cluster.state(cluster.state_of(0));
  EXPECT_EQ(NearnessOf(empty, TightestDevices(empty, kFour)), Nearness::kOneNuma);
  JobSpec six = kFour;
  six.devices = 6;
  EXPECT_EQ(NearnessOf(empty, TightestDevices(empty, six)), Nearness::kAcross);
  // The NUMA node with fewer to spare has it.
  constexpr JobSpec kThree{.cpu_milli = 1, .memory_mib = 1, .devices = 3, .milli = 1000};
  (void)cluster.Place(0, kWhole, 0b1);
  const NodeState& state = cluster.state(cluster.state_of(0));
  EXPECT_EQ(NearnessOf(state, TightestDevices(state, kThree)), Nearness::kOneNuma);
  EXPECT_EQ(state.devices[1].numa, 0);
  EXPECT_EQ(TightestDevices(state, kThree), 0b1110u);
}

TEST(Placer, EqualCostsGoToTheFirstNodeAsPublished) {
  const auto policy = Make("packing");
  Cluster cluster(Nodes(4, 2), {policy->tracks_affinity(), policy->takes_first_node()});
  Placer placer(cluster, *policy, 1);
  const int kind = placer.Kind(kCores);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(placer.Place(kind)->node, 0);  // 16 cores
  EXPECT_EQ(placer.Place(kind)->node, 1);
}

TEST(Cluster, AFailedDeviceHasNothingFree) {
  Cluster cluster(Nodes(1, 0));
  cluster.FailDevice(0, 0);
  cluster.FailDevice(0, 0);
  EXPECT_EQ(cluster.capacity_milli(), 1000);
  EXPECT_EQ(cluster.state(cluster.state_of(0)).FreeMilli(), 1000);
  cluster.RepairDevice(0, 0);
  EXPECT_EQ(cluster.capacity_milli(), 2000);
  EXPECT_EQ(cluster.state(cluster.state_of(0)).FreeMilli(), 2000);
}

TEST(NodeState, DeviceMemoryLimitsOnlyWhereItIsKnown) {
  NodeSpec known = kPair;
  known.device_memory_mib = 16'000;
  JobSpec job = kHalf;
  job.device_memory_mib = 20'000;
  EXPECT_FALSE(EmptyState(known).Fits(job));
  EXPECT_TRUE(EmptyState(kPair).Fits(job));
  job.device_memory_mib = 10'000;
  const NodeState once = WithJob(EmptyState(known), job, 1);
  EXPECT_FALSE(once.DeviceFits(0, job));  // half its compute is free, not enough memory
  EXPECT_TRUE(once.DeviceFits(1, job));
}

TEST(NodeState, RefusesModelsThatAreNotAskedFor) {
  JobSpec job = kHalf;
  job.models = 0b10;
  EXPECT_FALSE(EmptyState(kPair).Fits(job));
  EXPECT_TRUE(EmptyState(kEight).Fits(job));
}

// The index must answer what looking at every node would.
TEST(Placer, AgreesWithLookingAtEveryNode) {
  for (const absl::string_view name : PolicyNames()) {
    if (name == "random") continue;
    const auto policy = Make(name);
    Cluster cluster(Nodes(10, 6), {policy->tracks_affinity(), policy->takes_first_node()});
    Placer placer(cluster, *policy, 1);
    std::mt19937 random(7);
    const JobSpec specs[] = {kHalf,
                             kWhole,
                             kFour,
                             kCores,
                             {.cpu_milli = 1'000, .memory_mib = 1'000, .devices = 1, .milli = 230}};
    struct Placed {
      JobSpec spec;
      Placement placement;
    };
    std::vector<Placed> placed;
    for (int step = 0; step < 600; ++step) {
      if (!placed.empty() && random() % 3 == 0) {
        std::swap(placed[random() % placed.size()], placed.back());
        cluster.Remove(placed.back().placement.node, placed.back().spec,
                       placed.back().placement.devices);
        placed.pop_back();
        continue;
      }
      const JobSpec& spec = specs[random() % std::size(specs)];
      policy->Observe(spec);
      std::optional<double> least;
      for (int n = 0; n < cluster.nodes(); ++n) {
        const NodeState& state = cluster.state(cluster.state_of(n));
        if (!state.Fits(spec)) continue;
        const double cost = policy->Evaluate(state, spec).cost;
        if (!least || cost < *least) least = cost;
      }
      const int kind = placer.Kind(spec);
      const auto best = placer.Best(kind);
      ASSERT_EQ(best.has_value(), least.has_value()) << name << " step " << step;
      if (!best) continue;
      EXPECT_EQ(best->choice.cost, *least) << name << " step " << step;
      placed.push_back({spec, placer.Place(kind, *best)});
    }
  }
}

TEST(Placer, ADrawnNodeFits) {
  const auto policy = Make("random");
  Cluster cluster(Nodes(4, 0));
  Placer placer(cluster, *policy, 3);
  const int kind = placer.Kind(kWhole);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(placer.Place(kind).has_value()) << i;
  EXPECT_FALSE(placer.Place(kind).has_value());
  EXPECT_FALSE(placer.Place(kind).has_value());
  cluster.Remove(2, kWhole, 1);
  const auto again = placer.Place(kind);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->node, 2);
}

TEST(Policies, AnUnknownNameNamesTheKnownOnes) {
  const auto status = MakePolicy("worst-fit", {}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("best-fit, fgd, het"));
}

TEST(HetPolicy, CompletesADeviceRatherThanOpeningOne) {
  HetPolicy policy({});
  for (int i = 0; i < 64; ++i) policy.Observe(i % 2 == 0 ? kHalf : kWhole);
  Cluster cluster(Nodes(2, 0));
  cluster.Place(1, kHalf, 1);
  Placer placer(cluster, policy, 1);
  const auto placed = placer.Place(placer.Kind(kHalf));
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->node, 1);
  EXPECT_EQ(cluster.device(1, 0).milli, 0);
}

TEST(HetPolicy, KeepsCoresWhereDevicesWaitForThem) {
  HetPolicy policy({});
  for (int i = 0; i < 64; ++i) policy.Observe(i % 4 == 0 ? kCores : kWhole);
  // Both have the same cores free; on one a device waits for them, the other is full.
  NodeSpec busy = kPair;
  busy.cpu_milli = 32'000;
  busy.memory_mib = 128'000;
  std::vector<NodeSpec> nodes = {kPair, busy};
  Cluster cluster(nodes);
  cluster.Place(1, kWhole, 1);
  cluster.Place(1, kWhole, 2);
  ASSERT_EQ(cluster.state(cluster.state_of(0)).cpu_milli,
            cluster.state(cluster.state_of(1)).cpu_milli);
  Placer placer(cluster, policy, 1);
  const auto placed = placer.Place(placer.Kind(kCores));
  ASSERT_TRUE(placed.has_value());
  EXPECT_EQ(placed->node, 1);
}

TEST(HetPolicy, SaysWhyInDevices) {
  HetPolicy policy({}, {{kWhole, 10}});
  const NodeState state = EmptyState(kPair);
  const Choice choice = policy.Evaluate(state, kWhole);
  EXPECT_THAT(policy.Explain(state, kWhole, choice), testing::HasSubstr("devices' worth"));
}

}  // namespace
}  // namespace het::fleet
