#include "engine/error.h"

#include <cstdio>

namespace hetllm {

Exit ExitOf(het_code code) {
  switch (code) {
    case HET_OK:
      return Exit::kOk;
    case HET_NOT_FOUND:
      return Exit::kNotFound;
    case HET_UNAVAILABLE:
      return Exit::kUnreachable;
    case HET_RESOURCE_EXHAUSTED:
      return Exit::kNoCapacity;
    case HET_PERMISSION_DENIED:
    case HET_UNAUTHENTICATED:
      return Exit::kDenied;
    case HET_CANCELLED:
      return Exit::kInterrupted;
    default:
      return Exit::kError;
  }
}

std::string Printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F && byte != '\\') {
      out += c;
    } else {
      char hex[8];
      std::snprintf(hex, sizeof(hex), "\\x%02X", byte);
      out += hex;
    }
  }
  if (text.size() > limit) {
    out += Cat("... (", text.size(), " bytes)");
  }
  return out;
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
                kUnits[unit]);
  return text;
}

}  // namespace hetllm
