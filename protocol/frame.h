// Frame: the transport of org.het.v1, as Varlink has it: one JSON object, then one NUL byte. At
// most 64 KiB a frame and 16 levels of nesting. Pure; a reader belongs to one connection and one
// thread.
#ifndef HET_PROTOCOL_FRAME_H_
#define HET_PROTOCOL_FRAME_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"

namespace het::protocol {

inline constexpr size_t kMaxFrameBytes = size_t{64} << 10;  // without the NUL
inline constexpr int kMaxFrameDepth = 16;

// With the NUL. ResourceExhausted when the object does not fit one frame.
absl::StatusOr<std::string> EncodeFrame(const Json& message);

// Cuts a stream of bytes into frames, however the bytes arrive.
class FrameReader {
 public:
  // Never keeps more than one frame beyond what Next has taken plus `bytes`.
  void Feed(absl::string_view bytes);

  // The next whole frame; nullopt when more bytes are needed. InvalidArgument for what is no JSON
  // object, is nested too deep or is longer than a frame may be: the stream cannot be trusted after
  // that, and every later call fails the same way.
  absl::StatusOr<std::optional<Json>> Next();

  // Whether Next would have something to say: a frame, or why there will be none.
  bool HasFrame() const;
  // Bytes of a frame that has not ended yet.
  bool HasPartialFrame() const { return !buffer_.empty(); }
  // Bytes that were fed and not taken.
  size_t buffered() const { return buffer_.size() - begin_; }

 private:
  absl::Status Fail(absl::Status status);

  std::string buffer_;
  size_t begin_ = 0;    // start of the frame that is being read
  size_t scanned_ = 0;  // no NUL in [begin_, scanned_)
  absl::Status failure_;
};

}  // namespace het::protocol

#endif  // HET_PROTOCOL_FRAME_H_
