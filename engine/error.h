// Error: how everything in the engine fails: one exception type with a message for the user and the
// exit code of the program. The message says what was asked, what is, and what would work.
//
// Thrown and caught inside the engine only; stage functions and item callbacks (which the library
// calls) translate it to a het_status at that border. Thread-safe as any value.
#ifndef HET_ENGINE_ERROR_H_
#define HET_ENGINE_ERROR_H_

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "het/het.h"

namespace hetllm {

enum class Exit {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kNotFound = 4,
  kUnreachable = 69,
  kNoCapacity = 75,
  kDenied = 77,
  kInterrupted = 130,
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, Exit exit = Exit::kError)
      : std::runtime_error(message), exit_(exit) {}
  Exit exit() const { return exit_; }

 private:
  Exit exit_;
};

// The exit code that fits a code of the library.
Exit ExitOf(het_code code);

// Cat("asked ", 3, " of ", n): its arguments as one text.
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Text from a file, safe to print: at most `limit` bytes, control and invalid bytes as \xNN.
std::string Printable(std::string_view text, size_t limit = 64);

// "1.5 GiB", "37 KiB", "12 B".
std::string FormatBytes(uint64_t bytes);

}  // namespace hetllm

#endif  // HET_ENGINE_ERROR_H_
