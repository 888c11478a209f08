// Settings: how a soft driver looks and what goes wrong in it, from an environment variable and, on
// top, from a control file that may change while the process runs.
//
//   HET_SOFT_CUDA="devices=2;memory=8GiB;units=132;name=Test card"
//   HET_SOFT_CUDA_FILE=/path/control        (the same grammar, lines instead of ';')
//
// Entries are key=value. `key.N` is the value of card N alone. Faults are entries of their own, any
// number of them:
//
//   fault=POINT:WHAT[:card=N][:after=N]
//
// POINT is the name of an entry point of the driver ("cuInit"), or "kernel" (a launch that runs),
// or "copy". WHAT is "hang" (the call does not return while the fault is there), "crash" (the
// process dies of SIGSEGV), or an error word of the vendor's: "lost", "oom", "ecc", "illegal",
// "unknown". `after=N` lets N calls pass.
//
// Threads: all members are thread-safe. Costs nothing measurable where there is no control file.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_SETTINGS_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_SETTINGS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace het::soft {

class Settings {
 public:
  // `variable`: "HET_SOFT_CUDA".
  explicit Settings(std::string variable);

  std::string Text(std::string_view key, std::string_view otherwise, int card = -1) const;
  // "8GiB", "512MiB", "1e9", "42".
  uint64_t Number(std::string_view key, uint64_t otherwise, int card = -1) const;

  // To be called at every entry point (card -1: no card is concerned). Hangs or crashes itself;
  // else the error word of the fault that is due, or nothing.
  std::string_view Check(std::string_view point, int card = -1) {
    if (!watches_ && !has_faults_.load(std::memory_order_relaxed)) return {};
    return CheckSlowly(point, card);
  }

 private:
  struct Fault {
    std::string point;
    std::string what;
    int card = -1;
    uint64_t after = 0;
    uint64_t seen = 0;
  };
  struct Content {
    std::map<std::string, std::string, std::less<>> values;
    std::vector<Fault> faults;
  };

  static void Parse(std::string_view text, Content& content);
  std::string_view CheckSlowly(std::string_view point, int card);
  std::string_view Due(std::string_view point, int card);
  void ReloadIfChanged();

  const std::string variable_;
  std::string file_;
  bool watches_ = false;
  std::atomic<bool> has_faults_{false};

  mutable std::mutex mutex_;
  std::string file_text_;
  int64_t checked_nanos_ = 0;
  Content content_;
};

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_SETTINGS_H_
