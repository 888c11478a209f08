#include "daemon/methods.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/uuid.h"
#include "daemon/interface.h"
#include "daemon/model_acquire.h"
#include "daemon/placement.h"
#include "partition/refusal.h"
#include "protocol/errors.h"
#include "protocol/frame.h"

namespace het::daemon {
namespace {

using protocol::AcquireRequest;
using protocol::LeaseChange;
using protocol::ModelRequest;

// Rows are packed into a page until it is this full, which leaves room for one more row of any size
// that the messages allow.
constexpr size_t kPageBytes = size_t{40} << 10;

// {"parameters":..} around an answer.
constexpr size_t kEnvelopeBytes = 64;

// A page of the rows that `next` makes, until it gives null.
Page FillPage(const char* field, const std::function<Json()>& next, Json& ahead) {
  Page page;
  Json rows = Json::array();
  size_t bytes = 0;
  while (!ahead.is_null() && (rows.empty() || bytes < kPageBytes)) {
    bytes += PrintJson(ahead).size();
    rows.push_back(std::move(ahead));
    ahead = next();
  }
  page.parameters[field] = std::move(rows);
  page.continues = !ahead.is_null();
  return page;
}

// Pages over the entries of a map that may change between two pages: goes on after the last key. A
// row that is null is left out.
template <typename Map, typename Row>
Stream StreamOf(const char* field, const Map& map, Row row) {
  auto next = [&map, row, last = std::string(), first = true]() mutable -> Json {
    auto it = first ? map.begin() : map.upper_bound(last);
    first = false;
    for (; it != map.end(); ++it) {
      last = it->first;
      Json made = row(it->second);
      if (!made.is_null()) return made;
    }
    return nullptr;
  };
  return [field, next = std::function<Json()>(std::move(next)), ahead = Json(),
          begun = false]() mutable {
    if (!begun) ahead = next();
    begun = true;
    return FillPage(field, next, ahead);
  };
}

// Pages over rows that are made already.
Stream StreamOfRows(const char* field, std::vector<Json> rows) {
  auto next = [rows = std::move(rows), at = size_t{0}]() mutable -> Json {
    return at < rows.size() ? std::move(rows[at++]) : Json();
  };
  return [field, next = std::function<Json()>(std::move(next)), ahead = Json(),
          begun = false]() mutable {
    if (!begun) ahead = next();
    begun = true;
    return FillPage(field, next, ahead);
  };
}

// The same request, whatever the order of its members.
std::string Digest(const Json& parameters) { return UuidFromName(PrintJson(parameters)); }

}  // namespace

Methods::Methods(Ledger& ledger, LeaseBook& book, Arbiters& arbiters, const Clock& clock,
                 Hooks hooks, size_t waiting_per_user)
    : ledger_(ledger),
      book_(book),
      arbiters_(arbiters),
      clock_(clock),
      hooks_(std::move(hooks)),
      started_(clock.MonotonicNanos()),
      line_(waiting_per_user) {}

const std::map<std::string, Methods::Entry, std::less<>>& Methods::Table() {
  constexpr Known kNothing = {};
  constexpr Known kDevices = {true, false};
  constexpr Known kRates = {true, true};
  static const auto* const table = new std::map<std::string, Entry, std::less<>>{
      {"org.het.v1.GetInfo", {&Methods::GetInfo, kNothing}},
      {"org.het.v1.ListDevices", {&Methods::ListDevices, kDevices}},
      {"org.het.v1.ListSlices", {&Methods::ListSlices, kNothing}},
      {"org.het.v1.ListLeases", {&Methods::ListLeases, kNothing}},
      {"org.het.v1.Acquire", {&Methods::Acquire, kDevices}},
      {"org.het.v1.Confirm", {&Methods::Confirm, kNothing}},
      {"org.het.v1.Cancel", {&Methods::Cancel, kNothing}},
      {"org.het.v1.Release", {&Methods::Release, kNothing}},
      {"org.het.v1.Renew", {&Methods::Renew, kNothing}},
      {"org.het.v1.Resize", {&Methods::Resize, kDevices}},
      {"org.het.v1.Drain", {&Methods::Drain, kDevices}},
      {"org.het.v1.CreateSlice", {&Methods::CreateSlice, kDevices}},
      {"org.het.v1.DeleteSlice", {&Methods::DeleteSlice, kNothing}},
      {"org.het.v1.Attach", {&Methods::Attach, kDevices}},
      {"org.het.v1.AttachRegion", {&Methods::AttachRegion, kNothing}},
      {"org.het.v1.PlanModel", {&Methods::PlanModel, kRates}},
      {"org.het.v1.AcquireModel", {&Methods::AcquireModel, kRates}},
      {"org.het.v1.Rescan", {&Methods::Rescan, kNothing}},
      {"org.het.v1.GetTopology", {&Methods::GetTopology, kDevices}},
      {"org.het.v1.ListLinks", {&Methods::ListLinks, kDevices}},
      {"org.het.v1.ListTelemetry", {&Methods::ListTelemetry, kDevices}},
      {"org.het.v1.Report", {&Methods::Report, kNothing}},
      {"org.het.v1.GetStatistics", {&Methods::GetStatistics, kNothing}},
      {"org.varlink.service.GetInfo", {&Methods::ServiceInfo, kNothing}},
      {"org.varlink.service.GetInterfaceDescription", {&Methods::ServiceInterface, kNothing}},
  };
  return *table;
}

bool Methods::Knows(const Known& needs) const {
  return (known_.devices || !needs.devices) && (known_.rates || !needs.rates);
}

void Methods::OnRequest(ConnectionId connection, const Caller& caller, const Json& request) {
  Call call = {connection, caller, "", Json::object()};
  const auto method = JsonString(request, "method");
  if (!method.ok() || method->empty()) {
    return AnswerLater(connection,
                       InvalidField("method", "is missing; it is a method's full name"));
  }
  call.method = *method;
  const auto parameters = request.find("parameters");
  if (parameters != request.end() && !parameters->is_null()) {
    if (!parameters->is_object()) {
      return AnswerLater(connection, InvalidField("parameters", "must be an object"));
    }
    call.parameters = *parameters;
  }
  if (hooks_.statistics != nullptr) {
    hooks_.statistics->Asked(connection, call.method, clock_.MonotonicNanos());
  }
  const auto entry = Table().find(call.method);
  if (entry == Table().end()) {
    Pending pending;
    pending.connection = connection;
    pending.message =
        protocol::ErrorReply(absl::UnimplementedError(absl::StrCat("no method ", call.method)));
    pending.message["parameters"]["method"] = call.method;
    pending_.push_back(std::move(pending));
    return;
  }
  if (Knows(entry->second.needs)) {
    (this->*entry->second.handler)(call);
  } else {
    held_.push_back({std::move(call), entry->second.needs});
  }
}

void Methods::SetKnown(Known known) {
  known_ = known;
  retry_line_ = true;  // new devices may be what somebody waits for
  std::vector<Held> held = std::move(held_);
  held_.clear();
  for (Held& entry : held) {
    if (!answers_->IsOpen(entry.call.connection)) continue;
    if (Knows(entry.needs)) {
      (this->*Table().at(entry.call.method).handler)(entry.call);
    } else {
      held_.push_back(std::move(entry));
    }
  }
}

void Methods::OnGone(ConnectionId connection) {
  line_.Leave(connection);
  if (hooks_.statistics != nullptr) hooks_.statistics->Gone(connection);
}

// ---- listings ----

void Methods::GetInfo(const Call& call) {
  protocol::DaemonInfo info;
  info.version = kVersion;
  info.pid = static_cast<uint64_t>(getpid());
  info.uptime_seconds = static_cast<double>(clock_.MonotonicNanos() - started_) * 1e-9;
  info.devices = ledger_.devices().size();
  info.leases = book_.held();
  info.waiting = line_.size();
  info.discovering = !known_.devices;
  if (!book_.store_status().ok()) info.store_error = std::string(book_.store_status().message());
  AnswerLater(call.connection, ToJson(info));
}

void Methods::ListDevices(const Call& call) {
  auto next = [this, at = size_t{0}]() mutable -> Json {
    if (at >= ledger_.devices().size()) return nullptr;
    const DeviceInfo& device = ledger_.devices()[at++];
    return protocol::ToJson(protocol::DeviceRow{device, ledger_.FreeOf(device)});
  };
  StreamLater(call.connection, [next = std::function<Json()>(std::move(next)), ahead = Json(),
                                begun = false]() mutable {
    if (!begun) ahead = next();
    begun = true;
    return FillPage("devices", next, ahead);
  });
}

// Who is no administrator sees what is theirs, and the named slices that they may acquire.
bool Methods::MaySee(const Caller& caller, const Lease* lease) {
  if (caller.admin) return true;
  return lease != nullptr && (lease->uid == caller.uid || lease->state == LeaseState::kAvailable);
}

void Methods::ListSlices(const Call& call) {
  StreamLater(call.connection, StreamOf("slices", ledger_.slices(),
                                        [this, caller = call.caller](const Slice& slice) -> Json {
                                          const Lease* lease = book_.FindBySlice(slice.id);
                                          if (!MaySee(caller, lease)) return nullptr;
                                          protocol::SliceRow row;
                                          row.slice = slice;
                                          if (lease != nullptr) {
                                            row.state = lease->state;
                                            if (row.state != LeaseState::kAvailable)
                                              row.lease = lease->id;
                                            row.tenant = lease->tenant;
                                            row.usage = arbiters_.UsageOf(*lease);
                                          }
                                          row.slice.cores = ledger_.CoresOf(slice);
                                          if (const auto device = ledger_.FindDevice(slice.device);
                                              device.ok()) {
                                            row.enforcement = EnforcementOf(row.slice, **device);
                                          }
                                          return protocol::ToJson(row);
                                        }));
}

void Methods::ListLeases(const Call& call) {
  StreamLater(call.connection,
              StreamOf("leases", book_.leases(), [this, caller = call.caller](const Lease& lease) {
                return lease.state == LeaseState::kAvailable || !MaySee(caller, &lease)
                           ? Json(nullptr)
                           : ToJson(lease, clock_.BoottimeNanos());
              }));
}

// ---- leases ----

absl::Status Methods::PrepareHolder(const Caller& caller, const protocol::LeaseTerms& terms) {
  if (terms.holder == Holder::kManual || caller.process.pid == 0) return absl::OkStatus();
  return Annotate(hooks_.watch(caller.process), "asked a lease for a process");
}

absl::StatusOr<Json> Methods::GrantedReply(const Caller& caller, const std::vector<Lease>& leases,
                                           Json parameters) {
  parameters["leases"] = protocol::LeasesToJson(leases, clock_.BoottimeNanos());
  if (PrintJson(parameters).size() + kEnvelopeBytes <= protocol::kMaxFrameBytes) return parameters;
  // Nobody could be told what was granted: slices of machines with very many cores.
  protocol::LeaseChange all;
  for (const Lease& lease : leases) all.leases.push_back({lease.id, 0});
  HET_RETURN_IF_ERROR(book_.Release(caller, all).status());
  return InvalidField("slices",
                      absl::StrCat("the answer for ", leases.size(),
                                   " slices does not fit one frame; ask in several calls"));
}

absl::StatusOr<std::vector<SliceRequest>> Methods::Placed(const Caller& caller,
                                                          const AcquireRequest& request) const {
  const bool chosen = std::any_of(request.slices.begin(), request.slices.end(),
                                  [](const SliceRequest& slice) { return slice.devices > 0; });
  if (!chosen) return request.slices;
  const auto topology = TopologyFromJson(hooks_.topology());
  HET_ASSIGN_OR_RETURN(std::vector<SliceRequest> slices,
                       PlaceSlices(request.slices, ledger_, topology.ok() ? *topology : Topology{},
                                   book_.ClosedTo(caller, request.terms)));
  if (slices.size() <= protocol::kMaxSlicesPerRequest) return slices;
  return InvalidField("slices", absl::StrCat("ask for ", slices.size(), " devices, at most ",
                                             protocol::kMaxSlicesPerRequest, " will do"));
}

void Methods::Acquire(const Call& call) {
  const auto request = protocol::AcquireRequestFromJson(call.parameters);
  if (!request.ok()) return AnswerLater(call.connection, request.status());
  if (AnswerRepeat(call, request->terms.request_id)) return;
  absl::StatusOr<Json> reply = [&]() -> absl::StatusOr<Json> {
    HET_RETURN_IF_ERROR(PrepareHolder(call.caller, request->terms));
    HET_ASSIGN_OR_RETURN(const std::vector<SliceRequest> slices, Placed(call.caller, *request));
    HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases,
                         book_.Acquire(call.caller, request->terms, slices));
    return GrantedReply(call.caller, leases, Json::object());
  }();
  Done(call, request->terms.request_id, std::move(reply));
}

