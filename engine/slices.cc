#include "engine/slices.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "engine/error.h"

namespace hetllm {
namespace {

// An NPU or an OpenCL accelerator may be usable and take none of hetllm's kernels.
bool RunsKernels(const het_device_info& device) {
  return (device.flags & HET_DEVICE_USABLE) != 0 && (device.flags & HET_DEVICE_FIXED_FUNCTION) == 0;
}

constexpr uint64_t kMemoryStep = 1 << 20;  // leases are granted in steps of 1 MiB
constexpr uint32_t kSmallestShare = 100;

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> Split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(Trim(text.substr(0, end)));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

[[noreturn]] void RefuseSpec(std::string_view part, const std::string& why) {
  throw Error(Cat("--slices: '", part, "' ", why,
                  ". Expected DEVICE[:SHARE%[:MEMORY]], for example cpu:50%:1GiB"),
              Exit::kUsage);
}

double Number(std::string_view text, std::string_view* rest) {
  double value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) {
    return -1;
  }
  *rest = Trim(text.substr(static_cast<size_t>(end - text.data())));
  return value;
}

uint32_t ParseShare(std::string_view text, std::string_view part) {
  std::string_view rest;
  const double percent = Number(text, &rest);
  if ((rest != "%" && !rest.empty()) || !(percent >= 1) || percent > 100) {
    RefuseSpec(part, Cat("has the share '", text, "': 1% to 100% are possible"));
  }
  return static_cast<uint32_t>(std::lround(percent)) * 100;
}

bool Matches(const std::string& wanted, const het_device_info& device) {
  const std::string id = Lower(device.id);
  return id == wanted || (wanted.size() >= 4 && id.starts_with(wanted)) ||
         Lower(device.backend) == wanted || Lower(device.name).find(wanted) != std::string::npos ||
         Lower(device.vendor).find(wanted) != std::string::npos;
}

Slice MakeSlice(het::api::Lease lease, const std::vector<het_device_info>& devices) {
  const het_lease_info info = lease.info();
  Slice slice;
  slice.device = info.device;
  slice.backend = info.backend;
  slice.share = info.share;
  for (const het_device_info& device : devices) {
    if (slice.device == device.id) {
      slice.simulated = (device.flags & HET_DEVICE_SIMULATED) != 0;
    }
  }
  const std::string device = slice.simulated          ? Cat("simulated ", info.device_name)
                             : slice.backend == "cpu" ? std::string("cpu")
                                                      : std::string(info.device_name);
  slice.name = Cat(device.substr(0, 32), " ", info.share / 100, "%");
  slice.lease = std::move(lease);
  return slice;
}

// Equal slices get numbers.
void NameApart(std::vector<Slice>& slices) {
  std::map<std::string, int> seen;
  for (Slice& slice : slices) {
    if (const int n = ++seen[slice.name]; n > 1) {
      slice.name += Cat(" #", n);
    }
  }
}

uint64_t MemoryFor(const het_device_info& device, uint64_t wanted) {
  const uint64_t rounded = (wanted + kMemoryStep - 1) / kMemoryStep * kMemoryStep;
  return std::max(kMemoryStep,
                  std::min(rounded, device.free_memory_bytes / kMemoryStep * kMemoryStep));
}

}  // namespace

uint64_t ParseBytes(std::string_view text) {
  static const std::map<std::string, double> kUnits = {{"", 1},
                                                       {"b", 1},
                                                       {"k", 1024.0},
                                                       {"kib", 1024.0},
                                                       {"m", 1048576.0},
                                                       {"mib", 1048576.0},
                                                       {"g", 1073741824.0},
                                                       {"gib", 1073741824.0},
                                                       {"t", 1099511627776.0},
                                                       {"tib", 1099511627776.0},
                                                       {"kb", 1e3},
                                                       {"mb", 1e6},
                                                       {"gb", 1e9},
                                                       {"tb", 1e12}};
  std::string_view rest;
  const double value = Number(text, &rest);
  const auto unit = kUnits.find(Lower(rest));
  if (value <= 0 || unit == kUnits.end() || value * unit->second > 1e18) {
    throw Error(Cat("'", text, "' is no size: expected a number and a unit such as MiB or GiB"),
                Exit::kUsage);
  }
  return static_cast<uint64_t>(value * unit->second);
}

std::vector<SliceSpec> ParseSlices(std::string_view text) {
  std::vector<SliceSpec> specs;
  for (const std::string_view part : Split(text, ',')) {
    const std::vector<std::string_view> fields = Split(part, ':');
    if (fields[0].empty()) {
      RefuseSpec(part, "names no device");
    }
    if (fields.size() > 3) {
      RefuseSpec(part, "has more than three fields");
    }
    SliceSpec spec;
    spec.device = fields[0];
    if (fields.size() > 1) {
      spec.share = ParseShare(fields[1], part);
    }
    if (fields.size() > 2) {
      spec.memory_bytes = ParseBytes(fields[2]);
    }
    specs.push_back(spec);
  }
  return specs;
}

