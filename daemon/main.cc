// hetd: the node daemon. It knows the devices of one machine, cuts them into slices and keeps who
// holds them, over its own death too. It loads no driver and never sees the tenants' data.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "CLI/CLI.hpp"
#include "base/failpoint.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/interface.h"
#include "daemon/prober.h"

namespace het::daemon {
namespace {

// For systemd's RuntimeDirectory= and StateDirectory=, else the system's places.
std::string FromEnvironment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

int Main(int argc, char** argv) {
  DaemonOptions options;
  options.runtime_dir = FromEnvironment("RUNTIME_DIRECTORY", "/run/het");
  options.state_dir = FromEnvironment("STATE_DIRECTORY", "/var/lib/het");
  options.discovery.probe = ProbeBinary();

  CLI::App app("The node daemon of het: devices, their slices, and who holds them");
  app.set_version_flag("--version", std::string("hetd ") + kVersion);
  app.add_option("--runtime-dir", options.runtime_dir, "where het.sock is")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "where the leases are kept")
      ->capture_default_str();
  app.add_option("--simulate", options.discovery.profile,
                 "a profile of simulated devices that join the real ones")
      ->check(CLI::ExistingFile);
  app.add_option("--backends", options.discovery.backends,
                 "only these backends, separated by commas (default: all that were built in)")
      ->delimiter(',');
  std::string config;
  app.add_option("--config", config, "hetd.toml (default: /etc/het/hetd.toml, if it is there)")
      ->check(CLI::ExistingFile);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  // A client that is gone, and a file that may not grow, are errors of a call and not of hetd.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  constexpr char kConfig[] = "/etc/het/hetd.toml";
  if (config.empty() && access(kConfig, R_OK) == 0) config = kConfig;
  if (!config.empty()) {
    auto read = ReadConfig(config);
    if (!read.ok()) {
      fprintf(stderr, "hetd: %s\n", std::string(read.status().message()).c_str());
      return 1;
    }
    options.config = *std::move(read);
    options.discovery.check_ms = options.config.health_interval_ms;
  }
  const char* failpoint = std::getenv("HET_FAILPOINT");  // for tests of what a death leaves
  if (failpoint != nullptr && !DieAtFailpoint(failpoint)) {
    fprintf(stderr, "hetd: HET_FAILPOINT must be a name, or name:count\n");
    return 2;
  }
  auto daemon = Daemon::Start(std::move(options));
  if (!daemon.ok()) {
    fprintf(stderr, "hetd: %s\n", std::string(daemon.status().message()).c_str());
    return 1;
  }
  // The service manager and the journal are told by the daemon itself.
  if (std::getenv("JOURNAL_STREAM") == nullptr) {
    printf("hetd serves %s\n", (*daemon)->socket_path().c_str());
    fflush(stdout);
  }
  (*daemon)->Run();
  return 0;
}

}  // namespace
}  // namespace het::daemon

int main(int argc, char** argv) { return het::daemon::Main(argc, argv); }