void Methods::Change(const Call& call, ChangeFn change) {
  const auto request = protocol::LeaseChangeFromJson(call.parameters);
  if (!request.ok()) return AnswerLater(call.connection, request.status());
  if (AnswerRepeat(call, request->request_id)) return;
  absl::StatusOr<Json> reply = [&]() -> absl::StatusOr<Json> {
    HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases, (book_.*change)(call.caller, *request));
    return Json{{"leases", protocol::LeasesToJson(leases, clock_.BoottimeNanos())}};
  }();
  Done(call, request->request_id, std::move(reply));
}

void Methods::Confirm(const Call& call) { Change(call, &LeaseBook::Confirm); }
void Methods::Cancel(const Call& call) { Change(call, &LeaseBook::Cancel); }
void Methods::Release(const Call& call) { Change(call, &LeaseBook::Release); }
void Methods::Renew(const Call& call) { Change(call, &LeaseBook::Renew); }

// All or none: what was changed is put back when one cannot be.
absl::StatusOr<std::vector<Lease>> Methods::ResizeAll(const Caller& caller,
                                                      const protocol::ResizeRequest& request) {
  LeaseBook::Sizes sizes = {request.share, request.memory_bytes, request.priority};
  HET_ASSIGN_OR_RETURN(const std::vector<Lease> before, book_.Find(caller, {"", request.leases}));
  HET_ASSIGN_OR_RETURN(std::vector<Lease> leases, book_.Resize(caller, request.leases, sizes));
  for (size_t i = 0; i < leases.size(); ++i) {
    const absl::Status changed = arbiters_.Change(leases[i]);
    if (changed.ok()) continue;
    book_.PutBack(before);
    for (size_t j = 0; j < i; ++j) (void)arbiters_.Change(before[j]);
    return Annotate(changed, absl::StrCat("lease ", leases[i].id));
  }
  return leases;
}

