// hetd under load: durable transactions, listings, restarts, idle and stopped clients. Its control
// is the disk itself: appending 4 KiB and fdatasync, in the same directory.
//
// A transaction is Acquire (tried), Confirm and Release, each with a request id, each answered
// after its commit. One client is one connection that waits for every answer.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "bench/report.h"
#include "daemon/node.h"
#include "protocol/client.h"
#include "tests/node/sim_disk.h"
#include "tests/node/sim_world.h"

namespace het::bench {
namespace {

namespace fs = std::filesystem;

constexpr char kProbe[] = R"(#!/bin/sh
echo '{"devices":[{"id":"gpu","name":"n","backend":"fake","kind":"gpu","memoryBytes":1099511627776,
  "computeUnits":8,"memoryBytesPerSecond":1e11,"flopsPerSecond":1e12}]}'
)";

double Now() { return static_cast<double>(Clock::Real().MonotonicNanos()) * 1e-9; }

double Percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  const auto at = static_cast<size_t>(part * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

// A real hetd in a directory of its own.
class Hetd {
 public:
  Hetd() {
    char pattern[] = "/tmp/het-bench-XXXXXX";
    directory_ = mkdtemp(pattern);
    std::ofstream(directory_ + "/probe") << kProbe;
    fs::permissions(directory_ + "/probe", fs::perms(0755));
    setenv("HET_PROBE", (directory_ + "/probe").c_str(), 1);
  }
  ~Hetd() {
    if (pid_ > 0) Kill(SIGTERM);
    fs::remove_all(directory_);
  }
  // Seconds until it answers.
  double Start() {
    const double begin = Now();
    pid_ = fork();
    if (pid_ == 0) {
      const int null = open("/dev/null", O_RDWR);
      dup2(null, STDOUT_FILENO);
      execl(HETD_BINARY, HETD_BINARY, "--runtime-dir", (directory_ + "/run").c_str(), "--state-dir",
            (directory_ + "/state").c_str(), "--backends", "fake", nullptr);
      _exit(127);
    }
    while (true) {
      const auto client = protocol::Client::Connect(socket(), 1000);
      if (client.ok()) {
        const auto info = (*client)->GetInfo();
        if (info.ok() && info->pid == static_cast<uint64_t>(pid_)) break;
      }
      usleep(500);
    }
    return Now() - begin;
  }
  void Kill(int signal) {
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::unique_ptr<protocol::Client> Connect() const {
    return *protocol::Client::Connect(socket(), 60'000);
  }
  int ConnectRaw() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
    return fd;
  }
  double CpuSeconds() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/stat"));
    std::string text((std::istreambuf_iterator<char>(file)), {});
    text = text.substr(text.rfind(')') + 2);
    size_t field = 0;
    double ticks = 0;
    for (size_t at = 0; at < text.size(); ++field) {
      const size_t end = std::min(text.find(' ', at), text.size());
      if (field == 11 || field == 12) ticks += std::stod(text.substr(at, end - at));
      at = end + 1;
    }
    return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  double RssMegabytes() const {
    std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
    }
    return 0;
  }
  std::string socket() const { return directory_ + "/run/het.sock"; }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  pid_t pid_ = -1;
};

// One connection that goes round acquire, confirm, release.
class Tenant {
 public:
  Tenant(const Hetd& hetd, int number) : fd_(hetd.ConnectRaw()), number_(number) {}
  ~Tenant() { close(fd_); }
  int fd() const { return fd_; }

  void Send() {
    const std::string id = absl::StrCat("\"requestId\":\"", number_, "/", ++requests_, "\"");
    const std::string name = absl::StrCat("\"transaction\":\"", number_, "/", rounds_, "\"");
    std::string frame;
    if (step_ == 0) {
      frame = absl::StrCat(
          R"({"method":"org.het.v1.Acquire","parameters":{"holder":"manual",)", id, ",", name,
          R"(,"slices":[{"device":"gpu","sharePercent":1,"memoryBytes":1048576}]}})");
    } else if (step_ == 1) {
      frame = absl::StrCat(R"({"method":"org.het.v1.Confirm","parameters":{)", id, ",", name, "}}");
    } else {
      frame = absl::StrCat(R"({"method":"org.het.v1.Release","parameters":{)", id,
                           R"(,"leases":[{"id":")", lease_, R"("}]}})");
    }
    frame.push_back('\0');
    sent_ = Now();
    if (write(fd_, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) std::abort();
    if (step_ == 0) begun_ = sent_;
  }
  // True when a transaction is complete; then the next one begins, if `go_on`.
  bool Receive(std::vector<double>& calls, std::vector<double>& transactions, bool go_on) {
    char block[8192];
    const ssize_t got = read(fd_, block, sizeof(block));
    if (got <= 0) std::abort();
    answer_.append(block, static_cast<size_t>(got));
    if (answer_.back() != '\0') return false;
    const double now = Now();
    calls.push_back((now - sent_) * 1e3);
    if (answer_.find("\"error\"") != std::string::npos) {
      fprintf(stderr, "hetd: %s\n", answer_.c_str());
      std::abort();
    }
    if (step_ == 0) {
      const size_t at = answer_.find("\"id\":\"") + 6;
      lease_ = answer_.substr(at, 36);
    }
    answer_.clear();
    step_ = (step_ + 1) % 3;
    const bool whole = step_ == 0;
    if (whole) {
      ++rounds_;
      transactions.push_back((now - begun_) * 1e3);
    }
    if (!whole || go_on) Send();
    return whole;
  }

 private:
  const int fd_;
  const int number_;
  int step_ = 0;
  uint64_t requests_ = 0;
  uint64_t rounds_ = 0;
  double sent_ = 0;
  double begun_ = 0;
  std::string lease_;
  std::string answer_;
};

struct Load {
  double per_second = 0;
  std::vector<double> calls;         // milliseconds
  std::vector<double> transactions;  // milliseconds
};

int generation = 0;  // of tenants: their request ids are not used twice

Load Drive(const Hetd& hetd, int clients, double seconds) {
  std::vector<std::unique_ptr<Tenant>> tenants;
  std::vector<pollfd> polls;
  for (int i = 0; i < clients; ++i) {
    tenants.push_back(std::make_unique<Tenant>(hetd, ++generation));
    polls.push_back({tenants.back()->fd(), POLLIN, 0});
  }
  Load load;
  for (const auto& tenant : tenants) tenant->Send();
  const double begin = Now();
  uint64_t count = 0;
  double end = 0;
  for (size_t busy = polls.size(); busy > 0;) {
    if (poll(polls.data(), polls.size(), 10'000) <= 0) std::abort();
    for (size_t i = 0; i < polls.size(); ++i) {
      if ((polls[i].revents & POLLIN) == 0) continue;
      const bool go_on = Now() - begin < seconds;
      const bool whole = tenants[i]->Receive(load.calls, load.transactions, go_on);
      if (whole && go_on) {
        ++count;
        end = Now();
      }
      if (whole && !go_on) --busy;
    }
  }
  load.per_second = static_cast<double>(count) / (end - begin);
  return load;
}

// Milliseconds of appending 4 KiB and fdatasync.
std::vector<double> SyncTimes(const std::string& directory, int count) {
  std::vector<double> times;
  const std::string path = directory + "/control";
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  const std::string block(4096, 'x');
  for (int i = 0; i < count; ++i) {
    const double begin = Now();
    if (write(fd, block.data(), block.size()) != 4096 || fdatasync(fd) != 0) std::abort();
    times.push_back((Now() - begin) * 1e3);
  }
  close(fd);
  unlink(path.c_str());
  return times;
}

void Add(Report& report, const char* name, const char* what, const char* unit,
         const std::vector<double>& values, double ratio = 0) {
  Row row{name, what, unit, {}, ratio};
  for (const double value : values) row.samples.Add(value);
  report.Add(row);
}

void Transactions(Report& report) {
  Hetd hetd;
  hetd.Start();
  hetd.Connect()->ListDevices().value();
  std::vector<double> sync_p50, sync_rate, one_rate, one_p99, many_rate, many_p99, many_whole;
  for (int round = 0; round < 5; ++round) {
    const std::vector<double> syncs = SyncTimes(hetd.directory(), 1000);
    sync_p50.push_back(Percentile(syncs, 0.5));
    double sum = 0;
    for (const double ms : syncs) sum += ms;
    sync_rate.push_back(static_cast<double>(syncs.size()) / sum * 1e3);
    const Load one = Drive(hetd, 1, 2);
    one_rate.push_back(one.per_second);
    one_p99.push_back(Percentile(one.calls, 0.99));
    const Load many = Drive(hetd, 64, 3);
    many_rate.push_back(many.per_second);
    many_p99.push_back(Percentile(many.calls, 0.99));
    many_whole.push_back(Percentile(many.transactions, 0.99));
  }
  Samples sync;
  for (const double rate : sync_rate) sync.Add(rate);
  Samples many;
  for (const double rate : many_rate) many.Add(rate);
  Add(report, "disk", "4 KiB + fdatasync p50", "ms", sync_p50);
  Add(report, "disk", "4 KiB + fdatasync", "1/s (control)", sync_rate);
  Add(report, "durable transactions", "1 client", "1/s", one_rate);
  Add(report, "durable transactions", "64 clients", "1/s", many_rate,
      many.median() / sync.median());
  Add(report, "call p99", "1 client", "ms", one_p99);
  Add(report, "call p99", "64 clients", "ms", many_p99);
  Add(report, "transaction p99", "64 clients", "ms", many_whole);
  Samples p99_one, p99_many;
  for (const double ms : one_p99) p99_one.Add(ms);
  for (const double ms : many_p99) p99_many.Add(ms);
  report.Add(Goal{"durable transactions a second, 64 clients", many.median(), 5000, false});
  report.Add(Goal{"p99 of a call with one client, ms", p99_one.median(), 5});
  report.Add(Goal{"p99 of a call with 64 clients, ms", p99_many.median(), 30});
}

// Try and Confirm on a disk in memory.
void WithoutDisk(Report& report) {
  std::vector<double> p50, p99;
  for (int round = 0; round < 5; ++round) {
    daemon::SimWorld world;
    daemon::SimDisk disk(1);
    auto store = *daemon::Store::Open("/sim", world.clock(), disk.vfs());
    daemon::Node node(world, *store, daemon::SimWorld::DiscoveryOptions(), {});
    const daemon::ProcessId process = world.NewProcess();
    world.Open(1);
    if (!node.Begin(world).ok()) std::abort();
    for (int i = 0; i < 20; ++i) {
      world.time().Advance(100'000'000);
      world.Deliver();
      node.Tick();
      node.EndTurn();
    }
    const auto ask = [&](const char* method, Json parameters) {
      node.handler().OnRequest(1, {1000, process, false},
                               {{"method", method}, {"parameters", std::move(parameters)}});
      node.EndTurn();
      const Json answer = world.TakeAnswers().front().message;
      if (answer.contains("error")) std::abort();
      return answer;
    };
    std::vector<double> times;
    for (int i = 0; i < 2000; ++i) {
      const std::string name = absl::StrCat("t", i);
      const double begin = Now();
      ask("org.het.v1.Acquire",
          {{"requestId", "a" + name},
           {"transaction", name},
           {"holder", "manual"},
           {"slices", {{{"device", "gpu-0"}, {"sharePercent", 1u}, {"memoryBytes", 1048576u}}}}});
      const Json confirmed =
          ask("org.het.v1.Confirm", {{"requestId", "c" + name}, {"transaction", name}});
      times.push_back((Now() - begin) * 1e6);
      ask("org.het.v1.Release",
          {{"leases", {{{"id", confirmed["parameters"]["leases"][0]["id"]}}}}});
    }
    p50.push_back(Percentile(times, 0.5));
    p99.push_back(Percentile(times, 0.99));
  }
  Add(report, "try + confirm, disk in memory", "p50", "us", p50);
  Add(report, "try + confirm, disk in memory", "p99", "us", p99);
  Samples samples;
  for (const double us : p99) samples.Add(us);
  report.Add(Goal{"p99 of try + confirm without the disk, us", samples.median(), 200});
}

void AcquireMany(const Hetd& hetd, int count) {
  const auto client = hetd.Connect();
  for (int left = count; left > 0; left -= 50) {
    protocol::AcquireRequest request;
    request.terms.confirm = true;
    SliceRequest slice = {"gpu", Share::OfPercent(1), kMiB, Policy::kBestEffort};
    request.slices.assign(static_cast<size_t>(std::min(left, 50)), slice);
    if (!client->Acquire(request).ok()) std::abort();
  }
}

// Milliseconds until the first page of ListLeases, and until all of it.
std::pair<double, double> ListTimes(const Hetd& hetd) {
  const int fd = hetd.ConnectRaw();
  const std::string frame =
      std::string(R"({"method":"org.het.v1.ListLeases","parameters":{},"more":true})") + '\0';
  const double begin = Now();
  if (write(fd, frame.data(), frame.size()) < 0) std::abort();
  double first = 0;
  std::string page;
  std::vector<char> block(1 << 16);
  while (true) {
    const ssize_t got = read(fd, block.data(), block.size());
    if (got <= 0) std::abort();
    for (ssize_t i = 0; i < got; ++i) {
      if (block[static_cast<size_t>(i)] != '\0') {
        page.push_back(block[static_cast<size_t>(i)]);
        continue;
      }
      if (first == 0) first = Now() - begin;
      if (page.find("\"continues\":true") == std::string::npos) {
        close(fd);
        return {first * 1e3, (Now() - begin) * 1e3};
      }
      page.clear();
    }
  }
}

double CpuPercent(const Hetd& hetd, double seconds) {
  const double before = hetd.CpuSeconds();
  usleep(static_cast<useconds_t>(seconds * 1e6));
  return (hetd.CpuSeconds() - before) / seconds * 100;
}

void Listings(Report& report) {
  Hetd hetd;
  hetd.Start();
  AcquireMany(hetd, 10'000);
  std::vector<int> connections;
  for (int i = 0; i < 1000; ++i) connections.push_back(hetd.ConnectRaw());
  std::vector<double> first, all;
  for (int i = 0; i < 21; ++i) {
    const auto [page, list] = ListTimes(hetd);
    first.push_back(page);
    all.push_back(list);
  }
  const double rss = hetd.RssMegabytes();
  const double cpu = CpuPercent(hetd, 10);
  Add(report, "10,000 leases, 1,000 connections", "first page", "ms", first);
  Add(report, "10,000 leases, 1,000 connections", "all", "ms", all);
  Add(report, "10,000 leases, 1,000 connections", "RSS", "MB", {rss});
  Add(report, "10,000 leases, 1,000 connections", "idle", "% CPU", {cpu});
  report.Add(Goal{"first page of 10,000 leases, ms", Percentile(first, 0.5), 50});
  report.Add(Goal{"all of 10,000 leases, ms", Percentile(all, 0.5), 150});
  report.Add(Goal{"RSS with 10,000 leases and 1,000 connections, MB", rss, 64});
  report.Add(Goal{"idle CPU then, %", cpu, 0.5});
  for (const int fd : connections) close(fd);
}

void Restarts(Report& report) {
  Hetd hetd;
  hetd.Start();
  AcquireMany(hetd, 1000);
  std::vector<double> times;
  for (int i = 0; i < 20; ++i) {
    hetd.Kill(SIGKILL);
    times.push_back(hetd.Start());
    if (hetd.Connect()->ListLeases()->size() != 1000) std::abort();
  }
  Add(report, "restart after kill -9", "1,000 leases", "s", times);
  report.Add(Goal{"restart with 1,000 live leases, s (slowest)",
                  *std::max_element(times.begin(), times.end()), 1});
}

std::vector<double> Pings(const Hetd& hetd, int count) {
  const auto client = hetd.Connect();
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const double begin = Now();
    if (!client->GetInfo().ok()) std::abort();
    times.push_back((Now() - begin) * 1e3);
  }
  return times;
}

std::vector<double> Acquires(const Hetd& hetd, int count) {
  const auto client = hetd.Connect();
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    protocol::AcquireRequest request;
    request.terms.confirm = true;
    request.slices = {{"gpu", Share::OfPercent(1), kMiB, Policy::kBestEffort}};
    const double begin = Now();
    const auto leases = client->Acquire(request);
    times.push_back((Now() - begin) * 1e3);
    if (!leases.ok() || !client->Release({"", {{leases->front().id, 0}}}).ok()) std::abort();
  }
  return times;
}

void IdleAndStopped(Report& report) {
  Hetd hetd;
  hetd.Start();
  hetd.Connect()->ListDevices().value();
  std::vector<int> idle;
  for (int i = 0; i < 4096; ++i) idle.push_back(hetd.ConnectRaw());
  const std::vector<double> pings = Pings(hetd, 1000);
  const double cpu = CpuPercent(hetd, 5);
  for (const int fd : idle) close(fd);
  Add(report, "4,096 idle connections", "ping", "ms", pings);
  Add(report, "4,096 idle connections", "idle", "% CPU", {cpu});
  report.Add(Goal{"ping p99 with 4,096 idle connections, ms", Percentile(pings, 0.99), 100});
  report.Add(Goal{"CPU with 4,096 idle connections, %", cpu, 5});

  std::vector<double> alone = Acquires(hetd, 1000);
  int ready[2];
  if (pipe(ready) != 0) std::abort();
  std::vector<pid_t> children;
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      AcquireMany(hetd, 1);
      (void)!write(ready[1], "y", 1);
      while (true) pause();
    }
    children.push_back(child);
    char byte;
    (void)!read(ready[0], &byte, 1);
  }
  for (const pid_t child : children) kill(child, SIGSTOP);
  // Before and after the others, so that the machine is the same for both.
  const std::vector<double> beside = Acquires(hetd, 1000);
  for (const pid_t child : children) kill(child, SIGKILL);
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  const std::vector<double> again = Acquires(hetd, 1000);
  alone.insert(alone.end(), again.begin(), again.end());
  const double ratio = Percentile(beside, 0.99) / Percentile(alone, 0.99);
  Add(report, "acquire", "alone", "ms", alone);
  Add(report, "acquire", "beside 100 stopped", "ms", beside,
      Percentile(beside, 0.5) / Percentile(alone, 0.5));
  report.Add(Goal{"p99 of acquire beside 100 stopped clients, ratio", ratio, 1.2});
}

constexpr struct {
  const char* name;
  void (*run)(Report&);
} kParts[] = {{"transactions", Transactions},
              {"memory", WithoutDisk},
              {"listings", Listings},
              {"restarts", Restarts},
              {"crowd", IdleAndStopped}};

int Main(int argc, char** argv) {
  std::string only;
  if (argc > 1 && argv[1][0] != '-') {
    only = argv[1];
    argv[1] = argv[0];
    --argc;
    ++argv;
  }
  bool json = false;
  const bool known =
      only.empty() || std::any_of(std::begin(kParts), std::end(kParts),
                                  [&](const auto& part) { return only == part.name; });
  if (!known || !WantsJson(argc, argv, &json)) {
    fprintf(stderr,
            "usage: daemon_load [transactions|memory|listings|restarts|crowd] [-o table|json]\n");
    return 2;
  }
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  Report report("daemon_load");
  for (const auto& part : kParts) {
    if (only.empty() || only == part.name) part.run(report);
  }
  report.Print(json);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
