// HetdProcess: a real hetd in a directory of its own, with devices out of a script in place of
// het-probe (so that tests need no hardware and no driver) or with the real probe.
#ifndef HET_TESTS_DAEMON_HETD_PROCESS_H_
#define HET_TESTS_DAEMON_HETD_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/test_directory.h"
#include "protocol/client.h"

namespace het::daemon {

class HetdProcess {
 public:
  // Two devices: "gpu-a" and "gpu-b", each 16 GiB, 100 GB/s, 1 TFLOP/s.
  HetdProcess();
  ~HetdProcess();

  // The script that stands for het-probe: it is called with --backend NAME.
  void SetProbeScript(const std::string& script, const std::string& backends = "fake");
  void UseRealProbe(const std::string& backends);
  // Starts it and waits until it serves. `extra` goes to its command line.
  void Start(const std::vector<std::string>& extra = {});
  // Sends the signal and waits for the end.
  void Kill(int signal);
  // Starts one that is expected to refuse; what it said on stderr, and its exit code.
  std::string StartAndFail(const std::vector<std::string>& arguments, int* exit_code);

  std::unique_ptr<protocol::Client> Connect() const;
  // A raw connection.
  int ConnectRaw() const;

  pid_t pid() const { return pid_; }
  std::string runtime_dir() const { return directory_.path() + "/run"; }
  std::string state_dir() const { return directory_.path() + "/state"; }
  std::string socket() const { return runtime_dir() + "/het.sock"; }
  TestDirectory& directory() { return directory_; }

 private:
  pid_t Spawn(const std::vector<std::string>& arguments, int stderr_fd) const;

  TestDirectory directory_;
  std::string probe_;
  std::string backends_;
  pid_t pid_ = -1;
};

protocol::AcquireRequest AcquireOf(const std::string& device, uint32_t percent, uint64_t bytes,
                                   Holder holder = Holder::kManual, int64_t ttl_ms = 0);
protocol::LeaseChange ChangeOf(const Lease& lease, uint64_t generation = 0);

// Polls `done` for at most `ms`.
bool Eventually(const std::function<bool()>& done, int64_t ms = 10'000);

}  // namespace het::daemon

#endif  // HET_TESTS_DAEMON_HETD_PROCESS_H_