void Methods::Resize(const Call& call) {
  const auto request = protocol::ResizeRequestFromJson(call.parameters);
  if (!request.ok()) return AnswerLater(call.connection, request.status());
  if (AnswerRepeat(call, request->request_id)) return;
  absl::StatusOr<Json> reply = [&]() -> absl::StatusOr<Json> {
    HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases, ResizeAll(call.caller, *request));
    return Json{{"leases", protocol::LeasesToJson(leases, clock_.BoottimeNanos())}};
  }();
  Done(call, request->request_id, std::move(reply));
}

void Methods::Drain(const Call& call) {
  AnswerLater(call.connection, [&]() -> absl::StatusOr<Json> {
    if (!call.caller.admin) {
      return absl::PermissionDeniedError("draining a device is for root and the user hetd runs as");
    }
    HET_ASSIGN_OR_RETURN(const std::string device, JsonString(call.parameters, "device"));
    HET_ASSIGN_OR_RETURN(const bool drain, JsonBool(call.parameters, "drain", true));
    HET_RETURN_IF_ERROR(ledger_.SetDraining(device, drain));
    if (!drain) retry_line_ = true;
    return Json::object();
  }());
}

void Methods::CreateSlice(const Call& call) {
  AnswerLater(
      call.connection,
      [&]() -> absl::StatusOr<Json> {
        HET_ASSIGN_OR_RETURN(const SliceRequest request, SliceRequestFromJson(call.parameters));
        HET_ASSIGN_OR_RETURN(const Slice slice, book_.Create(call.caller, request));
        return Json{{"slice", ToJson(slice)}};
      }(),
      /*durable=*/true);
}

