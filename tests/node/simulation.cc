#include "tests/node/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/failpoint.h"

namespace het::daemon {
namespace {

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr size_t kClients = 6;

constexpr const char* kFailpoints[] = {"commit.begin",  "commit.staged",  "commit.done",
                                       "answer.before", "answer.after",   "restore.staged",
                                       "migrate.begin", "migrate.staged", "migrate.done"};

// hetd dies here.
struct Death {};

std::string TransactionOf(const Json& parameters) {
  const auto it = parameters.find("transaction");
  return it == parameters.end() ? "" : it->get<std::string>();
}

}  // namespace

Simulation::Simulation(uint64_t seed, SimOptions options)
    : seed_(seed), options_(options), random_(seed), disk_(seed + 1) {
  if (options_.disk_lies) disk_.LieAboutSyncs();
  if (options_.deaths_hide) world_.HideDeaths();
  config_.slices = {
      {"gpu-0", Share::OfPercent(10), kGiB, Policy::kGuaranteed, Priority::kNormal, "gold"}};
  config_.isolation_at_least = Chance(70) ? Isolation::kCooperative : Isolation::kDriver;
  config_.limits.leases_per_user = Chance(80) ? 1000 : 4;
  for (size_t i = 0; i < kClients; ++i) {
    Client client;
    client.uid = i == 0 ? 0 : static_cast<uid_t>(1000 + i % 3);
    client.admin = i == 0;
    clients_.push_back(std::move(client));
    Replace(clients_.back());
  }
  OnFailpoint([this](absl::string_view name) {
    if (failpoint_left_ == 0 || name != failpoint_ || --failpoint_left_ > 0) return;
    disk_.DieAfter(0);  // what unwinding does is not done
    throw Death();
  });
}

Simulation::~Simulation() {
  disk_.DieAfter(0);
  node_.reset();
  store_.reset();
  OnFailpoint(nullptr);
}

void Simulation::Trace(const std::string& event) {
  for (const unsigned char c : event) trace_ = (trace_ ^ c) * 0x100000001b3;
  last_events_.push_back(event);
  if (last_events_.size() > options_.events_kept) last_events_.pop_front();
}

void Simulation::Fail(const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = absl::StrCat("seed ", seed_, ", turn ", stats_.turns, ": ", what,
                            "\nthe last events:\n  ", absl::StrJoin(last_events_, "\n  "));
}

std::string Simulation::Run() {
  for (int step = 0; step < options_.steps && violation_.empty(); ++step) Step();
  if (violation_.empty()) Settle();
  return violation_;
}

// ---- the node's life ----

// Runs a part of the node that may die at a failpoint, or with its disk.
void Simulation::Guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const Death&) {
    Trace(absl::StrCat("dies at ", failpoint_));
    if (failpoint_ == "answer.after") TakeAnswers();
  }
}

void Simulation::Start() {
  Guarded([this] {
    auto store = Store::Open("/sim", world_.clock(), disk_.vfs());
    if (!store.ok()) {
      if (!disk_.dead()) Fail(absl::StrCat("cannot start: ", store.status().ToString()));
      return;
    }
    store_ = *std::move(store);
    node_ = std::make_unique<Node>(world_, *store_, SimWorld::DiscoveryOptions(), config_);
    const absl::Status begun = node_->Begin(world_);
    if (!begun.ok()) {
      if (!disk_.dead()) Fail(absl::StrCat("cannot begin: ", begun.ToString()));
      node_.reset();
      store_.reset();
      return;
    }
    Trace("starts");
    node_->EndTurn();
  });
  if (disk_.dead()) Kill(false);
  if (node_ == nullptr) return;
  for (Client& client : clients_) {
    Connect(client);
    if (client.call) Send(client);
  }
}

void Simulation::Kill(bool power_lost) {
  Trace(power_lost ? "power lost" : "killed");
  ++(power_lost ? stats_.power_losses : stats_.kills);
  disk_.DieAfter(0);  // nothing that the destructors do reaches it
  failpoint_left_ = 0;
  node_.reset();
  store_.reset();
  disk_.Revive(power_lost);
  world_.ForgetNode();
  if (!power_lost) return;
  // What a lease with an end had left counts on in the next boot, from the last commit at the
  // latest; processes are gone.
  const int64_t now = world_.clock().BoottimeNanos();
  world_.Reboot();
  for (auto& [id, known] : known_) {
    if (known.lives_until == 0) continue;
    known.lives_until =
        world_.clock().BoottimeNanos() + std::max<int64_t>(0, known.lives_until - now);
  }
  for (Client& client : clients_) Replace(client);
}

