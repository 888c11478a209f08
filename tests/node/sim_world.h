// SimWorld: a machine that exists only in a test. Time moves when told, processes live and die when
// told, probes answer what the devices are at that moment, and answers of the node are collected.
// Nothing of it depends on the real machine, so that a run can be repeated exactly.
//
// Threads: one.
#ifndef HET_TESTS_NODE_SIM_WORLD_H_
#define HET_TESTS_NODE_SIM_WORLD_H_

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/answers.h"
#include "daemon/discovery.h"
#include "daemon/environment.h"

namespace het::daemon {

class SimClock final : public Clock {
 public:
  int64_t MonotonicNanos() const override { return monotonic_; }
  int64_t BoottimeNanos() const override { return boottime_; }
  int64_t WallNanos() const override { return wall_; }

  void Advance(int64_t nanos) {
    monotonic_ += nanos;
    boottime_ += nanos;
    wall_ += nanos;
  }
  void Suspend(int64_t nanos) {
    boottime_ += nanos;
    wall_ += nanos;
  }
  void JumpWall(int64_t nanos) { wall_ += nanos; }
  void Reboot() { monotonic_ = boottime_ = 1'000'000'000; }

 private:
  int64_t monotonic_ = 1'000'000'000;
  int64_t boottime_ = 1'000'000'000;
  int64_t wall_ = 1'700'000'000'000'000'000;
};

class SimWorld final : public Environment, public Answers {
 public:
  SimWorld();

  static Discovery::Options DiscoveryOptions() {
    Discovery::Options options;
    options.probe = "probe";
    options.backends = {"sim"};
    return options;
  }

  // ---- what the test does ----
  SimClock& time() { return clock_; }
  ProcessId NewProcess();
  // The node hears of it with the next Deliver, if it watches.
  void End(const ProcessId& process);
  // Every process ends and time starts again.
  void Reboot();
  // What is left of the node's own when it is killed: nothing.
  void ForgetNode();
  // Answers probes whose time has come, and gives the processes that ended and were watched.
  std::vector<ProcessId> Deliver();
  // When the next probe answers; 0: none is under way.
  int64_t NextProbe() const;

  // Devices "gpu-0" to "gpu-<n-1>", each of 16 GiB.
  static constexpr size_t kDevices = 3;
  static constexpr uint64_t kDeviceBytes = uint64_t{16} << 30;
  void SetPresent(size_t device, bool present) { present_[device] = present; }
  bool IsPresent(size_t device) const { return present_[device]; }
  // Probes of the devices hang; `killable`: they end when their time is over.
  void SetHanging(bool hanging, bool killable = true);
  size_t probes_started() const { return probes_started_; }
  size_t probes_hanging() const { return stuck_.size(); }

  struct Answered {
    ConnectionId connection;
    Json message;                // with all rows of a list
    std::vector<Json> messages;  // the frames, of a list
  };
  std::vector<Answered> TakeAnswers() { return std::exchange(answers_, {}); }
  void Open(ConnectionId connection) { open_.insert(connection); }
  void Close(ConnectionId connection) { open_.erase(connection); }
  // Deaths are not told, as if the kernel did not: to see that a checker notices.
  void HideDeaths() { hide_deaths_ = true; }

  // ---- Environment ----
  const Clock& clock() const override { return clock_; }
  std::string NewId() override;
  std::string BootId() const override { return "boot-" + std::to_string(boots_); }
  bool IsAlive(const ProcessId& process) const override { return alive_.contains(process); }
  absl::Status Watch(const ProcessId& process) override;
  void ForgetUnless(const std::function<bool(const ProcessId&)>& keep) override;
  void StartProbe(const ProbeCommand& command, OnProbed done, std::function<void()> gone) override;
  std::vector<DeviceInfo> ScanBus() override { return {}; }

  // ---- Answers ----
  void Answer(ConnectionId connection, const Json& message,
              std::vector<UniqueFd> descriptors) override;
  void AnswerInPages(ConnectionId connection, Stream stream) override;
  bool IsOpen(ConnectionId connection) const override { return open_.contains(connection); }

 private:
  struct Probe {
    int64_t due = 0;
    bool measures = false;
    bool hangs = false;
    bool killable = true;
    int64_t limit_ms = 0;
    OnProbed done;
    std::function<void()> gone;
  };
  std::string Devices(bool measured) const;

  SimClock clock_;
  int boots_ = 1;
  uint64_t ids_ = 0;
  pid_t next_pid_ = 100;
  std::set<ProcessId> alive_;
  std::set<ProcessId> watched_;
  std::deque<ProcessId> ended_;
  std::vector<bool> present_;
  bool hanging_ = false;
  bool killable_ = true;
  bool hide_deaths_ = false;
  size_t probes_started_ = 0;
  std::vector<Probe> probes_;
  std::vector<std::function<void()>> stuck_;  // children that nothing could kill
  std::set<ConnectionId> open_;
  std::vector<Answered> answers_;
};

}  // namespace het::daemon

#endif  // HET_TESTS_NODE_SIM_WORLD_H_
