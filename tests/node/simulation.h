// Simulation: one run of the whole node under clients that acquire, confirm, cancel, release,
// repeat themselves and die, on a disk that fails and loses power, with devices that come and go,
// at places that a seed chooses. After every step it checks what must always be true:
//
//   no acknowledged lease is lost, none is granted twice, none is left without an owner; the ledger
//   is the sum of the leases; a transaction is whole; a repeat gets the first answer; generations
//   only grow; who is no administrator sees only their own.
//
// The same seed and options give the same run, to the byte (trace()).
#ifndef HET_TESTS_NODE_SIMULATION_H_
#define HET_TESTS_NODE_SIMULATION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "daemon/node.h"
#include "daemon/store.h"
#include "tests/node/sim_disk.h"
#include "tests/node/sim_world.h"

namespace het::daemon {

struct SimOptions {
  int steps = 120;
  size_t events_kept = 40;  // for the report of a violation
  // To see that the checks can fail.
  bool disk_lies = false;    // syncs that do nothing
  bool deaths_hide = false;  // the kernel does not tell when a process ends
};

struct SimStats {
  uint64_t turns = 0;
  uint64_t granted = 0;
  uint64_t kills = 0;
  uint64_t power_losses = 0;
  uint64_t faults = 0;
  uint64_t deaths = 0;
  uint64_t repeats = 0;
};

class Simulation {
 public:
  Simulation(uint64_t seed, SimOptions options);
  ~Simulation();

  // Empty, or what was violated, with the last events.
  std::string Run();
  // Of everything that was asked and answered.
  uint64_t trace() const { return trace_; }
  const SimStats& stats() const { return stats_; }

 private:
  struct Call {
    std::string method;
    Json parameters;
    int64_t sent_boottime = 0;  // when it was asked first; 0: not yet
    bool repeat = false;        // of one that was answered
    Json expected;              // then
    uint64_t seen_generation = 0;
  };
  struct Client {
    uid_t uid = 0;
    bool admin = false;
    ProcessId process;
    ConnectionId connection = 0;
    std::optional<Call> call;                     // not answered yet
    std::map<std::string, uint64_t> held;         // lease -> generation, as it knows
    std::vector<std::pair<Call, Json>> answered;  // some of them, to be repeated
    std::set<std::string> transactions;           // not decided, as it knows
  };
  // What clients were told of a lease.
  struct Known {
    uid_t uid = 0;
    Holder holder = Holder::kManual;
    ProcessId process;
    std::string transaction;
    bool confirmed = false;
    bool ending = false;  // somebody has asked for its end
    bool ended = false;   // and was told that it is over
    int64_t ttl_ms = 0;
    int64_t lives_until = 0;  // CLOCK_BOOTTIME; 0: without end
  };

  // ---- the node's life ----
  void Start();
  void Kill(bool power_lost);
  void Turn();
  void Guarded(const std::function<void()>& work);

  // ---- what happens ----
  void Step();
  void Happen(uint32_t kind);
  void Ask(Client& client);
  std::optional<Call> ChooseCall(Client& client);
  Call AcquireCall(Client& client);
  Call ChangeCall(const char* method, const Client& client, const std::string& lease);
  void Send(Client& client);
  void Connect(Client& client);
  void Replace(Client& client);
  void AdvanceTime();
  void Settle();

  // ---- what is checked ----
  void TakeAnswers();
  void OnAnswer(Client& client, const Json& message);
  void OnGranted(Client& client, const Call& call, const Json& leases);
  void OnRefused(const Call& call, const Json& message);
  void Check();
  void CheckLedger();
  void CheckTransactions();
  void CheckKnown();
  void CheckRows(const Client& client, const Call& call, const Json& rows);
  bool MustLive(const Known& known, const std::set<std::string>& broken) const;
  void Foresee(const Call& call);

  uint32_t Random(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  bool Chance(uint32_t percent) { return Random(100) < percent; }
  void Trace(const std::string& event);
  void Fail(const std::string& what);

  const uint64_t seed_;
  const SimOptions options_;
  std::mt19937_64 random_;
  SimDisk disk_;
  SimWorld world_;
  Config config_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Node> node_;
  std::vector<Client> clients_;
  std::map<std::string, Known> known_;
  std::set<std::string> cancelling_;  // transactions that somebody has asked to cancel
  std::set<std::string> cancelled_;   // and was told that they are
  std::set<std::string> confirmed_;
  std::set<std::string> broken_;  // one of their processes has ended, or their time may be over
  ConnectionId next_connection_ = 1;
  uint64_t next_request_ = 1;
  uint64_t highest_generation_ = 0;
  std::string failpoint_;
  int failpoint_left_ = 0;
  uint64_t trace_ = 0xcbf29ce484222325;
  std::deque<std::string> last_events_;
  std::string violation_;
  SimStats stats_;
};

}  // namespace het::daemon

#endif  // HET_TESTS_NODE_SIMULATION_H_
