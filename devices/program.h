// Program and Kernel: code on one device. The source carries several forms; a device takes the best
// it can use.
//
// Portable source is an OpenCL C subset (no fp16 type, no subgroups; vload_half; static local
// arrays; no pointers inside buffers). Arguments are (buffer, byte offset) pairs and then one plain
// struct by value:
//   HET_KERNEL void scale(HET_BUFFER(0), HET_BUFFER(1), struct ScaleParams p) {
//     __global const float* x = HET_PTR(const float, 0); ...
// (the prelude in devices/kernels defines the HET_ macros). Native functions are described in
// het/kernel.h.
//
// Devices of fixed function take neither. A graph is what the vendor's compiler made of a whole
// network (Intel's NPUs); it is one kernel, "graph", of which a launch has a buffer per argument of
// the graph, inputs and outputs in its order, one group, and no parameters. Built-in kernels are in
// the device's driver (OpenCL accelerators), and are known by name; a launch has a buffer per
// argument, at offset 0, and the parameters, if any, as the last one.
#ifndef HET_DEVICES_PROGRAM_H_
#define HET_DEVICES_PROGRAM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ref.h"
#include "het/kernel.h"

namespace het {

class Device;

enum class KernelForm { kNative, kPortable, kGraph, kBuiltIn };

struct NativeKernel {
  std::string name;
  het_native_fn function = nullptr;
};

struct ProgramSource {
  std::string name;                        // for messages and caches
  std::string portable;                    // OpenCL C subset text without the prelude; empty: none
  std::string options;                     // "-DTILE=32 ...": only defines
  std::vector<NativeKernel> native;        // empty: none
  std::string graph = {};                  // the vendor's compiled form; empty: none
  std::vector<std::string> built_in = {};  // names of the driver's kernels; empty: none
};

inline constexpr char kGraphKernel[] = "graph";  // the one kernel of a graph

// One entry point. Owned by its program; immutable; usable from any thread.
class Kernel {
 public:
  virtual ~Kernel() = default;
  const std::string& name() const { return name_; }
  KernelForm form() const { return form_; }

 protected:
  Kernel(std::string name, KernelForm form) : name_(std::move(name)), form_(form) {}

 private:
  const std::string name_;
  const KernelForm form_;
};

class Program : public RefCounted {
 public:
  // The kernel of that name, owned by the program. NotFound names the kernels there are.
  virtual absl::StatusOr<const Kernel*> GetKernel(absl::string_view name) const = 0;
};

}  // namespace het

#endif  // HET_DEVICES_PROGRAM_H_
