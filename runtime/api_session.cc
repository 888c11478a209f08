// The C ABI: status, sessions, devices, leases. See include/het/het.h.
#include "absl/time/time.h"
#include "base/status.h"
#include "runtime/api_util.h"
#include "runtime/channel.h"
#include "runtime/isolation/driver.h"
#include "runtime/lease.h"
#include "runtime/session.h"

namespace het::runtime {
namespace {

// Given out when there is no memory to say more; never freed.
het_error& SharedOutOfMemory() {
  static het_error error{HET_RESOURCE_EXHAUSTED, "out of host memory"};
  return error;
}

constexpr size_t kMaxSlices = 4096;

het_device_info Describe(const Session::Row& row) {
  const DeviceInfo& info = *row.info;
  het_device_info out{};
  if (info.simulated) out.flags |= HET_DEVICE_SIMULATED;
  if (info.state == DeviceState::kOk) out.flags |= HET_DEVICE_USABLE;
  if (const auto mode = info.attributes.find("mode");
      info.simulated && mode != info.attributes.end() && mode->second == "timing") {
    out.flags |= HET_DEVICE_VIRTUAL_TIME;
  }
  if (info.attributes.contains("runs")) out.flags |= HET_DEVICE_FIXED_FUNCTION;
  out.compute_units = info.compute_units;
  out.memory_bytes = info.memory_bytes;
  out.free_memory_bytes = row.free.memory_bytes;
  out.free_share = row.free.share.parts();
  out.numa_node = info.numa_node;
  out.memory_bytes_per_s = info.memory_bytes_per_s;
  out.flops_per_s = info.flops_per_s;
  out.id = info.uuid.c_str();
  out.vendor = info.vendor.c_str();
  out.name = info.name.c_str();
  out.backend = info.backend.c_str();
  out.state = DeviceStateName(info.state).data();  // a literal
  out.reason = row.why->c_str();
  return out;
}

het_lease_info Describe(const LeaseHandle& lease) {
  const Lease& grant = lease.grant();
  const DeviceInfo& device = lease.info();
  het_lease_info out{};
  out.memory_limit_bytes = lease.quota().limit();
  out.memory_used_bytes = lease.quota().used();
  out.memory_peak_bytes = lease.quota().peak();
  out.generation = grant.generation;
  out.share = grant.slice.share.parts();
  out.core_count = static_cast<uint32_t>(grant.slice.cores.size());
  out.compute_units = grant.slice.compute_units != 0 ? grant.slice.compute_units
                      : out.core_count != 0          ? out.core_count
                                                     : device.compute_units;
  out.id = grant.id.c_str();
  out.device = device.uuid.c_str();
  out.device_name = device.name.c_str();
  out.vendor = device.vendor.c_str();
  out.backend = device.backend.c_str();
  out.isolation = IsolationName(grant.slice.isolation).data();  // a literal
  return out;
}

}  // namespace

het_status ToCStatus(const absl::Status& status) noexcept {
  if (status.ok()) return nullptr;
  try {
    return new het_error{static_cast<het_code>(status.code()), std::string(status.message())};
  } catch (...) {
    return OutOfMemory();
  }
}

het_status OutOfMemory() noexcept { return &SharedOutOfMemory(); }

absl::Status FromCStatus(het_status status) {
  if (status == nullptr) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status->code), status->message);
}

}  // namespace het::runtime

using namespace het;           // NOLINT: this file is the border, not a header
using namespace het::runtime;  // NOLINT

extern "C" {

het_code het_status_code(het_status status) { return status == nullptr ? HET_OK : status->code; }

const char* het_status_message(het_status status) {
  return status == nullptr ? "" : status->message.c_str();
}

void het_status_free(het_status status) {
  if (status != OutOfMemory()) delete status;
}

het_status het_status_make(het_code code, const char* message) {
  if (code == HET_OK) return nullptr;
  const bool known = code > HET_OK && code <= HET_UNAUTHENTICATED;
  return Guard([&] {
    return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                        Text(message));
  });
}

void het_version(int* major, int* minor) {
  if (major != nullptr) *major = HET_VERSION_MAJOR;
  if (minor != nullptr) *minor = HET_VERSION_MINOR;
}

