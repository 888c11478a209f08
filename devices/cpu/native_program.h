// NativeProgram: a program of native functions, as the cpu and the simulated device run it.
//
// Ownership: reference-counted; it owns its kernels, and queued launches keep it alive. Threads:
// immutable. Errors: InvalidArgument for a kernel without a name or function or a name given twice,
// NotFound (naming the kernels there are) for an unknown kernel.
#ifndef HET_DEVICES_CPU_NATIVE_PROGRAM_H_
#define HET_DEVICES_CPU_NATIVE_PROGRAM_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/program.h"

namespace het::cpu {

class NativeProgram final : public Program {
 public:
  class Entry final : public Kernel {
   public:
    Entry(NativeProgram& program, const NativeKernel& kernel)
        : Kernel(kernel.name, KernelForm::kNative), program_(program), function_(kernel.function) {}
    NativeProgram& program() const { return program_; }
    het_native_fn function() const { return function_; }

   private:
    NativeProgram& program_;
    const het_native_fn function_;
  };

  static absl::StatusOr<Ref<Program>> Make(const ProgramSource& source);
  absl::StatusOr<const Kernel*> GetKernel(absl::string_view name) const override;

  // `kernel` as an entry of such a program; InvalidArgument when another backend built it.
  static absl::StatusOr<const Entry*> EntryOf(const Kernel& kernel);

 private:
  explicit NativeProgram(std::string name) : name_(std::move(name)) {}

  const std::string name_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_NATIVE_PROGRAM_H_
