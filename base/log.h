// Log: spdlog on stderr, one logger per process. Level from HET_LOG
// (trace|debug|info|warn|error|off), else warn, so that a library is silent in somebody else's
// program.
#ifndef HET_BASE_LOG_H_
#define HET_BASE_LOG_H_

#include <spdlog/spdlog.h>

namespace het {

spdlog::logger& Log();

}  // namespace het

#endif  // HET_BASE_LOG_H_
