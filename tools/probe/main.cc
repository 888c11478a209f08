// het-probe: what devices one backend sees, as one JSON object on stdout. hetd runs one per
// backend, with a time limit, so that a driver that hangs or crashes takes only its probe along.
//
//   het-probe --list                      {"backends":["cpu",..]}
//   het-probe --backend NAME              {"backend":"cpu","devices":[..]}
//                                      or {"backend":"opencl","unavailable":"reason"}
//   het-probe --backend NAME --telemetry  {"backend":"cpu","telemetry":[..]}: the sensors, once
//   het-probe --backend NAME --watch MS   such a line every MS milliseconds, until stdout is closed
//   het-probe --links FROM,TO             {"links":[..]}: between the devices of two backends
//   het-probe --topology                  {"topology":{..}}: the machine's tree, through hwloc
//   --measure        also measures bandwidth and compute of each device
//   --xml FILE       the tree of another machine, as hwloc wrote it
//   --profile FILE   the profile of simulated devices
//   --served         takes its arguments from the connection that is its stdin (relay.h)
//
// Exit code 0 with an answer, 2 for wrong usage. What a driver prints goes to stderr. It ends when
// nobody reads stdout any more: no hetd leaves one behind.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/json.h"
#include "base/log.h"
#include "devices/machine/read_machine.h"
#include "devices/registry.h"
#include "tools/probe/measure_device.h"
#include "tools/probe/measure_links.h"
#include "tools/probe/relay.h"
#include "tools/probe/watch.h"

namespace het::probe {
namespace {

struct Options {
  bool list = false;
  std::string backend;
  std::string profile;
  bool measure = false;
  bool telemetry = false;
  int watch_ms = 0;
  std::vector<std::string> links;  // two backends
  bool topology = false;
  std::string xml;
};

constexpr int kBetweenSamplesMs = 100;  // power and utilisation are differences

DriverOptions OptionsFor(const Options& options) {
  DriverOptions driver_options;
  if (!options.profile.empty()) driver_options.settings["profile"] = options.profile;
  return driver_options;
}

Json Unavailable(const Options& options, const absl::Status& status) {
  return {{"backend", options.backend}, {"unavailable", std::string(status.message())}};
}

Json Probe(const Options& options) {
  const auto driver = CreateDriver(options.backend, OptionsFor(options));
  if (!driver.ok()) return Unavailable(options, driver.status());
  auto devices = (*driver)->Enumerate();
  if (!devices.ok()) return Unavailable(options, devices.status());
  Json list = Json::array();
  for (DeviceInfo& device : *devices) {
    if (options.measure) {
      const absl::Status measured = MeasureDevice(**driver, device);
      if (!measured.ok()) Log().info("{} is not measured: {}", device.name, measured.ToString());
    }
    list.push_back(ToJson(device));
  }
  return {{"backend", options.backend}, {"devices", std::move(list)}};
}

Json Sensors(const Options& options) {
  const auto driver = CreateDriver(options.backend, OptionsFor(options));
  if (!driver.ok()) return Unavailable(options, driver.status());
  (void)(*driver)->Sample();
  usleep(kBetweenSamplesMs * 1000);
  return SampleLine(options.backend, **driver);
}

Json Links(const Options& options) {
  const auto from = CreateDriver(options.links[0], OptionsFor(options));
  if (!from.ok()) return {{"unavailable", std::string(from.status().message())}};
  absl::StatusOr<std::unique_ptr<Driver>> other = absl::UnknownError("one driver");
  if (options.links[0] != options.links[1]) {
    other = CreateDriver(options.links[1], OptionsFor(options));
    if (!other.ok()) return {{"unavailable", std::string(other.status().message())}};
  }
  const auto links = MeasureLinks(**from, other.ok() ? **other : **from);
  if (!links.ok()) return {{"unavailable", std::string(links.status().message())}};
  Json list = Json::array();
  for (const MeasuredLink& link : *links) list.push_back(ToJson(link));
  return {{"links", std::move(list)}};
}

Json Machine(const Options& options) {
  const auto topology = ReadMachine(options.xml);
  if (!topology.ok()) return {{"unavailable", std::string(topology.status().message())}};
  return {{"topology", ToJson(*topology)}};
}

Json Answer(const Options& options) {
  if (!options.links.empty()) return Links(options);
  if (options.topology) return Machine(options);
  if (options.backend.empty()) return {{"backends", BackendNames()}};
  return options.telemetry ? Sensors(options) : Probe(options);
}

// The answer's own descriptor; file descriptor 1 becomes stderr for the drivers.
int TakeStdout() {
  const int answer = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (answer >= 0) dup2(STDERR_FILENO, STDOUT_FILENO);
  return answer;
}

bool Print(int descriptor, const Json& json) {
  const std::string text = PrintJson(json) + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = write(descriptor, text.data() + done, text.size() - done);
    if (wrote <= 0) return false;
    done += static_cast<size_t>(wrote);
  }
  return true;
}

int Main(std::vector<std::string> arguments) {
  Options options;
  CLI::App app("Prints the devices that one backend sees, as JSON");
  auto* what = app.add_option_group("what");
  what->add_flag("--list", options.list, "print the backends that were built in");
  what->add_option("--backend", options.backend, "the backend to look at");
  what->add_option("--links", options.links, "two backends: measure the links between them")
      ->delimiter(',')
      ->expected(2);
  what->add_flag("--topology", options.topology, "print where the machine's devices sit");
  what->require_option(1);
  app.add_option("--xml", options.xml, "another machine's hwloc file, for --topology")
      ->check(CLI::ExistingFile);
  app.add_flag("--telemetry", options.telemetry, "print what the sensors say");
  app.add_option("--watch", options.watch_ms, "print what the sensors say every MS milliseconds")
      ->check(CLI::Range(1, 3'600'000));
  app.add_option("--profile", options.profile, "profile file of simulated devices");
  app.add_flag("--measure", options.measure, "measure bandwidth and compute of each device");
  try {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const int answer = TakeStdout();
  if (answer < 0) return 1;
  EndWithReader(answer);
  bool printed = false;
  if (options.watch_ms > 0 && !options.backend.empty()) {
    const auto driver = CreateDriver(options.backend, OptionsFor(options));
    printed = driver.ok() ? Watch(options.backend, **driver, options.watch_ms,
                                  [answer](const Json& line) { return Print(answer, line); })
                          : Print(answer, Unavailable(options, driver.status()));
  } else {
    printed = Print(answer, Answer(options));
  }
  // Not through the drivers' destructors: some hang or crash in them, and the answer is out.
  fflush(nullptr);
  _exit(printed ? 0 : 1);
}

}  // namespace
}  // namespace het::probe

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments == std::vector<std::string>{"--served"}) {
    auto sent = het::probe::TakeArguments();
    if (!sent.ok()) {
      fprintf(stderr, "het-probe: %s\n", std::string(sent.status().message()).c_str());
      return 2;
    }
    return het::probe::Main(*std::move(sent));
  }
  const char* service = std::getenv("HET_PROBE_SOCKET");
  if (service != nullptr && *service != '\0') return het::probe::AskService(service, arguments);
  return het::probe::Main(std::move(arguments));
}
