// Wire: the messages between a process and its worker (isolation=process): a header and packed
// fields over a Unix stream socket, one file descriptor beside where a message says so. Both ends
// are of one build and one user, yet what is read is bounded, and a cut message is an error.
#ifndef HET_RUNTIME_ISOLATION_WIRE_H_
#define HET_RUNTIME_ISOLATION_WIRE_H_

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace het::runtime::isolation {

enum class Verb : uint32_t {
  kEnumerate,       // -> devices as JSON
  kOpen,            // uuid, units, cores -> device, info as JSON, capabilities
  kClose,           // device
  kAllocate,        // device, bytes, kind -> buffer
  kFree,            // buffer
  kCreateQueue,     // device, kind, window bytes, + the window's descriptor -> queue
  kDestroyQueue,    // queue
  kBuild,           // device, name, text, options -> program
  kDestroyProgram,  // program
  kFindKernel,      // program, name -> kernel
  kWrite,           // queue, buffer, offset, bytes, place in the window
  kRead,            // the same
  kCopy,            // queue, from, offset, to, offset, bytes
  kFill,            // queue, buffer, offset, bytes, value
  kLaunch,          // queue, kernel, groups, group size, buffers, parameters
  kSync,            // queue
};

inline constexpr uint32_t kMaxPayload = uint32_t{64} << 20;

// `id` 0: nobody waits for an answer. An answer has the id of its request, and a status.
struct Message {
  uint64_t id = 0;
  uint32_t verb = 0;
  absl::Status status;
  std::string payload;
  int descriptor = -1;  // owned by whoever holds the message
};

// Packs fields one after the other.
class Packer {
 public:
  template <typename Value>
  Packer& Put(Value value) {
    static_assert(std::is_trivially_copyable_v<Value>);
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Packer& Text(absl::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    text_.append(text.data(), text.size());
    return *this;
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

// Reads them again; ok() is false when something was missing, and every value is then 0.
class Unpacker {
 public:
  explicit Unpacker(absl::string_view text) : text_(text) {}
  template <typename Value>
  Value Get() {
    Value value{};
    if (text_.size() < sizeof(value)) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, text_.data(), sizeof(value));
    text_.remove_prefix(sizeof(value));
    return value;
  }
  std::string Text() {
    const auto size = Get<uint32_t>();
    if (!ok_ || text_.size() < size) {
      ok_ = false;
      return "";
    }
    std::string text(text_.substr(0, size));
    text_.remove_prefix(size);
    return text;
  }
  bool ok() const { return ok_; }

 private:
  absl::string_view text_;
  bool ok_ = true;
};

// Blocks. One writer at a time.
absl::Status Send(int socket, const Message& message);
// Blocks. Unavailable when the other end is gone.
absl::StatusOr<Message> Receive(int socket);

}  // namespace het::runtime::isolation

#endif  // HET_RUNTIME_ISOLATION_WIRE_H_