std::string ListDevices(const std::vector<het_device_info>& devices) {
  std::string text;
  for (const het_device_info& device : devices) {
    text += Cat("\n  ", device.id, "  ", device.backend, "  ", device.vendor, " ", device.name);
    if ((device.flags & HET_DEVICE_FIXED_FUNCTION) != 0) {
      text += "  (runs no kernels of hetllm's)";
    } else if ((device.flags & HET_DEVICE_USABLE) == 0) {
      text += Cat("  (", device.state, ": ", device.reason, ")");
    } else {
      text += Cat("  (free: ", device.free_share / 100, "%, ",
                  FormatBytes(device.free_memory_bytes), ")");
    }
  }
  return devices.empty() ? "\n  none" : text;
}

std::string ResolveDevice(std::string_view wanted, const std::vector<het_device_info>& devices) {
  const std::string text = Lower(wanted);
  std::vector<het_device_info> all, usable;
  for (const het_device_info& device : devices) {
    if (Lower(device.id) == text) {
      all = {device};
      break;
    }
    if (Matches(text, device)) {
      all.push_back(device);
    }
  }
  for (const het_device_info& device : all) {
    if (RunsKernels(device)) {
      usable.push_back(device);
    }
  }
  if (usable.size() == 1) {
    return usable[0].id;
  }
  if (usable.size() > 1) {
    throw Error(
        Cat("'", wanted, "' means ", usable.size(),
            " devices; name one by its UUID or a longer part of its name:", ListDevices(usable)),
        Exit::kUsage);
  }
  if (!all.empty()) {
    throw Error(Cat("'", wanted, "' cannot be used now:", ListDevices(all)), Exit::kNotFound);
  }
  throw Error(Cat("there is no device '", wanted, "'; there are:", ListDevices(devices)),
              Exit::kNotFound);
}

std::vector<Slice> AcquireSlices(const het::api::Session& session,
                                 const std::vector<SliceSpec>& specs, uint64_t default_memory) {
  session.Refresh();
  const std::vector<het_device_info> devices = session.Devices();
  std::map<std::string, uint64_t> unsaid;  // slices of a device that share what it has free
  std::vector<het::api::SliceRequest> requests;
  for (const SliceSpec& spec : specs) {
    het::api::SliceRequest request;
    request.device = ResolveDevice(spec.device, devices);
    request.share = spec.share;
    request.memory_bytes = spec.memory_bytes;
    if (spec.memory_bytes == 0) {
      ++unsaid[request.device];
    }
    requests.push_back(request);
  }
  for (het::api::SliceRequest& request : requests) {
    for (const het_device_info& device : devices) {
      if (request.memory_bytes == 0 && request.device == device.id) {
        het_device_info part = device;
        part.free_memory_bytes /= unsaid[request.device];
        request.memory_bytes = MemoryFor(part, default_memory);
        break;
      }
    }
  }
  std::vector<Slice> slices;
  for (het::api::Lease& lease : session.Acquire(requests)) {
    slices.push_back(MakeSlice(std::move(lease), devices));
  }
  NameApart(slices);
  return slices;
}

std::vector<Slice> AcquireDefault(const het::api::Session& session, uint64_t default_memory) {
  session.Refresh();
  const std::vector<het_device_info> devices = session.Devices();
  std::vector<std::pair<std::string, bool>> order;  // usable devices: the native one of a CPU first
  for (const bool native : {true, false}) {
    for (const het_device_info& device : devices) {
      const bool wanted = RunsKernels(device) &&
                          (device.flags & (HET_DEVICE_SIMULATED | HET_DEVICE_VIRTUAL_TIME)) == 0;
      if (wanted && (std::string_view(device.backend) == "cpu") == native) {
        order.emplace_back(device.id, native);
      }
    }
  }
  std::vector<Slice> slices;
  for (const auto& [id, native] : order) {
    session.Refresh();  // what the leases before took of shared hardware
    for (const het_device_info& device : session.Devices()) {
      if (id != device.id || device.free_share < kSmallestShare ||
          device.free_memory_bytes < kMemoryStep) {
        continue;
      }
      het::api::SliceRequest request;
      request.device = id;
      request.share = device.free_share / 100 * 100;
      request.memory_bytes = MemoryFor(device, default_memory);
      try {
        slices.push_back(MakeSlice(session.Acquire(request), devices));
      } catch (const het::api::Error& error) {
        if (error.code() != HET_RESOURCE_EXHAUSTED) {
          throw;
        }  // another program was faster, or shares the hardware: the others do
      }
      break;
    }
  }
  if (slices.empty()) {
    throw Error(Cat("no device has anything free:", ListDevices(devices)), Exit::kNoCapacity);
  }
  NameApart(slices);
  return slices;
}

}  // namespace hetllm