het_status het_session_open(const het_session_options* options, het_session** session) {
  return Guard([&]() -> absl::Status {
    if (session == nullptr) return NullOutput("session");
    SessionOptions open;
    open.isolate = isolation::IsolatedByEnvironment();
    if (options != nullptr) {
      HET_ASSIGN_OR_RETURN(const het_session_options in, CopyIn(options));
      constexpr uint32_t kKnown = HET_SESSION_EMBEDDED | HET_SESSION_FALLBACK;
      if ((in.flags & ~kKnown) != 0 || (in.flags & kKnown) == kKnown) {
        return absl::InvalidArgumentError(
            absl::StrCat("session flags ", in.flags,
                         ": give HET_SESSION_EMBEDDED, HET_SESSION_FALLBACK or none"));
      }
      if ((in.flags & HET_SESSION_EMBEDDED) != 0) open.mode = SessionOptions::Mode::kEmbedded;
      if ((in.flags & HET_SESSION_FALLBACK) != 0) open.mode = SessionOptions::Mode::kFallback;
      open.socket = Text(in.socket);
      open.simulate = Text(in.simulate);
      open.tenant = Text(in.tenant);
      open.isolate = in.isolate != nullptr ? in.isolate : isolation::IsolatedByEnvironment();
      if (!open.simulate.empty() && in.flags == 0) {
        return absl::InvalidArgumentError(
            "simulated devices of a program's own need an embedded session "
            "(HET_SESSION_EMBEDDED); hetd has --simulate");
      }
    }
    HET_ASSIGN_OR_RETURN(Ref<Session> opened, Session::Open(open));
    *session = ToC<het_session>(std::move(opened));
    return absl::OkStatus();
  });
}

void het_session_close(het_session* session) { ReleaseC<Session>(session); }

int het_session_is_embedded(const het_session* session) {
  const auto handle = FromC<Session>(session);
  return handle.ok() && (*handle)->embedded() ? 1 : 0;
}

het_status het_session_refresh(het_session* session) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(Session * handle, FromC<Session>(session));
    return handle->Refresh();
  });
}

size_t het_session_device_count(const het_session* session) {
  const auto handle = FromC<Session>(session);
  return handle.ok() ? (*handle)->device_count() : 0;
}

het_status het_session_device(const het_session* session, size_t index, het_device_info* info) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const Session* handle, FromC<Session>(session));
    HET_ASSIGN_OR_RETURN(const Session::Row row, handle->device(index));
    return CopyOut(Describe(row), info);
  });
}

het_status het_acquire(het_session* session, const het_slice_request* requests, size_t count,
                       het_lease** leases) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(Session * handle, FromC<Session>(session));
    if (leases == nullptr) return NullOutput("leases");
    if (count == 0 || count > kMaxSlices) {
      return absl::InvalidArgumentError(
          absl::StrCat("asked ", count, " slices; 1 to ", kMaxSlices, " go in one call"));
    }
    HET_RETURN_IF_ERROR(CheckStructSize(requests));
    std::vector<SliceRequest> asked;
    std::vector<Isolation> held_by;
    const auto* at = reinterpret_cast<const char*>(requests);
    for (size_t i = 0; i < count; ++i, at += requests->struct_size) {
      HET_ASSIGN_OR_RETURN(const het_slice_request in,
                           CopyIn(reinterpret_cast<const het_slice_request*>(at)));
      if (in.policy < HET_GUARANTEED || in.policy > HET_BEST_EFFORT) {
        return absl::InvalidArgumentError(absl::StrCat("slices[", i, "].policy is ", in.policy));
      }
      if (in.priority < HET_PRIORITY_NORMAL || in.priority > HET_PRIORITY_BATCH) {
        return absl::InvalidArgumentError(
            absl::StrCat("slices[", i, "].priority is ", in.priority));
      }
      constexpr Priority kPriorities[] = {Priority::kNormal, Priority::kHigh, Priority::kBatch};
      if (in.isolation_at_least < HET_ISOLATION_ANY ||
          in.isolation_at_least > HET_ISOLATION_HARDWARE) {
        return absl::InvalidArgumentError(
            absl::StrCat("slices[", i, "].isolation_at_least is ", in.isolation_at_least));
      }
      constexpr Isolation kIsolations[] = {Isolation::kCooperative, Isolation::kDriver,
                                           Isolation::kHardware};
      asked.push_back({Text(in.device), Share::OfParts(in.share), in.memory_bytes,
                       static_cast<Policy>(in.policy), kPriorities[in.priority], Text(in.name)});
      held_by.push_back(kIsolations[in.isolation_at_least]);
    }
    HET_ASSIGN_OR_RETURN(std::vector<Ref<LeaseHandle>> granted, handle->Acquire(asked, held_by));
    for (size_t i = 0; i < count; ++i) leases[i] = ToC<het_lease>(std::move(granted[i]));
    return absl::OkStatus();
  });
}

