#include "tests/soft_drivers/common/settings.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

namespace het::soft {
namespace {

constexpr int64_t kReloadNanos = 2'000'000;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// Cuts the text before the first of `separators` off the front.
std::string_view Next(std::string_view& text, std::string_view separators) {
  const size_t end = text.find_first_of(separators);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return Trim(piece);
}

// Words that outlive the settings: error words are handed out as views.
std::string_view Intern(const std::string& word) {
  static std::mutex mutex;
  static std::set<std::string>* const words = new std::set<std::string>;
  const std::lock_guard lock(mutex);
  return *words->insert(word).first;
}

}  // namespace

Settings::Settings(std::string variable) : variable_(std::move(variable)) {
  if (const char* file = std::getenv((variable_ + "_FILE").c_str()); file != nullptr) file_ = file;
  watches_ = !file_.empty();
  if (const char* text = std::getenv(variable_.c_str()); text != nullptr) Parse(text, content_);
  has_faults_ = !content_.faults.empty();
  const std::lock_guard lock(mutex_);
  ReloadIfChanged();
}

void Settings::Parse(std::string_view text, Content& content) {
  while (!text.empty()) {
    std::string_view entry = Next(text, ";\n");
    if (entry.empty() || entry.front() == '#') continue;
    const std::string key(Next(entry, "="));
    if (key != "fault") {
      content.values[key] = std::string(Trim(entry));
      continue;
    }
    Fault fault;
    fault.point = Next(entry, ":");
    fault.what = Next(entry, ":");
    while (!entry.empty()) {
      std::string_view option = Next(entry, ":");
      const std::string_view name = Next(option, "=");
      if (name == "card") fault.card = std::atoi(std::string(option).c_str());
      if (name == "after") fault.after = std::strtoull(std::string(option).c_str(), nullptr, 10);
    }
    content.faults.push_back(std::move(fault));
  }
}

void Settings::ReloadIfChanged() {
  if (file_.empty()) return;
  const int64_t now = Now();
  if (checked_nanos_ != 0 && now - checked_nanos_ < kReloadNanos) return;
  checked_nanos_ = now;
  std::ifstream file(file_);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text == file_text_) return;
  file_text_ = text;
  Content content;
  if (const char* base = std::getenv(variable_.c_str()); base != nullptr) Parse(base, content);
  Parse(text, content);
  content_ = std::move(content);
  has_faults_ = !content_.faults.empty();
}

std::string Settings::Text(std::string_view key, std::string_view otherwise, int card) const {
  const std::lock_guard lock(mutex_);
  if (card >= 0) {
    const auto own = content_.values.find(std::string(key) + "." + std::to_string(card));
    if (own != content_.values.end()) return own->second;
  }
  const auto found = content_.values.find(key);
  return found == content_.values.end() ? std::string(otherwise) : found->second;
}

uint64_t Settings::Number(std::string_view key, uint64_t otherwise, int card) const {
  const std::string text = Text(key, "", card);
  if (text.empty()) return otherwise;
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  switch (*end) {
    case 'K':
      value *= 1024.0;
      break;
    case 'M':
      value *= 1024.0 * 1024;
      break;
    case 'G':
      value *= 1024.0 * 1024 * 1024;
      break;
    default:
      break;
  }
  return static_cast<uint64_t>(std::llround(value));
}

std::string_view Settings::Due(std::string_view point, int card) {
  const std::lock_guard lock(mutex_);
  ReloadIfChanged();
  for (Fault& fault : content_.faults) {
    if (fault.point != point || (fault.card >= 0 && fault.card != card)) continue;
    if (fault.seen++ >= fault.after) return Intern(fault.what);
  }
  return {};
}

std::string_view Settings::CheckSlowly(std::string_view point, int card) {
  std::string_view what = Due(point, card);
  while (what == "hang") {
    usleep(5000);
    what = Due(point, card);
  }
  if (what == "crash") {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  }
  return what;
}

}  // namespace het::soft
