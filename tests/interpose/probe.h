// What the probes of this folder have in common: their arguments, clocks, and answers as
// "name value" lines.
#ifndef HET_TESTS_INTERPOSE_PROBE_H_
#define HET_TESTS_INTERPOSE_PROBE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

namespace het::interpose {

using Arguments = std::vector<std::string>;
using Modes = std::map<std::string, int (*)(const Arguments&)>;

inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

inline uint64_t Number(const Arguments& arguments, size_t index, uint64_t otherwise) {
  return index < arguments.size() ? std::strtoull(arguments[index].c_str(), nullptr, 10)
                                  : otherwise;
}

inline void Say(const std::string& name, long long value) {
  std::printf("%s %lld\n", name.c_str(), value);
}

// Whoever starts two programs waits until both are ready, and tells them to begin.
inline bool WaitToBegin() {
  std::printf("ready\n");
  std::fflush(stdout);
  char go[8];
  return std::fgets(go, sizeof(go), stdin) != nullptr;
}

// The mode of a name; null, after the usage, where there is none.
inline auto FindMode(const Modes& modes, const std::string& usage, const char* name)
    -> int (*)(const Arguments&) {
  const auto mode = name == nullptr ? modes.end() : modes.find(name);
  if (mode != modes.end()) return mode->second;
  std::fprintf(stderr, "usage: %s; modes:", usage.c_str());
  for (const auto& [known, function] : modes) std::fprintf(stderr, " %s", known.c_str());
  std::fprintf(stderr, "\n");
  return nullptr;
}

}  // namespace het::interpose

#endif  // HET_TESTS_INTERPOSE_PROBE_H_
