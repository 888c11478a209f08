// het-exporter: hetd's numbers for Prometheus, at http://127.0.0.1:9477/metrics.
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "base/clock.h"
#include "httplib.h"
#include "protocol/client.h"
#include "tools/exporter/metrics.h"

namespace het::exporter {
namespace {

struct Options {
  std::string listen = "127.0.0.1:9477";
  std::string socket;
  bool once = false;
};

// The connection and the look before, for the server's threads one after the other.
class Source {
 public:
  explicit Source(std::string socket) : socket_(std::move(socket)) {}

  std::string Scrape(absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    status = Connect();
    if (status.ok()) {
      const auto snapshot = Look(*client_, Clock::Real().MonotonicNanos());
      if (snapshot.ok()) return metrics_.Render(*snapshot);
      status = snapshot.status();
      client_.reset();
    }
    metrics_ = Metrics();  // nothing to compare with
    return Metrics::RenderDown();
  }

 private:
  absl::Status Connect() {
    if (client_ != nullptr) return absl::OkStatus();
    auto client = protocol::Client::Connect(socket_, 5000);
    if (client.ok()) client_ = *std::move(client);
    return client.status();
  }

  const std::string socket_;
  std::mutex mutex_;
  std::unique_ptr<protocol::Client> client_;
  Metrics metrics_;
};

bool SplitAddress(const std::string& text, std::string& host, int& port) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port)) return false;
  host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return port >= 0 && port < 65536 && !host.empty();
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Shows hetd's numbers to Prometheus", "het-exporter");
  app.set_version_flag("--version", std::string("het-exporter ") + HET_VERSION);
  app.add_option("--listen", options.listen, "address and port")->capture_default_str();
  app.add_option("--socket", options.socket,
                 "hetd's socket (default: $HET_SOCKET, then the runtime directory)");
  app.add_flag("--once", options.once, "print the metrics and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Source source(options.socket);
  absl::Status status;
  if (options.once) {
    const std::string text = source.Scrape(status);
    if (!status.ok()) {
      std::fprintf(stderr, "het-exporter: %s\n", std::string(status.message()).c_str());
      return 69;
    }
    std::fputs(text.c_str(), stdout);
    return 0;
  }
  std::string host;
  int port = 0;
  if (!SplitAddress(options.listen, host, port)) {
    std::fprintf(stderr, "het-exporter: --listen \"%s\" is no ADDRESS:PORT\n",
                 options.listen.c_str());
    return 2;
  }
  httplib::Server server;
  server.Get("/metrics", [&source](const httplib::Request&, httplib::Response& response) {
    absl::Status seen;
    response.set_content(source.Scrape(seen), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("het-exporter: see /metrics\n", "text/plain");
  });
  if (port == 0) {
    port = server.bind_to_any_port(host.c_str());
  } else if (!server.bind_to_port(host.c_str(), port)) {
    port = -1;
  }
  if (port < 0) {
    std::fprintf(stderr, "het-exporter: cannot listen at %s\n", options.listen.c_str());
    return 1;
  }
  std::printf("het-exporter serves http://%s:%d/metrics\n", host.c_str(), port);
  std::fflush(stdout);
  return server.listen_after_bind() ? 0 : 1;
}

}  // namespace
}  // namespace het::exporter

int main(int argc, char** argv) { return het::exporter::Main(argc, argv); }
