#include "daemon/journal.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "partition/shared_pages.h"

namespace het::daemon {
namespace {

constexpr char kJournalSocket[] = "/run/systemd/journal/socket";

struct Kind {
  absl::string_view message_id;
  int priority;  // of syslog
};

Kind KindOf(Event event) {
  switch (event) {
    case Event::kStarted:
      return {"6f3f0a2c6c0f4b2a9d1e5b7c3a8e4d01", 6};
    case Event::kLeaseEnded:
      return {"6f3f0a2c6c0f4b2a9d1e5b7c3a8e4d02", 6};
    case Event::kDeviceUnhealthy:
      return {"6f3f0a2c6c0f4b2a9d1e5b7c3a8e4d03", 4};
    case Event::kDeviceHealthy:
      return {"6f3f0a2c6c0f4b2a9d1e5b7c3a8e4d04", 5};
    case Event::kStoreFailed:
      return {"6f3f0a2c6c0f4b2a9d1e5b7c3a8e4d05", 3};
    case Event::kStoreHealed:
      return {"6f3f0a2c6c0f4b2a9d1e5b7c3a8e4d06", 5};
  }
  return {"", 6};
}

void AppendField(std::string& out, absl::string_view name, absl::string_view value) {
  if (value.find('\n') == absl::string_view::npos) {
    absl::StrAppend(&out, name, "=", value, "\n");
    return;
  }
  // Values with line ends have their length before them, little endian.
  uint64_t size = value.size();
  absl::StrAppend(&out, name, "\n");
  for (int i = 0; i < 8; ++i, size >>= 8) out += static_cast<char>(size & 0xff);
  absl::StrAppend(&out, value, "\n");
}

bool SendToJournal(const std::string& datagram) {
  // Set where stderr is the journal's: then a plain line would be the same twice.
  if (std::getenv("JOURNAL_STREAM") == nullptr) return false;
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, kJournalSocket, sizeof(kJournalSocket));
  return socket.valid() &&
         sendto(socket.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                reinterpret_cast<const sockaddr*>(&address), sizeof(address)) >= 0;
}

}  // namespace

absl::string_view MessageId(Event event) { return KindOf(event).message_id; }

std::string EncodeForJournal(Event event, const std::string& message, const Fields& fields) {
  const Kind kind = KindOf(event);
  std::string datagram;
  AppendField(datagram, "MESSAGE", message);
  AppendField(datagram, "MESSAGE_ID", kind.message_id);
  AppendField(datagram, "PRIORITY", absl::StrCat(kind.priority));
  AppendField(datagram, "SYSLOG_IDENTIFIER", "hetd");
  for (const auto& [name, value] : fields) AppendField(datagram, name, value);
  return datagram;
}

void LogEvent(Event event, const std::string& message, const Fields& fields) {
  if (SendToJournal(EncodeForJournal(event, message, fields))) return;
  const int priority = KindOf(event).priority;
  Log().log(priority <= 3   ? spdlog::level::err
            : priority == 4 ? spdlog::level::warn
                            : spdlog::level::info,
            "{}", message);
}

}  // namespace het::daemon
