#include "protocol/frame.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::protocol {

absl::StatusOr<std::string> EncodeFrame(const Json& message) {
  std::string frame = PrintJson(message);
  if (frame.size() > kMaxFrameBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a message of ", frame.size(), " bytes; a frame has at most ", kMaxFrameBytes));
  }
  frame.push_back('\0');
  return frame;
}

void FrameReader::Feed(absl::string_view bytes) {
  if (!failure_.ok()) return;
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  buffer_.append(bytes.data(), bytes.size());
}

bool FrameReader::HasFrame() const {
  return !failure_.ok() || buffer_.find('\0', scanned_) != std::string::npos ||
         buffered() > kMaxFrameBytes;
}

absl::Status FrameReader::Fail(absl::Status status) {
  failure_ = std::move(status);
  buffer_.clear();
  begin_ = scanned_ = 0;
  return failure_;
}

absl::StatusOr<std::optional<Json>> FrameReader::Next() {
  if (!failure_.ok()) return failure_;
  const size_t end = buffer_.find('\0', scanned_);
  const size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
  if (length > kMaxFrameBytes) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("a frame of more than ", kMaxFrameBytes, " bytes")));
  }
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  absl::StatusOr<Json> message =
      ParseJson(absl::string_view(buffer_).substr(begin_, length), kMaxFrameDepth);
  if (!message.ok()) return Fail(Annotate(message.status(), "frame"));
  if (!message->is_object()) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("frame: must be a JSON object, is ", message->type_name())));
  }
  begin_ = scanned_ = end + 1;
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = scanned_ = 0;
  }
  return std::optional<Json>(*std::move(message));
}

}  // namespace het::protocol