void Simulation::Turn() {
  ++stats_.turns;
  Guarded([this] {
    for (const ProcessId& process : world_.Deliver()) node_->OnProcessEnded(process);
    node_->EndTurn();
    // What a dead process has said was not said.
    if (!disk_.dead()) TakeAnswers();
  });
  if (disk_.dead()) return Kill(Chance(30));
  Check();
}

// ---- what happens ----

void Simulation::Step() {
  if (node_ == nullptr) {
    disk_.Heal();
    if (Chance(15)) disk_.DieAfter(1 + Random(20));
    if (Chance(15)) {
      failpoint_ = kFailpoints[Random(std::size(kFailpoints))];
      failpoint_left_ = 1;
    }
    Start();
    if (node_ == nullptr) return;
    return Turn();
  }
  Guarded([this] { Happen(Random(100)); });
  if (disk_.dead()) return Kill(Chance(30));
  if (node_ != nullptr) Turn();
}

void Simulation::Happen(uint32_t kind) {
  if (kind < 62) {
    for (uint32_t i = 0, n = 1 + Random(4); i < n; ++i) {
      Client& client = clients_[Random(kClients)];
      if (!client.call) Ask(client);
    }
  } else if (kind < 74) {
    AdvanceTime();
  } else if (kind < 82) {
    Client& client = clients_[Random(kClients)];
    Trace(absl::StrCat("process ", client.process.pid, " ends"));
    ++stats_.deaths;
    node_->handler().OnGone(client.connection);
    Replace(client);
  } else if (kind < 85) {
    Kill(Chance(40));
  } else if (kind < 88) {
    disk_.DieAfter(1 + Random(12));
  } else if (kind < 91) {
    failpoint_ = kFailpoints[Random(std::size(kFailpoints))];
    failpoint_left_ = 1;
  } else if (kind < 94) {
    ++stats_.faults;
    disk_.FailAfter(1 + Random(10), Chance(50) ? SimDisk::Fault::kIo : SimDisk::Fault::kFull,
                    1 + Random(30));
  } else if (kind < 96) {
    const size_t device = Random(SimWorld::kDevices);
    world_.SetPresent(device, !world_.IsPresent(device));
    world_.SetHanging(Chance(20), Chance(50));
    node_->Scan();
  } else {
    // A client loses its connection, and asks again through another.
    Client& client = clients_[Random(kClients)];
    node_->handler().OnGone(client.connection);
    Connect(client);
    if (client.call) Send(client);
  }
}

void Simulation::Connect(Client& client) {
  world_.Close(client.connection);
  client.connection = next_connection_++;
  world_.Open(client.connection);
}

// Another process takes the place of the client's.
void Simulation::Replace(Client& client) {
  if (client.process.pid != 0) world_.End(client.process);
  for (const auto& [id, known] : known_) {
    if (known.holder == Holder::kProcess && !world_.IsAlive(known.process) &&
        !known.transaction.empty()) {
      broken_.insert(known.transaction);
    }
  }
  // What it had asked for it will never know; manual leases that it held nobody asks for again,
  // so an administrator gives them up at the end.
  if (client.call) Foresee(*client.call);
  client.call.reset();
  client.held.clear();
  client.answered.clear();
  for (const std::string& transaction : client.transactions) broken_.insert(transaction);
  client.transactions.clear();
  client.process = world_.NewProcess();
  Connect(client);
}

void Simulation::AdvanceTime() {
  const int64_t nanos = Chance(70) ? kMilli * (1 + Random(2000)) : kSecond * (1 + Random(40));
  if (Chance(15)) {
    Trace(absl::StrCat("suspended for ", nanos));
    world_.time().Suspend(nanos);
  } else {
    Trace(absl::StrCat("time ", nanos));
    world_.time().Advance(nanos);
  }
  if (Chance(20)) world_.time().JumpWall((Chance(50) ? 1 : -1) * kSecond * 3600 * 24 * 365);
  node_->Tick();
}

void Simulation::Ask(Client& client) {
  client.call = ChooseCall(client);
  if (client.call) Send(client);
}

void Simulation::Send(Client& client) {
  Call& call = *client.call;
  if (call.sent_boottime == 0) {
    call.sent_boottime = world_.clock().BoottimeNanos();
    call.seen_generation = highest_generation_;
  }
  Foresee(call);
  Trace(absl::StrCat(client.process.pid, " asks ", call.method, " ", PrintJson(call.parameters)));
  node_->handler().OnRequest(
      client.connection, {client.uid, client.process, client.admin},
      {{"method", "org.het.v1." + call.method}, {"parameters", call.parameters}});
}

