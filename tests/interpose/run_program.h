// RunProgram: programs of tests/interpose in a shell: the "name value" lines that they print, and
// what a SeatServer sees of those that work until they are told to stop. Programs that are to be
// started together wait for a line on their standard input when they hold their memory.
//
// Failures: false, or -1.
#ifndef HET_TESTS_INTERPOSE_RUN_PROGRAM_H_
#define HET_TESTS_INTERPOSE_RUN_PROGRAM_H_

#include <functional>
#include <map>
#include <string>

#include "tests/interpose/seat_server.h"

namespace het::interpose {

struct Answer {
  int exit = -1;
  std::string text;  // stdout and stderr
  std::map<std::string, long long> values;
};

Answer RunShell(const std::string& command);

// What a process does takes a while on a busy machine; what must be quick says how quick.
bool Eventually(const std::function<bool()>& done, int ms = 20'000);

// Starts the program in the lease, kills it while it works, and says whether its memory and its
// launches are given back within a second.
bool LeavesNothingWhenKilled(SeatServer& server, uint32_t lease, const std::string& command);

// Two programs at work, who must be so for 3 s: the median of three windows.
struct Sharing {
  double first = -1;    // one's part of the device's time that both were charged
  double charged = -1;  // that time over the time that passed
};
Sharing ShareOf(SeatServer& server, const uint32_t (&leases)[2], const std::string (&commands)[2]);

}  // namespace het::interpose

#endif  // HET_TESTS_INTERPOSE_RUN_PROGRAM_H_
