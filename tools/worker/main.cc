// het-worker: a backend's driver in a process of its own, for programs that isolate it
// (HET_ISOLATE). Started by libhet, never by hand; it ends with the socket it is given.
#include <poll.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "devices/registry.h"
#include "runtime/isolation/wire.h"
#include "runtime/isolation/worker.h"

namespace het {
namespace {

// The first call is answered with the reason.
void Refuse(int socket, const absl::Status& status) {
  auto message = runtime::isolation::Receive(socket);
  if (!message.ok()) return;
  runtime::isolation::Message answer;
  answer.id = message->id;
  answer.status = status;
  (void)runtime::isolation::Send(socket, answer);
}

// Also while the driver hangs in a call. (Not PR_SET_PDEATHSIG: that is the death of the thread
// that started this process, and not of its program.)
void EndWithTheSocket(int socket) {
  std::thread([socket] {
    pollfd hangup = {socket, POLLRDHUP, 0};
    while (poll(&hangup, 1, -1) <= 0) {
    }
    _exit(0);
  }).detach();
}

int Main(int argc, char** argv) {
  std::string backend;
  std::vector<std::string> settings;
  DriverOptions options;
  int socket = -1;
  CLI::App app("Runs one backend's driver for another process");
  app.add_option("--backend", backend, "the backend")->required();
  app.add_option("--fd", socket, "the socket to serve")->required();
  app.add_option("--setting", settings, "key=value of the driver");
  app.add_option("--cores", options.cores, "processors for the driver's threads")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  EndWithTheSocket(socket);
  for (const std::string& setting : settings) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(setting, absl::MaxSplits('=', 1));
    options.settings[parts.first] = parts.second;
  }
  const auto driver = CreateDriver(backend, options);
  if (driver.ok()) {
    runtime::isolation::Serve(socket, **driver);
  } else {
    Refuse(socket, driver.status());
  }
  // Not through the driver's destructors: some hang or crash in them.
  _exit(0);
}

}  // namespace
}  // namespace het

int main(int argc, char** argv) { return het::Main(argc, argv); }