void Methods::DeleteSlice(const Call& call) {
  AnswerLater(
      call.connection,
      [&]() -> absl::StatusOr<Json> {
        HET_ASSIGN_OR_RETURN(const std::string name, JsonString(call.parameters, "name"));
        HET_RETURN_IF_ERROR(book_.Delete(call.caller, name));
        return Json::object();
      }(),
      /*durable=*/true);
}

absl::StatusOr<Lease> Methods::LeaseOfCall(const Call& call) const {
  const auto id = JsonString(call.parameters, "lease");
  if (!id.ok() || id->empty()) return InvalidField("lease", "is missing; it is a lease's UUID");
  HET_ASSIGN_OR_RETURN(const std::vector<Lease> found, book_.Find(call.caller, {"", {{*id, 0}}}));
  if (found.front().state != LeaseState::kConfirmed) {
    return absl::FailedPreconditionError(absl::StrCat(
        "lease ", *id, " is ", LeaseStateName(found.front().state), "; confirm it first"));
  }
  return found.front();
}

void Methods::Attach(const Call& call) {
  absl::StatusOr<Arbiters::Seated> seated = absl::UnknownError("");
  const absl::Status status = [&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const Lease lease, LeaseOfCall(call));
    if (call.caller.process.pid == 0) {
      return absl::FailedPreconditionError(
          "hetd cannot see the process that attaches (it has ended, or lives in another pid "
          "namespace)");
    }
    HET_RETURN_IF_ERROR(hooks_.watch(call.caller.process));
    HET_ASSIGN_OR_RETURN(const DeviceInfo* device, ledger_.FindDevice(lease.slice.device));
    seated = arbiters_.Attach(lease, call.caller.process);
    HET_RETURN_IF_ERROR(seated.status());
    AnswerWith(call.connection,
               Json{{"lease", ToJson(lease, clock_.BoottimeNanos())},
                    {"device", ToJson(protocol::DeviceRow{*device, {}})},
                    {"cores", ledger_.CoresOf(lease.slice)},
                    {"seat", std::move(seated->seat)}},
               std::move(seated->descriptors));
    return absl::OkStatus();
  }();
  if (!status.ok()) AnswerLater(call.connection, status);
}

