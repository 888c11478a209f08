// Fuzz target: requests of any shape, from several users, to a whole node on a simulated machine,
// with processes that end, time that passes and a disk that fails between them. Finds crashes and
// the breach of three rules: a request is answered once, or waits in line; the ledger is the sum of
// the leases; no device has given away more than it is.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/node.h"
#include "daemon/store.h"
#include "tests/node/sim_disk.h"
#include "tests/node/sim_world.h"

namespace het::daemon {
namespace {

constexpr const char* kMethods[] = {
    "org.het.v1.Acquire",         "org.het.v1.Confirm",      "org.het.v1.Cancel",
    "org.het.v1.Release",         "org.het.v1.Renew",        "org.het.v1.Resize",
    "org.het.v1.Drain",           "org.het.v1.CreateSlice",  "org.het.v1.DeleteSlice",
    "org.het.v1.Attach",          "org.het.v1.AttachRegion", "org.het.v1.PlanModel",
    "org.het.v1.AcquireModel",    "org.het.v1.ListDevices",  "org.het.v1.ListSlices",
    "org.het.v1.ListLeases",      "org.het.v1.GetInfo",      "org.het.v1.ListLinks",
    "org.het.v1.Report",          "org.het.v1.GetTopology",  "org.het.v1.GetStatistics",
    "org.varlink.service.GetInfo"};
constexpr const char* kFields[] = {"requestId",
                                   "transaction",
                                   "slices",
                                   "leases",
                                   "id",
                                   "generation",
                                   "device",
                                   "sharePercent",
                                   "memoryBytes",
                                   "policy",
                                   "priority",
                                   "name",
                                   "holder",
                                   "tenant",
                                   "ttlMs",
                                   "confirm",
                                   "isolationAtLeast",
                                   "layers",
                                   "layerBytes",
                                   "lease",
                                   "region",
                                   "drain",
                                   "waitMs",
                                   "measure",
                                   "from",
                                   "to",
                                   "units",
                                   "stages",
                                   "share"};
constexpr const char* kWords[] = {"gpu-0", "gpu-1",       "gpu-2",      "r1",      "r2",
                                  "t1",    "t2",          "guaranteed", "capped",  "bestEffort",
                                  "batch", "high",        "manual",     "process", "driver",
                                  "none",  "cooperative", "s1",         "s2",      ""};
constexpr size_t kRequests = 12;  // at most, of one input
constexpr int kInputsPerNode = 500;

class Rig {
 public:
  Rig() {
    store_ = *Store::Open("/sim", world_.clock(), disk_.vfs());
    node_ = std::make_unique<Node>(world_, *store_, SimWorld::DiscoveryOptions(), Config());
    for (ConnectionId id = 1; id <= 3; ++id) {
      world_.Open(id);
      callers_[id] = {id == 1 ? 0u : 1000u + static_cast<uid_t>(id), world_.NewProcess(), id == 1};
    }
    if (!node_->Begin(world_).ok()) abort();
    for (int i = 0; i < 20; ++i) Pass(100'000'000);
  }