void het_lease_release(het_lease* lease) { ReleaseC<LeaseHandle>(lease); }

het_status het_lease_get_info(const het_lease* lease, het_lease_info* info) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const LeaseHandle* handle, FromC<LeaseHandle>(lease));
    return CopyOut(Describe(*handle), info);
  });
}

het_status het_lease_capabilities(het_lease* lease, uint32_t* capabilities) {
  return Guard([&]() -> absl::Status {
    // The bits of the C ABI are the contract's.
    static_assert(
        int{HET_CAN_RUN_NATIVE} == int{kRunsNative} &&
        int{HET_CAN_RUN_PORTABLE} == int{kRunsPortable} &&
        int{HET_CAN_HOST_ADDRESS} == int{kHostAddressable} &&
        int{HET_CAN_WRAP_HOST} == int{kWrapsHostMemory} &&
        int{HET_CAN_NATIVE_HANDLES} == int{kNativeHandles} &&
        int{HET_HAS_VIRTUAL_TIME} == int{kVirtualTime} && int{HET_HAS_NO_DATA} == int{kNoData} &&
        int{HET_CAN_COPY_PEERS} == int{kPeerCopies} &&
        int{HET_HAS_POOL_MEMORY} == int{kPoolMemory} &&
        int{HET_CAN_MULTIPLY_MATRICES} == int{kMultipliesMatrices} &&
        int{HET_CAN_RUN_GRAPHS} == int{kRunsGraphs} &&
        int{HET_CAN_RUN_BUILT_IN} == int{kRunsBuiltIn} && int{HET_CAN_REPLAY} == int{kReplaysWork});
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (capabilities == nullptr) return NullOutput("capabilities");
    HET_ASSIGN_OR_RETURN(const Device* device, handle->device());
    *capabilities = device->capabilities();
    return absl::OkStatus();
  });
}

het_status het_lease_native_handle(het_lease* lease, void** native) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (native == nullptr) return NullOutput("handle");
    HET_ASSIGN_OR_RETURN(const Device* device, handle->device());
    *native = device->native_handle();
    return absl::OkStatus();
  });
}

het_status het_work_begin(het_lease* lease, uint64_t estimate_ns, uint64_t* ticket) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    if (ticket == nullptr) return NullOutput("ticket");
    HET_ASSIGN_OR_RETURN(const Device* device, handle->device());
    HET_ASSIGN_OR_RETURN(*ticket, handle->work().Begin(estimate_ns, device->clock()));
    return absl::OkStatus();
  });
}

het_status het_work_end(het_lease* lease, uint64_t ticket, het_timeline* timeline, uint64_t value) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * handle, FromC<LeaseHandle>(lease));
    HET_ASSIGN_OR_RETURN(const Device* device, handle->device());
    Ref<Timeline> until;
    if (timeline != nullptr) {
      HET_ASSIGN_OR_RETURN(TimelineHandle * given, FromC<TimelineHandle>(timeline));
      until = given->ref();
    }
    return handle->work().End(ticket, until, value, device->clock());
  });
}

het_status het_link_measure(het_lease* from, het_lease* to, uint64_t bytes, double* ms) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(LeaseHandle * source, FromC<LeaseHandle>(from));
    HET_ASSIGN_OR_RETURN(LeaseHandle * destination, FromC<LeaseHandle>(to));
    if (ms == nullptr) return NullOutput("ms");
    HET_ASSIGN_OR_RETURN(*ms, MeasureLink(*source, *destination, bytes));
    return absl::OkStatus();
  });
}

het_status het_calibration_load(het_lease* lease, const char* key, double* values, size_t count,
                                int* found) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const LeaseHandle* handle, FromC<LeaseHandle>(lease));
    if (found == nullptr) return NullOutput("found");
    if (values == nullptr && count > 0) return NullOutput("values");
    const auto stored = handle->session().calibrations().Load(handle->info(), handle->grant().slice,
                                                              Text(key), count);
    if (stored.has_value()) std::copy(stored->begin(), stored->end(), values);
    *found = stored.has_value() ? 1 : 0;
    return absl::OkStatus();
  });
}

het_status het_calibration_store(het_lease* lease, const char* key, const double* values,
                                 size_t count) {
  return Guard([&]() -> absl::Status {
    HET_ASSIGN_OR_RETURN(const LeaseHandle* handle, FromC<LeaseHandle>(lease));
    if (values == nullptr && count > 0) return absl::InvalidArgumentError("values is NULL");
    return handle->session().calibrations().Store(handle->info(), handle->grant().slice, Text(key),
                                                  {values, count});
  });
}

}  // extern "C"
