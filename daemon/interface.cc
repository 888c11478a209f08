#include "daemon/interface.h"

namespace het::daemon {

const char kInterfaceDescription[] =
    R"(# The node daemon of het: devices, their slices, and who holds them. docs/protocol.md has examples.
interface org.het.v1

type Amount (sharePercent: float, memoryBytes: int)

type Device (
  id: string, vendor: string, name: string, backend: string, driverVersion: ?string, kind: string,
  state: (ok, degraded, unsupported, removed), reason: ?string, remedy: ?string, simulated: bool,
  memoryBytes: int, computeUnits: int, numaNode: int, cores: ?[]int, sharesHardwareWith: ?[]string,
  canSubDivide: bool, memoryBytesPerSecond: ?float, flopsPerSecond: ?float,
  attributes: ?[string]string, freeSharePercent: float, freeMemoryBytes: int
)

# Without a device: hetd chooses so many devices, of that kind where one is named.
type SliceRequest (
  device: ?string, devices: ?int, kind: ?string, sharePercent: float, memoryBytes: int,
  policy: ?string
)

type Slice (
  id: string, lease: string, tenant: string, state: string, device: string, sharePercent: float,
  memoryBytes: int, policy: string, isolation: string, cores: ?[]int, coreParts: ?[]int,
  computeUnits: ?int, placement: ?string
)

type Lease (
  id: string, slice: string, tenant: string, job: ?string, uid: int, pid: int, startTime: int, holder: string,
  state: string, transaction: ?string, isolationAtLeast: ?string, generation: int, ttlMs: ?int,
  expiresInSeconds: ?float, device: string, sharePercent: float, memoryBytes: int, policy: string, isolation: string, cores: ?[]int,
  coreParts: ?[]int, computeUnits: ?int, placement: ?string
)

type LeaseRef (id: string, generation: ?int)

type Layer (weightBytes: int, kvBytes: ?int, flops: ?float, count: ?int)

type Model (name: ?string, layers: []Layer, activationBytes: ?int)

type Stage (
  device: string, lease: ?string, sharePercent: float, memoryBytes: int, begin: int, end: int,
  ms: float
)

type Plan (stages: []Stage, bottleneckMs: float, latencyMs: float, optimal: bool, inFlight: int)

method GetInfo() -> (
  apiVersion: string, version: string, pid: int, uptimeSeconds: float, devices: int, leases: int,
  waiting: int, discovering: bool, storeError: ?string
)
method ListDevices() -> (devices: []Device)
method ListSlices() -> (slices: []Slice)
method ListLeases() -> (leases: []Lease)
method Acquire(
  requestId: ?string, tenant: ?string, job: ?string, holder: ?string, ttlMs: ?int, confirm: ?bool,
  transaction: ?string, isolationAtLeast: ?string, slices: []SliceRequest
) -> (leases: []Lease)
method Confirm(
  requestId: ?string, leases: ?[]LeaseRef, transaction: ?string
) -> (leases: []Lease)
method Cancel(
  requestId: ?string, leases: ?[]LeaseRef, transaction: ?string
) -> (leases: []Lease)
method Release(requestId: ?string, leases: []LeaseRef) -> (leases: []Lease)
method Renew(requestId: ?string, leases: []LeaseRef, ttlMs: ?int) -> (leases: []Lease)
method PlanModel(
  model: Model, objective: ?string, maxSharePercent: ?float
) -> (plan: Plan)
method AcquireModel(
  requestId: ?string, tenant: ?string, job: ?string, holder: ?string, ttlMs: ?int, confirm: ?bool,
  transaction: ?string, isolationAtLeast: ?string, model: Model, objective: ?string, maxSharePercent: ?float, waitMs: ?int
) -> (plan: Plan, leases: []Lease)
method Rescan() -> (devices: int)
method GetTopology() -> (topology: object)
method ListLinks(measure: ?bool) -> (links: []object)
method ListTelemetry() -> (telemetry: []object)
# docs/protocol.md has the order of the fields.
method Report(from: int, to: int) -> (
  node: ?string, ownRowsOnly: ?bool, openHour: ?int, devices: []object, rows: []object
)
method GetStatistics() -> (
  requests: []object, acquireSeconds: object, commitSeconds: object, reclaimed: []object,
  sampleAgeSeconds: ?float
)

error NoCapacity (
  device: ?string, requested: Amount, free: Amount, largestFree: Amount, neverFits: bool,
  message: string
)
error Invalid (field: string, message: string)
error NotFound (message: string)
error NotOwner (message: string)
error StaleGeneration (message: string)
error NotUsable (message: string)
error Unavailable (message: string)
error LimitReached (message: string)
error TimedOut (message: string)
error Internal (message: string)
)";

}  // namespace het::daemon
