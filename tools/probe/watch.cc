#include "tools/probe/watch.h"

#include <signal.h>
#include <unistd.h>

#include <utility>

namespace het::probe {

Json SampleLine(const std::string& backend, Driver& driver) {
  const auto samples = driver.Sample();
  if (!samples.ok()) {
    return {{"backend", backend}, {"unavailable", std::string(samples.status().message())}};
  }
  Json list = Json::array();
  for (const Telemetry& sample : *samples) list.push_back(ToJson(sample));
  return {{"backend", backend}, {"telemetry", std::move(list)}};
}

bool Watch(const std::string& backend, Driver& driver, int every_ms,
           const std::function<bool(const Json&)>& print) {
  signal(SIGPIPE, SIG_IGN);
  bool printed = false;
  while (true) {
    const Json line = SampleLine(backend, driver);
    if (!print(line)) return printed;
    printed = true;
    if (line.contains("unavailable")) return true;
    usleep(static_cast<useconds_t>(every_ms) * 1000);
  }
}

}  // namespace het::probe