void Methods::AttachRegion(const Call& call) {
  std::vector<UniqueFd> descriptors;
  const absl::Status status = [&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const Lease lease, LeaseOfCall(call));
    HET_ASSIGN_OR_RETURN(const uint64_t region, JsonUint(call.parameters, "region"));
    if (region > UINT32_MAX) return InvalidField("region", "is too large");
    HET_ASSIGN_OR_RETURN(UniqueFd fd, arbiters_.Region(lease, static_cast<uint32_t>(region)));
    descriptors.push_back(std::move(fd));
    return absl::OkStatus();
  }();
  if (!status.ok()) return AnswerLater(call.connection, status);
  AnswerWith(call.connection, Json::object(), std::move(descriptors));
}

// ---- models ----

void Methods::PlanModel(const Call& call) {
  AnswerLater(call.connection, [&]() -> absl::StatusOr<Json> {
    HET_ASSIGN_OR_RETURN(const ModelRequest request,
                         protocol::ModelRequestFromJson(call.parameters));
    HET_ASSIGN_OR_RETURN(const ModelDecision decision, DecideModel(request, ledger_));
    return Json{{"plan", ToJson(decision.plan)}};
  }());
}

absl::StatusOr<Json> Methods::LeaseModel(const Caller& caller, const ModelRequest& request) {
  HET_RETURN_IF_ERROR(PrepareHolder(caller, request.terms));
  HET_ASSIGN_OR_RETURN(ModelDecision decision,
                       DecideModel(request, ledger_, book_.ClosedTo(caller, request.terms)));
  HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases,
                       book_.Acquire(caller, request.terms, decision.slices));
  for (size_t i = 0; i < leases.size(); ++i) decision.plan.stages[i].lease = leases[i].id;
  return GrantedReply(caller, leases, {{"plan", ToJson(decision.plan)}});
}

absl::Status Methods::BehindOthers(const ModelRequest& request) const {
  const absl::Status refusal = DecideModel(request, ledger_).status();
  if (!refusal.ok()) return refusal;
  return NoCapacity(absl::StrCat(line_.size(), " requests wait before this one"), Shortage());
}

