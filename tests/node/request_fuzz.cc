// Fuzz target: arbitrary bytes as requests to the whole node, from two users in turn. Finds
// crashes, requests that are not answered, and ledgers that are not the sum of their leases.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>

#include "base/log.h"
#include "daemon/node.h"
#include "protocol/frame.h"
#include "tests/node/sim_disk.h"
#include "tests/node/sim_world.h"

namespace {

using namespace het;          // NOLINT: a program of one file
using namespace het::daemon;  // NOLINT

struct World {
  World() : disk(1) {
    Log().set_level(spdlog::level::off);
    store = *Store::Open("/sim", world.clock(), disk.vfs());
    node = std::make_unique<Node>(world, *store, SimWorld::DiscoveryOptions(), Config());
    process = world.NewProcess();
    world.Open(1);
    if (!node->Begin(world).ok()) abort();
    Pass();
  }
  void Pass() {
    for (int i = 0; i < 3; ++i) {
      world.time().Advance(100'000'000);
      world.Deliver();
      node->Tick();
      node->EndTurn();
    }
  }
  SimDisk disk;
  SimWorld world;
  std::unique_ptr<Store> store;
  std::unique_ptr<Node> node;
  ProcessId process;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<World> world;
  static int runs = 0;
  if (world == nullptr || ++runs % 2048 == 0) {
    world.reset();
    world = std::make_unique<World>();
  }
  protocol::FrameReader reader;
  reader.Feed(absl::string_view(reinterpret_cast<const char*>(data), size));
  uid_t uid = 1000;
  while (true) {
    const auto frame = reader.Next();
    if (!frame.ok() || !frame->has_value()) break;
    uid = uid == 1000 ? 1001 : 1000;
    world->node->handler().OnRequest(1, {uid, world->process, false}, **frame);
    world->node->EndTurn();
    // A model may wait in line, a rescan for its probes.
    if (world->world.TakeAnswers().empty()) world->Pass();
    world->world.TakeAnswers();
  }
  std::set<std::string> slices;
  for (const auto& [id, lease] : world->node->book().leases()) slices.insert(lease.slice.id);
  if (slices.size() != world->node->ledger().slices().size()) abort();
  return 0;
}