// What may happen to leases from now on, whether the answer comes or not.
void Simulation::Foresee(const Call& call) {
  const std::string transaction = TransactionOf(call.parameters);
  if (call.method == "Cancel" && !transaction.empty()) cancelling_.insert(transaction);
  std::set<std::string> meant;
  if (call.parameters.contains("leases")) {
    for (const Json& ref : call.parameters["leases"]) meant.insert(ref["id"].get<std::string>());
  }
  const int64_t now = world_.clock().BoottimeNanos();
  for (auto& [id, known] : known_) {
    const bool of_transaction = !transaction.empty() && known.transaction == transaction;
    if (!of_transaction && !meant.contains(id)) continue;
    if (call.method == "Release" || call.method == "Cancel") known.ending = true;
    int64_t ttl_ms = 0;
    if (call.method == "Confirm") ttl_ms = known.ttl_ms;
    if (call.method == "Renew") ttl_ms = call.parameters["ttlMs"].get<int64_t>();
    if (ttl_ms == 0) continue;
    const int64_t end = now + ttl_ms * kMilli;
    known.lives_until = known.lives_until == 0 ? end : std::min(known.lives_until, end);
  }
}

Simulation::Call Simulation::AcquireCall(Client& client) {
  Call call;
  call.method = "Acquire";
  Json slices = Json::array();
  for (uint32_t i = 0, n = Chance(70) ? 1 : 1 + Random(4); i < n; ++i) {
    if (Chance(8)) {
      slices.push_back({{"name", "gold"}});
      continue;
    }
    constexpr const char* kPolicies[] = {"guaranteed", "capped", "best_effort"};
    slices.push_back({{"device", absl::StrCat("gpu-", Random(SimWorld::kDevices))},
                      {"sharePercent", 1 + Random(Chance(80) ? 25 : 90)},
                      {"memoryBytes", (1 + Random(4000)) * kMiB},
                      {"policy", kPolicies[Random(3)]}});
  }
  call.parameters = {{"slices", std::move(slices)}};
  const bool manual = Chance(50);
  call.parameters["holder"] = manual ? "manual" : "process";
  if (manual && Chance(50)) call.parameters["ttlMs"] = 1000 + Random(60'000);
  if (Chance(30)) {
    call.parameters["confirm"] = false;
  } else if (Chance(40)) {
    if (client.transactions.empty() || Chance(50)) {
      client.transactions.insert(absl::StrCat("tx-", next_request_++));
    }
    call.parameters["transaction"] = *client.transactions.rbegin();
  } else {
    call.parameters["confirm"] = true;
  }
  if (Chance(10)) call.parameters["isolationAtLeast"] = "cooperative";
  return call;
}

Simulation::Call Simulation::ChangeCall(const char* method, const Client& client,
                                        const std::string& lease) {
  Call call;
  call.method = method;
  Json ref = {{"id", lease}};
  if (Chance(50)) ref["generation"] = client.held.at(lease);
  call.parameters = {{"leases", Json::array({std::move(ref)})}};
  return call;
}

std::optional<Simulation::Call> Simulation::ChooseCall(Client& client) {
  Call call;
  const uint32_t kind = Random(100);
  if (kind < 8 && !client.answered.empty()) {
    const auto& [before, answer] =
        client.answered[Random(static_cast<uint32_t>(client.answered.size()))];
    ++stats_.repeats;
    call = before;
    call.repeat = true;
    call.expected = answer;
    return call;
  }
  if (kind < 12) {
    call.method = Chance(50) ? "ListLeases" : "ListSlices";
    call.parameters = Json::object();
    return call;
  }
  if (kind < 15) {
    call.method = "AcquireModel";
    call.parameters = {
        {"model", {{"layers", {{{"weightBytes", (1 + Random(12)) * kGiB}, {"count", 2u}}}}}},
        {"holder", "process"},
        {"confirm", true},
        {"waitMs", Random(5000)}};
  } else if (kind < 25 && !client.transactions.empty()) {
    call.method = Chance(60) ? "Confirm" : "Cancel";
    const auto chosen = std::next(client.transactions.begin(),
                                  Random(static_cast<uint32_t>(client.transactions.size())));
    call.parameters = {{"transaction", *chosen}};
  } else if (kind < 27) {
    // A cancel that comes before its try.
    client.transactions.insert(absl::StrCat("tx-", next_request_++));
    call.method = "Cancel";
    call.parameters = {{"transaction", *client.transactions.rbegin()}};
  } else if (kind < 60 && !client.held.empty()) {
    const auto lease =
        std::next(client.held.begin(), Random(static_cast<uint32_t>(client.held.size())));
    constexpr const char* kMethods[] = {"Release", "Release", "Confirm",
                                        "Cancel",  "Renew",   "Resize"};
    call = ChangeCall(kMethods[Random(std::size(kMethods))], client, lease->first);
    if (call.method == "Renew") call.parameters["ttlMs"] = 1000 + Random(60'000);
    if (call.method == "Resize") call.parameters["memoryBytes"] = (1 + Random(4000)) * kMiB;
  } else {
    call = AcquireCall(client);
  }
  call.parameters["requestId"] = absl::StrCat("r-", next_request_++);
  return call;
}

// Everything comes to rest: the disk is well, every client learns what became of its request and
// gives up what it has. Then nothing may be left.
void Simulation::Settle() {
  disk_.Heal();
  disk_.Revive(false);
  failpoint_left_ = 0;
  world_.SetHanging(false);
  for (size_t i = 0; i < SimWorld::kDevices; ++i) world_.SetPresent(i, true);
  for (int round = 0; round < 40 && violation_.empty(); ++round) {
    if (node_ == nullptr) Start();
    if (node_ == nullptr) continue;
    world_.time().Advance(kSecond);
    node_->Tick();
    Turn();
  }
  if (node_ == nullptr || !violation_.empty()) return Fail("hetd does not start on a good disk");
  for (const Client& client : clients_) {
    if (client.call) return Fail(absl::StrCat("no answer to ", client.call->method));
  }
  for (Client& client : clients_) Replace(client);
  // Half of the runs: hetd was down when they ended.
  if (Chance(50)) {
    Kill(false);
    Start();
  }
  world_.time().Suspend(kSecond * 3600);
  node_->Tick();
  Turn();
  Client& root = clients_.front();
  for (const auto& [id, lease] : std::map(node_->book().leases())) {
    if (lease.state == LeaseState::kAvailable) continue;
    if (lease.holder != Holder::kManual || lease.expiry_boottime != 0) {
      return Fail(absl::StrCat("lease ", id, " is left without an owner"));
    }
    const auto known = known_.find(id);
    if (known == known_.end() || known->second.ended) {
      // Granted to a client that died before it could hear of it: it is listed, and can be
      // released.
      Trace(absl::StrCat("left behind: ", id));
    }
    root.call = Call{"Release", {{"leases", {{{"id", id}}}}}, 0, false, {}, 0};
    Send(root);
    Turn();
    if (!violation_.empty()) return;
  }
  for (int restart = 0; restart < 2; ++restart) {
    for (int i = 0; i < 4; ++i) {
      world_.time().Advance(kSecond);
      node_->Tick();
      Turn();
    }
    if (!violation_.empty()) return;
    // The ledger is the sum of the leases, as every turn checks; so nothing but named slices is it.
    for (const auto& [id, lease] : node_->book().leases()) {
      if (lease.state != LeaseState::kAvailable) {
        return Fail(absl::StrCat("lease ", id, " is there when everything was released"));
      }
    }
    if (restart == 0) {
      Kill(false);
      Start();
      if (node_ == nullptr) return Fail("hetd does not start again");
    }
  }
}

// ---- what is checked ----

void Simulation::TakeAnswers() {
  for (const SimWorld::Answered& answer : world_.TakeAnswers()) {
    for (Client& client : clients_) {
      if (client.connection == answer.connection && client.call) OnAnswer(client, answer.message);
    }
  }
}

void Simulation::OnAnswer(Client& client, const Json& message) {
  const Call call = *std::exchange(client.call, std::nullopt);
  Trace(absl::StrCat(client.process.pid, " is told ", PrintJson(message)));
  if (message.contains("error")) return OnRefused(call, message);
  const Json& parameters = message["parameters"];
  if (call.method == "ListLeases" || call.method == "ListSlices") {
    return CheckRows(client, call, *parameters.begin());
  }
  if (call.repeat) {
    if (parameters != call.expected) {
      Fail(absl::StrCat("a repeat of ", call.method, " was answered differently: ",
                        PrintJson(parameters), ", not ", PrintJson(call.expected)));
    }
    return;
  }
  client.answered.emplace_back(call, parameters);
  const Json& leases = parameters["leases"];
  const std::string transaction = TransactionOf(call.parameters);
  for (const Json& lease : leases) {
    const uint64_t generation = lease["generation"].get<uint64_t>();
    highest_generation_ = std::max(highest_generation_, generation);
  }
  if (call.method == "Acquire" || call.method == "AcquireModel") {
    return OnGranted(client, call, leases);
  }
  for (const Json& lease : leases) {
    const std::string id = lease["id"].get<std::string>();
    const uint64_t generation = lease["generation"].get<uint64_t>();
    uint64_t& known = client.held[id];
    if (generation < known) Fail(absl::StrCat("the generation of lease ", id, " went back"));
    known = generation;
    const auto entry = known_.find(id);
    if (entry == known_.end()) continue;
    if (call.method == "Release" || call.method == "Cancel") {
      entry->second.ended = true;
      client.held.erase(id);
    } else if (call.method == "Confirm" || call.method == "Renew") {
      entry->second.confirmed = true;
      const int64_t ttl_ms = lease.contains("ttlMs") ? lease["ttlMs"].get<int64_t>() : 0;
      entry->second.ttl_ms = ttl_ms;
      // At least so long: it was done after it was asked.
      const auto left = lease.find("expiresInSeconds");
      entry->second.lives_until =
          left == lease.end()
              ? 0
              : call.sent_boottime + static_cast<int64_t>(left->get<double>() * 1e9);
    }
  }
  if (!transaction.empty()) {
    client.transactions.erase(transaction);
    (call.method == "Cancel" ? cancelled_ : confirmed_).insert(transaction);
  }
  if (call.method == "Cancel" && !transaction.empty()) {
    for (auto& [id, known] : known_) {
      if (known.transaction == transaction) known.ended = true;
    }
  }
}

void Simulation::OnGranted(Client& client, const Call& call, const Json& leases) {
  const std::string transaction = TransactionOf(call.parameters);
  for (const Json& lease : leases) {
    ++stats_.granted;
    const std::string id = lease["id"].get<std::string>();
    if (lease["generation"].get<uint64_t>() <= call.seen_generation) {
      Fail(absl::StrCat("the generation of lease ", id, " is not newer than what was seen before"));
    }
    if (known_.contains(id)) Fail(absl::StrCat("lease ", id, " was granted twice"));
    Known& known = known_[id];
    known.uid = client.uid;
    known.holder = lease["holder"] == "process" ? Holder::kProcess : Holder::kManual;
    // It lives with the process that asked first, which may not be the one that heard of it.
    known.process = {static_cast<pid_t>(lease["pid"].get<int64_t>()),
                     lease["startTime"].get<uint64_t>()};
    known.transaction = transaction;
    known.confirmed = lease["state"] == "confirmed";
    known.ending = cancelling_.contains(transaction);
    known.ttl_ms = lease.contains("ttlMs") ? lease["ttlMs"].get<int64_t>() : 0;
    const auto in_book = node_->book().leases().find(id);
    if (in_book == node_->book().leases().end()) {
      known.ended = true;  // its time was over, or its process, before the answer came
      continue;
    }
    known.lives_until = in_book->second.expiry_boottime;
    client.held[id] = lease["generation"].get<uint64_t>();
  }
}

void Simulation::OnRefused(const Call& call, const Json& message) {
  const std::string error = message["error"].get<std::string>();
  if (error == "org.het.v1.Internal" || error == "org.varlink.service.MethodNotFound") {
    Fail(absl::StrCat(call.method, " was answered ", PrintJson(message)));
  }
  if (call.repeat && error != "org.het.v1.Unavailable") {
    Fail(absl::StrCat("a repeat of ", call.method, " was refused: ", PrintJson(message)));
  }
  if (error == "org.het.v1.Unavailable" || call.repeat) return;
  // It will not happen.
  if (call.method != "Release" && call.method != "Cancel") return;
  if (!call.parameters.contains("leases")) return;
  for (const Json& ref : call.parameters["leases"]) {
    const auto known = known_.find(ref["id"].get<std::string>());
    if (known == known_.end() || error == "org.het.v1.NotFound") continue;
    known->second.ending = cancelling_.contains(known->second.transaction);
  }
}

void Simulation::CheckRows(const Client& client, const Call& call, const Json& rows) {
  if (client.admin) return;
  for (const Json& row : rows) {
    if (call.method == "ListLeases" && row["uid"].get<uid_t>() != client.uid) {
      Fail(absl::StrCat("user ", client.uid, " was shown ", PrintJson(row)));
    }
    if (call.method == "ListSlices" && row["state"] != "available") {
      const auto lease = node_->book().leases().find(row["lease"].get<std::string>());
      if (lease == node_->book().leases().end() || lease->second.uid != client.uid) {
        Fail(absl::StrCat("user ", client.uid, " was shown ", PrintJson(row)));
      }
    }
  }
}

void Simulation::Check() {
  if (node_ == nullptr) return;
  CheckLedger();
  CheckTransactions();
  CheckKnown();
}

void Simulation::CheckLedger() {
  const Ledger& ledger = node_->ledger();
  std::map<std::string, Amount> sum;
  std::set<std::string> slices;
  for (const auto& [id, lease] : node_->book().leases()) {
    if (!slices.insert(lease.slice.id).second) {
      Fail(absl::StrCat("slice ", lease.slice.id, " has two leases"));
    }
    const auto booked = ledger.slices().find(lease.slice.id);
    if (booked == ledger.slices().end() || booked->second != lease.slice) {
      Fail(absl::StrCat("lease ", id, " is not in the ledger as it is in the book"));
    }
    Amount& amount = sum[lease.slice.device];
    if (lease.slice.policy != Policy::kBestEffort) amount.share = amount.share + lease.slice.share;
    amount.memory_bytes += lease.slice.memory_bytes;
    if (lease.holder == Holder::kProcess && !world_.IsAlive({lease.pid, lease.start_time})) {
      Fail(absl::StrCat("lease ", id, " belongs to process ", lease.pid, ", which has ended"));
    }
  }
  if (slices.size() != ledger.slices().size()) Fail("the ledger has slices that nobody has leased");
  for (const DeviceInfo& device : ledger.devices()) {
    const Amount& used = sum[device.uuid];
    const Amount free = ledger.FreeOf(device);
    if (used.share.parts() > Share::kWhole || used.memory_bytes > SimWorld::kDeviceBytes) {
      Fail(absl::StrCat("more of ", device.uuid, " is leased than there is"));
    }
    if (device.state == DeviceState::kOk && device.memory_bytes > 0 &&
        (free.share.parts() + used.share.parts() != Share::kWhole ||
         free.memory_bytes + used.memory_bytes != device.memory_bytes)) {
      Fail(absl::StrCat("the ledger of ", device.uuid, " is not the sum of its leases: ",
                        FormatShare(free.share), " free, ", FormatShare(used.share), " leased"));
    }
  }
}

void Simulation::CheckTransactions() {
  std::map<std::pair<uid_t, std::string>, LeaseState> states;
  for (const auto& [id, lease] : node_->book().leases()) {
    if (lease.transaction.empty()) continue;
    const auto [state, first] =
        states.emplace(std::pair(lease.uid, lease.transaction), lease.state);
    if (!first && state->second != lease.state) {
      Fail(absl::StrCat("transaction ", lease.transaction, " is half decided"));
    }
    if (cancelled_.contains(lease.transaction)) {
      Fail(absl::StrCat("transaction ", lease.transaction, " was cancelled and has a lease"));
    }
    if (confirmed_.contains(lease.transaction) && lease.state == LeaseState::kTried) {
      Fail(absl::StrCat("transaction ", lease.transaction, " was confirmed, its lease is not"));
    }
  }
}

bool Simulation::MustLive(const Known& known, const std::set<std::string>& broken) const {
  if (known.ending || known.ended) return false;
  if (known.lives_until != 0 && known.lives_until <= world_.clock().BoottimeNanos()) return false;
  if (known.holder == Holder::kProcess && !world_.IsAlive(known.process)) return false;
  return known.confirmed || known.transaction.empty() || !broken.contains(known.transaction);
}

void Simulation::CheckKnown() {
  std::set<std::string> broken = broken_;
  for (const auto& [id, known] : known_) {
    // What is tried in a transaction ends with the first of it.
    const bool over = known.lives_until != 0 && known.lives_until <= world_.clock().BoottimeNanos();
    if (!known.transaction.empty() && !known.confirmed && over) broken.insert(known.transaction);
  }
  for (const auto& [id, known] : known_) {
    const bool is_there = node_->book().leases().contains(id);
    if (!is_there && MustLive(known, broken)) {
      Fail(absl::StrCat("lease ", id, " was acknowledged and is lost"));
    }
    if (is_there && known.ended) Fail(absl::StrCat("lease ", id, " was given up and is back"));
  }
}

}  // namespace het::daemon