void Methods::AcquireModel(const Call& call) {
  const auto request = protocol::ModelRequestFromJson(call.parameters);
  if (!request.ok()) return AnswerLater(call.connection, request.status());
  const std::string& request_id = request->terms.request_id;
  if (AnswerRepeat(call, request_id)) return;
  const bool in_line = request->wait_ms > 0 && line_.first() != nullptr;
  absl::StatusOr<Json> reply =
      in_line ? absl::StatusOr<Json>(BehindOthers(*request)) : LeaseModel(call.caller, *request);
  const std::optional<Shortage> shortage = ShortageOf(reply.status());
  const bool waits = shortage && !shortage->never_fits && request->wait_ms > 0;
  if (!waits) return Done(call, request_id, std::move(reply));
  Waiting waiting;
  waiting.connection = call.connection;
  waiting.caller = call.caller;
  waiting.request = *request;
  waiting.parameters = call.parameters;
  waiting.deadline_monotonic = clock_.MonotonicNanos() + request->wait_ms * 1'000'000;
  waiting.refusal = reply.status();
  const absl::Status joined = line_.Join(std::move(waiting));
  if (!joined.ok()) AnswerLater(call.connection, joined);
}

void Methods::TryFirstInLine() {
  while (Waiting* first = line_.first()) {
    absl::StatusOr<Json> reply = LeaseModel(first->caller, first->request);
    const std::optional<Shortage> shortage = ShortageOf(reply.status());
    if (shortage && !shortage->never_fits) {
      first->refusal = reply.status();
      return;
    }
    const Waiting taken = line_.TakeFirst();
    Done({taken.connection, taken.caller, "org.het.v1.AcquireModel", taken.parameters},
         taken.request.terms.request_id, std::move(reply));
  }
}

void Methods::AnswerOverdue() {
  for (const Waiting& waiting : line_.TakeOverdue(clock_.MonotonicNanos())) {
    const std::optional<Shortage> shortage = ShortageOf(waiting.refusal);
    AnswerLater(waiting.connection, NoCapacity(absl::StrCat("waited ", waiting.request.wait_ms,
                                                            " ms: ", waiting.refusal.message()),
                                               shortage.value_or(Shortage())));
  }
}

// ---- the rest ----

void Methods::Rescan(const Call& call) {
  hooks_.rescan([this, connection = call.connection] {
    AnswerLater(connection, Json{{"devices", static_cast<uint64_t>(ledger_.devices().size())}});
  });
}

void Methods::GetTopology(const Call& call) {
  Json topology = hooks_.topology();
  topology.erase(
      "direct");  // ListLinks has what they mean for devices, in as many frames as needed
  AnswerLater(call.connection, Json{{"topology", std::move(topology)}});
}

void Methods::ListLinks(const Call& call) {
  const auto measure = JsonBool(call.parameters, "measure");
  if (!measure.ok()) return AnswerLater(call.connection, measure.status());
  const auto answer = [this, connection = call.connection] {
    if (answers_->IsOpen(connection))
      StreamLater(connection, StreamOfRows("links", hooks_.links()));
  };
  if (!*measure) return answer();
  hooks_.measure_links(answer);
}

void Methods::ListTelemetry(const Call& call) {
  StreamLater(call.connection, StreamOfRows("telemetry", hooks_.telemetry()));
}

void Methods::Report(const Call& call) {
  absl::StatusOr<Stream> stream = absl::UnavailableError("this hetd keeps no history of usage");
  if (hooks_.report) stream = hooks_.report(call.caller, call.parameters);
  if (!stream.ok()) return AnswerLater(call.connection, stream.status());
  StreamLater(call.connection, *std::move(stream));
}

void Methods::GetStatistics(const Call& call) {
  AnswerLater(call.connection, hooks_.statistics == nullptr
                                   ? Json::object()
                                   : hooks_.statistics->ToJson(clock_.MonotonicNanos()));
}

void Methods::ServiceInfo(const Call& call) {
  AnswerLater(call.connection,
              Json{{"vendor", "het"},
                   {"product", "hetd"},
                   {"version", kVersion},
                   {"url", ""},
                   {"interfaces", Json::array({"org.varlink.service", "org.het.v1"})}});
}

