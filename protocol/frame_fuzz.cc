// Fuzz target: arbitrary bytes, arbitrarily cut, through the frame reader and the parser of every
// message. Finds crashes and the breach of two rules: a frame that was read can be written and read
// again as the same object, and the reader never keeps more than a frame.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "protocol/errors.h"
#include "protocol/frame.h"
#include "protocol/messages.h"

namespace {

using het::Json;
using het::protocol::FrameReader;

void ParseAsEveryMessage(const Json& json) {
  (void)het::protocol::AcquireRequestFromJson(json);
  (void)het::protocol::LeaseChangeFromJson(json);
  (void)het::protocol::ModelRequestFromJson(json);
  (void)het::protocol::ModelPlanFromJson(json);
  (void)het::protocol::DaemonInfoFromJson(json);
  (void)het::protocol::DeviceRowFromJson(json);
  (void)het::protocol::SliceRowFromJson(json);
  (void)het::protocol::LeasesFromJson(json, 0);
  (void)het::protocol::StatusOfReply(json);
}

void WriteAndReadAgain(const Json& json) {
  const auto frame = het::protocol::EncodeFrame(json);
  if (!frame.ok()) return;  // invalid UTF-8 grows when it is replaced
  FrameReader reader;
  reader.Feed(*frame);
  const auto again = reader.Next();
  if (!again.ok() || !again->has_value()) abort();
  if (het::PrintJson(**again) != het::PrintJson(json)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 61;
  absl::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  FrameReader reader;
  while (!rest.empty()) {
    reader.Feed(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
    while (true) {
      const auto frame = reader.Next();
      if (!frame.ok()) return 0;
      if (!frame->has_value()) break;
      ParseAsEveryMessage(**frame);
      WriteAndReadAgain(**frame);
    }
    if (reader.buffered() > het::protocol::kMaxFrameBytes) abort();
  }
  return 0;
}
