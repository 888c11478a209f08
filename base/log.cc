#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>
#include <memory>

namespace het {

spdlog::logger& Log() {
  // Never destroyed: worker threads may still log while the process ends.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("het", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    const char* level = std::getenv("HET_LOG");
    made->set_level(level ? spdlog::level::from_str(level) : spdlog::level::warn);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    return made;
  }();
  return *logger;
}

}  // namespace het