void Methods::ServiceInterface(const Call& call) {
  const auto name = JsonString(call.parameters, "interface");
  if (name.ok() && *name == "org.het.v1") {
    return AnswerLater(call.connection, Json{{"description", std::string(kInterfaceDescription)}});
  }
  AnswerLater(call.connection, InvalidField("interface", "there is: org.het.v1"));
}

// ---- answers ----

bool Methods::AnswerRepeat(const Call& call, const std::string& request_id) {
  if (request_id.empty()) return false;
  const auto reply = book_.FindReply(call.caller.uid, request_id);
  if (!reply.ok()) {
    AnswerLater(call.connection, reply.status());
    return true;
  }
  if (!reply->has_value()) return false;
  if ((*reply)->method != call.method || (*reply)->digest != Digest(call.parameters)) {
    AnswerLater(call.connection,
                InvalidField("requestId", "was used for another request; make a new one"));
    return true;
  }
  // Durable: what it repeats may be of this very turn.
  AnswerLater(call.connection, ParseJson((*reply)->body), /*durable=*/true);
  return true;
}

void Methods::Done(const Call& call, const std::string& request_id,
                   absl::StatusOr<Json> parameters) {
  if (!parameters.ok()) return AnswerLater(call.connection, std::move(parameters));
  if (!request_id.empty()) {
    book_.KeepReply(call.caller.uid, request_id,
                    {call.method, Digest(call.parameters), PrintJson(*parameters)});
  }
  AnswerLater(call.connection, std::move(parameters), /*durable=*/true);
}

void Methods::AnswerLater(ConnectionId connection, absl::StatusOr<Json> parameters, bool durable) {
  Pending pending;
  pending.connection = connection;
  pending.durable = durable;
  if (!parameters.ok() && hooks_.refused) hooks_.refused(parameters.status());
  pending.message = parameters.ok() ? Json{{"parameters", *std::move(parameters)}}
                                    : protocol::ErrorReply(parameters.status());
  pending_.push_back(std::move(pending));
}

void Methods::AnswerWith(ConnectionId connection, Json parameters,
                         std::vector<UniqueFd> descriptors) {
  Pending pending;
  pending.connection = connection;
  pending.message = {{"parameters", std::move(parameters)}};
  pending.descriptors = std::move(descriptors);
  pending_.push_back(std::move(pending));
}

void Methods::StreamLater(ConnectionId connection, Stream stream) {
  Pending pending;
  pending.connection = connection;
  pending.stream = std::move(stream);
  pending_.push_back(std::move(pending));
}

void Methods::Send(Pending pending, const absl::Status& written) {
  if (hooks_.statistics != nullptr) {
    const bool lost = pending.durable && !written.ok();
    hooks_.statistics->Answered(pending.connection,
                                lost ? protocol::ErrorReply(written) : pending.message,
                                clock_.MonotonicNanos());
  }
  if (pending.durable && !written.ok()) {
    answers_->Answer(pending.connection, protocol::ErrorReply(written), {});
  } else if (pending.stream) {
    answers_->AnswerInPages(pending.connection, std::move(pending.stream));
  } else {
    answers_->Answer(pending.connection, pending.message, std::move(pending.descriptors));
  }
}

void Methods::Flush() {
  while (true) {
    absl::Status written;
    if (book_.HasUncommitted()) {
      const int64_t began = clock_.MonotonicNanos();
      written = book_.Commit();
      if (hooks_.statistics != nullptr) {
        hooks_.statistics->Committed(clock_.MonotonicNanos() - began);
      }
    }
    // Before the answers: who reads that a lease has ended finds its seats gone.
    if (changes_seen_ != book_.changes()) {
      changes_seen_ = book_.changes();
      arbiters_.Sync();
    }
    std::vector<Pending> pending = std::move(pending_);
    pending_.clear();
    if (!pending.empty()) Failpoint("answer.before");
    for (Pending& answer : pending) Send(std::move(answer), written);
    if (!pending.empty()) Failpoint("answer.after");
    // With a store that cannot be written nobody in the line can be served.
    const bool may_fit = retry_line_ || freed_seen_ != book_.freed();
    if (!may_fit || line_.first() == nullptr || !written.ok()) return;
    freed_seen_ = book_.freed();
    retry_line_ = false;
    TryFirstInLine();
  }
}

}  // namespace het::daemon
