// ClProgram: portable text compiled for one device, and its entry points.
//
// Or a choice of the driver's built-in kernels: then an argument is a buffer alone, without an
// offset, which such kernels do not know.
//
// Threads: immutable. Each queue makes its own cl_kernel from it, because the arguments of a
// cl_kernel are state. Failures: InvalidArgument with the compiler's log.
#ifndef HET_DEVICES_OPENCL_PROGRAM_H_
#define HET_DEVICES_OPENCL_PROGRAM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/opencl/api.h"
#include "devices/program.h"

namespace het::opencl {

class ClDevice;
class ClProgram;

class ClKernel final : public Kernel {
 public:
  ClKernel(std::string name, std::string driver_name, KernelForm form, const ClProgram& program,
           uint32_t arguments);

  const ClProgram& program() const { return program_; }
  // What clCreateKernel knows it by.
  const std::string& driver_name() const { return driver_name_; }
  uint32_t arguments() const { return arguments_; }
  // Never the same for two kernels of this process.
  uint64_t serial() const { return serial_; }

 private:
  const std::string driver_name_;
  const ClProgram& program_;
  const uint32_t arguments_;
  const uint64_t serial_;
};

class ClProgram final : public Program {
 public:
  // Takes over `program`.
  ClProgram(ClDevice& device, cl_program program) : device_(device), program_(program) {}

  absl::StatusOr<const Kernel*> GetKernel(absl::string_view name) const override;
  ClDevice& device() const { return device_; }
  cl_program program() const { return program_; }

 private:
  friend absl::StatusOr<Ref<Program>> BuildProgram(ClDevice& device, const ProgramSource& source);
  friend absl::StatusOr<Ref<Program>> ChooseBuiltIn(ClDevice& device, const ProgramSource& source);
  ~ClProgram() override;
  absl::Status FindKernels(const ProgramSource& source, KernelForm form);

  ClDevice& device_;
  const cl_program program_;
  std::vector<std::unique_ptr<ClKernel>> kernels_;  // filled before anybody else sees the program
};

absl::StatusOr<Ref<Program>> BuildProgram(ClDevice& device, const ProgramSource& source);
// The driver's kernels of source.built_in. NotFound names those it has.
absl::StatusOr<Ref<Program>> ChooseBuiltIn(ClDevice& device, const ProgramSource& source);

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_PROGRAM_H_
