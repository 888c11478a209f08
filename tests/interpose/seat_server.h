// SeatServer: the owner of an arbiter for tests and benchmarks, in place of hetd: leases, each with
// a socket in a directory of its own where every process that connects is seated. A connection
// that closes is a process that ended: its seat is taken back.
//
// Threads: one of its own, which alone touches the arbiter after Start; the methods lock.
// Failures: the constructor aborts the test with a message when the machine has no memfd or socket.
#ifndef HET_TESTS_INTERPOSE_SEAT_SERVER_H_
#define HET_TESTS_INTERPOSE_SEAT_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "partition/arbiter_host.h"

namespace het::interpose {

class SeatServer {
 public:
  explicit SeatServer(const ArbiterOptions& options = {});
  ~SeatServer();

  // The socket's path, for HET_SEAT_SOCKET.
  struct Offer {
    uint32_t lease = 0;
    std::string socket;
  };
  Offer AddLease(Share share, uint64_t memory, Policy policy = Policy::kGuaranteed);
  void Change(uint32_t lease, Share share, uint64_t memory, Policy policy = Policy::kGuaranteed);
  ArbiterUsage Usage(uint32_t lease);
  void RemoveLease(uint32_t lease);

 private:
  struct Listener {
    int fd;
    uint32_t lease;
    std::string path;
  };
  void Serve();
  void Seat(const Listener& listener);

  std::mutex mutex_;
  std::unique_ptr<ArbiterHost> host_;
  std::string directory_;
  std::vector<Listener> listeners_;
  std::map<int, uint32_t> slots_;  // by connection
  int wake_[2];                    // a pipe: look at the listeners again, or stop
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace het::interpose

#endif  // HET_TESTS_INTERPOSE_SEAT_SERVER_H_
