// Slices: which parts of which devices the engine runs on: the --slices text, the devices it means,
// and the leases.
//
// SPEC is a comma-separated list of DEVICE[:SHARE%[:MEMORY]]. DEVICE is a UUID, the beginning of
// one, a backend's name (cpu, opencl, simulated) or a part of a device's name or vendor, in any
// case. Parsing is pure; acquiring talks to the session. Errors are thrown as Error with the
// devices there are.
#ifndef HET_ENGINE_SLICES_H_
#define HET_ENGINE_SLICES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "het/het.hpp"

namespace hetllm {

struct SliceSpec {
  std::string device;         // as written
  uint32_t share = 10000;     // 1/10000
  uint64_t memory_bytes = 0;  // 0: not said
};

// "cpu:50%:1GiB,opencl:50". Usage error for what cannot be read.
std::vector<SliceSpec> ParseSlices(std::string_view text);
// "512MiB", "1.5 GiB", "4G", "1000000".
uint64_t ParseBytes(std::string_view text);

// The UUID of the one device that `wanted` means. Usable devices go before others; NotFound when
// there is none or it is not usable (with its reason), usage error when several match.
std::string ResolveDevice(std::string_view wanted, const std::vector<het_device_info>& devices);
// One line per device, for messages.
std::string ListDevices(const std::vector<het_device_info>& devices);

// A lease with what it is, as texts that live as long as it.
struct Slice {
  het::api::Lease lease;
  std::string name;  // "cpu 50 %", unique among the slices of a run
  std::string device;
  std::string backend;
  uint32_t share = 0;
  bool simulated = false;
};

// All or none. A spec without memory gets `default_memory`, at most what its device has free.
std::vector<Slice> AcquireSlices(const het::api::Session& session,
                                 const std::vector<SliceSpec>& specs, uint64_t default_memory);
// Every usable device that is not simulated, whole: the cpu backend first, since its kernels are
// native; a device whose hardware one before has taken is left out. Devices that another program
// holds in part give what is free.
std::vector<Slice> AcquireDefault(const het::api::Session& session, uint64_t default_memory);

}  // namespace hetllm

#endif  // HET_ENGINE_SLICES_H_