  void Run(FuzzedDataProvider& input) {
    for (size_t i = 0; i < kRequests && input.remaining_bytes() > 0; ++i) {
      switch (input.ConsumeIntegralInRange(0, 9)) {
        case 0:
          Pass(input.ConsumeIntegralInRange<int64_t>(0, 100'000'000'000));
          break;
        case 1:
          Replace(input.ConsumeIntegralInRange<ConnectionId>(1, 3));
          break;
        case 2:
          disk_.FailAfter(input.ConsumeIntegralInRange(1, 20),
                          input.ConsumeBool() ? SimDisk::Fault::kFull : SimDisk::Fault::kIo, 5);
          break;
        default:
          Ask(input);
      }
      Check();
    }
    disk_.Heal();
    Pass(3'000'000'000);
    Check();
  }

 private:
  Json Value(FuzzedDataProvider& input, int depth) {
    switch (input.ConsumeIntegralInRange(0, depth > 0 ? 9 : 6)) {
      case 0:
        return input.ConsumeIntegralInRange<uint64_t>(0, 100);
      case 1:
        return input.ConsumeIntegral<uint64_t>() >> input.ConsumeIntegralInRange(0, 63);
      case 2:
        return input.ConsumeIntegral<int64_t>();
      case 3:
        return input.ConsumeBool();
      case 4:
        return input.ConsumeFloatingPoint<double>();
      case 5:
        if (const auto& leases = node_->book().leases(); !leases.empty()) {
          const auto at = input.ConsumeIntegralInRange<size_t>(0, leases.size() - 1);
          return std::next(leases.begin(), static_cast<ptrdiff_t>(at))->first;
        }
        return input.PickValueInArray(kWords);
      case 6:
        if (input.ConsumeBool()) return input.PickValueInArray(kWords);
        return input.ConsumeRandomLengthString(40);
      case 7: {
        Json list = Json::array();
        for (int i = input.ConsumeIntegralInRange(0, 3); i > 0; --i) {
          list.push_back(Value(input, depth - 1));
        }
        return list;
      }
      default:
        return Object(input, depth - 1);
    }
  }

  Json Object(FuzzedDataProvider& input, int depth) {
    Json object = Json::object();
    for (int i = input.ConsumeIntegralInRange(0, 8); i > 0; --i) {
      object[input.PickValueInArray(kFields)] = Value(input, depth);
    }
    return object;
  }

  // Half of them begin as what a client means to say.
  Json Parameters(FuzzedDataProvider& input, const std::string& method) {
    Json said = Json::object();
    if (input.ConsumeBool()) {
      if (method.ends_with("Acquire")) {
        said = {{"holder", input.ConsumeBool() ? "manual" : "process"},
                {"slices",
                 {{{"device", input.PickValueInArray(kWords)},
                   {"sharePercent", input.ConsumeIntegralInRange(1u, 100u)},
                   {"memoryBytes", uint64_t{input.ConsumeIntegral<uint32_t>()} << 4}}}}};
      } else if (method.ends_with("Slice")) {
        said = {
            {"name", "s1"}, {"device", "gpu-0"}, {"sharePercent", 10u}, {"memoryBytes", 1u << 20}};
      } else if (const auto& leases = node_->book().leases(); !leases.empty()) {
        said = {{"leases", {{{"id", leases.begin()->first}}}}, {"lease", leases.begin()->first}};
      }
    }
    said.update(Object(input, 3));
    return said;
  }

  void Ask(FuzzedDataProvider& input) {
    const auto connection = input.ConsumeIntegralInRange<ConnectionId>(1, 3);
    if (waiting_[connection]) return;  // one request at a time, as the server sees to
    const std::string method = input.PickValueInArray(kMethods);
    Json request = {{"method", method}, {"parameters", Parameters(input, method)}};
    if (input.ConsumeIntegralInRange(0, 15) == 0) request["parameters"] = Value(input, 3);
    if (input.ConsumeIntegralInRange(0, 15) == 0) request = Value(input, 3);
    waiting_[connection] = true;
    node_->handler().OnRequest(connection, callers_[connection], request);
    node_->EndTurn();
    TakeAnswers();
    const bool may_wait = method.ends_with("AcquireModel") || method.ends_with("ListLinks");
    if (waiting_[connection] && !may_wait) {
      // Only until the devices are known again.
      Pass(1'000'000'000);
      if (waiting_[connection]) Fail("a request was not answered: " + PrintJson(request));
    }
  }

  void Replace(ConnectionId connection) {
    waiting_[connection] = false;
    world_.End(callers_[connection].process);
    node_->handler().OnGone(connection);
    callers_[connection].process = world_.NewProcess();
    Pass(0);
  }

  void Pass(int64_t nanos) {
    world_.time().Advance(nanos);
    for (const ProcessId& ended : world_.Deliver()) node_->OnProcessEnded(ended);
    node_->Tick();
    node_->EndTurn();
    TakeAnswers();
  }

  void TakeAnswers() {
    for (const SimWorld::Answered& answer : world_.TakeAnswers()) {
      if (!waiting_[answer.connection]) Fail("answered twice: " + PrintJson(answer.message));
      waiting_[answer.connection] = false;
    }
  }

  void Check() {
    std::map<std::string, Amount> sum;
    for (const auto& [id, lease] : node_->book().leases()) {
      const auto booked = node_->ledger().slices().find(lease.slice.id);
      if (booked == node_->ledger().slices().end() || booked->second != lease.slice) {
        Fail("lease " + id + " is not in the ledger as it is in the book");
      }
      Amount& amount = sum[lease.slice.device];
      if (lease.slice.policy != Policy::kBestEffort)
        amount.share = amount.share + lease.slice.share;
      amount.memory_bytes += lease.slice.memory_bytes;
    }
    if (node_->book().leases().size() != node_->ledger().slices().size()) {
      Fail("the ledger has slices that nobody has leased");
    }
    for (const auto& [device, amount] : sum) {
      if (amount.share.parts() > Share::kWhole || amount.memory_bytes > SimWorld::kDeviceBytes) {
        Fail("more of " + device + " is leased than there is");
      }
    }
  }

  [[noreturn]] static void Fail(const std::string& what) {
    fprintf(stderr, "violated: %s\n", what.c_str());
    abort();
  }

  SimWorld world_;
  SimDisk disk_{1};
  std::unique_ptr<Store> store_;
  std::unique_ptr<Node> node_;
  std::map<ConnectionId, Caller> callers_;
  std::map<ConnectionId, bool> waiting_;
};

}  // namespace
}  // namespace het::daemon

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<het::daemon::Rig> rig;
  static int inputs = 0;
  // A node of its own for each would be mostly its start; a finding is minimised with -runs=1.
  if (rig == nullptr || ++inputs % het::daemon::kInputsPerNode == 0) {
    rig.reset();
    rig = std::make_unique<het::daemon::Rig>();
  }
  FuzzedDataProvider input(data, size);
  rig->Run(input);
  return 0;
}
