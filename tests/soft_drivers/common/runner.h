// Program: portable kernels built for PoCL, and how soft drivers run them. The text is built with
// the OpenCL prelude of devices/kernels; addresses of host memory serve as device addresses.
//
// PoCL (libpocl.so.2) is opened directly, beside any OpenCL loader of the process and without the
// loader's layers. One context and one device serve all soft drivers and cards of the process.
//
// Threads: everything here is thread-safe; a Lane belongs to one thread at a time.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_RUNNER_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct _cl_program;
struct _cl_kernel;
struct _cl_command_queue;

namespace het::soft {

struct ArgumentShape {
  bool is_pointer = false;
  uint32_t bytes = 0;
  uint32_t alignment = 1;
};

struct KernelShape {
  std::string name;       // as the source has it
  std::string pocl_name;  // as PoCL has it
  std::vector<ArgumentShape> arguments;

  // Offset of argument `i` in the packed form (Launch::arguments); i == arguments.size(): its size.
  uint32_t OffsetOf(size_t i) const;
};

class Program {
 public:
  // `portable` is the text of a ProgramSource, `options` its -D options. Null: it does not build
  // (or there is no PoCL), and `log` says why.
  static std::shared_ptr<const Program> Build(const std::string& portable,
                                              const std::string& options, std::string& log);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const KernelShape* Find(std::string_view name) const;
  const std::vector<KernelShape>& kernels() const { return kernels_; }

 private:
  friend class Lane;
  explicit Program(_cl_program* handle) : handle_(handle) {}
  bool Inspect(const std::string& portable, std::string& log);

  _cl_program* const handle_;
  std::vector<KernelShape> kernels_;
};

struct Launch {
  std::shared_ptr<const Program> program;
  const KernelShape* kernel = nullptr;
  uint32_t groups[3] = {1, 1, 1};
  uint32_t group_size[3] = {1, 1, 1};
  // The arguments one after the other, each at its natural alignment.
  std::vector<std::byte> arguments;
};

// An in-order PoCL queue. Launches run behind each other; Finish waits for them.
class Lane {
 public:
  Lane();
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Nothing, or why it cannot run.
  std::string Enqueue(const Launch& launch);
  std::string Finish();

 private:
  _cl_command_queue* queue_ = nullptr;
  bool outstanding_ = false;
  std::map<const KernelShape*, std::pair<std::shared_ptr<const Program>, _cl_kernel*>> kernels_;
};

// PoCL's name of the processor ("pthread-AMD EPYC ..."), or nothing where PoCL is not there.
std::string ProcessorName();

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_RUNNER_H_
