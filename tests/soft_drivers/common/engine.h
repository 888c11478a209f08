// Engine: the state of one soft driver: cards with memory and a health, streams over them, events.
// What is left to each vendor are the names and numbers of its entry points.
//
// Threads: all members are thread-safe. An engine is never destroyed: streams may run at exit.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_ENGINE_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_ENGINE_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/soft_drivers/common/memory.h"
#include "tests/soft_drivers/common/settings.h"
#include "tests/soft_drivers/common/stream.h"

namespace het::soft {

enum class Trouble : int {
  kNone,
  kOutOfMemory,
  kNoDevice,
  kMismatch,  // the library does not belong to the kernel's driver
  kUnknown,
  // These break a card for good: every later call on it gives them.
  kLost,
  kEcc,
  kIllegalAddress,
  kTimeout,
  kLaunchFailed,
};

// "oom", "nodevice", "mismatch", "lost", "ecc", "illegal", "timeout"; nothing is kNone.
Trouble TroubleOf(std::string_view word);

class Engine {
 public:
  // `name`: of the library, for messages on stderr. `variable`: of the settings.
  Engine(std::string name, std::string variable)
      : settings(std::move(variable)), name_(std::move(name)) {}

  // `number`: the card's own in the settings, in whatever order the cards are shown.
  void AddCard(int number, uint64_t memory_bytes);
  int cards() const { return static_cast<int>(cards_.size()); }
  bool IsCard(int card) const { return card >= 0 && card < cards(); }
  int number(int card) const { return cards_[card].number; }

  // At the head of every entry point: the fault that is due there, or what broke the card (index;
  // -1: no card is concerned).
  Trouble Check(const char* point, int card = -1);
  Trouble broken(int card) const { return cards_[card].broken.load(std::memory_order_relaxed); }

  // Whether work on `card` may touch the bytes: its own, pinned, or an allowed peer's.
  bool Reaches(int card, const void* address, uint64_t bytes = 1) const;
  void AllowPeer(int card, int peer);

  // A stream whose launches are checked for addresses and faults.
  std::unique_ptr<Stream> NewStream(int card);
  // Waits for all work of the card, as freeing memory outside a pool does.
  void Synchronize(int card);
  // Queues a copy or a fill.
  void Move(Stream& stream, int card, std::function<void()> work);

  Settings settings;
  Memory memory;

 private:
  struct Card {
    int number = 0;
    std::atomic<Trouble> broken{Trouble::kNone};
    std::mutex mutex;
    std::set<Stream*> streams;  // that live
  };
  Trouble Strike(int card, Trouble trouble);

  const std::string name_;
  std::deque<Card> cards_;  // all added before anything else is called
  mutable std::mutex mutex_;
  std::set<std::pair<int, int>> peers_;
};

// A vendor's event: the last point that was recorded in it.
class Event {
 public:
  void Record(Stream& stream);
  void WaitIn(Stream& stream);
  // True where nothing was recorded, as the vendors have it.
  bool reached();
  void Wait();
  // False: one of them was never recorded. Else *ready says whether both are reached.
  static bool Elapsed(Event& begin, Event& end, float* milliseconds, bool* ready);

 private:
  std::shared_ptr<Mark> mark();
  std::mutex mutex_;
  std::shared_ptr<Mark> mark_;
};

// The arguments of a launch in the packed form, from an array of pointers, or from the vendors'
// list {1, buffer, 2, &size, end}. False: they do not fit the kernel.
bool PackArguments(const KernelShape& shape, void** parameters, void** extra, void* end,
                   std::vector<std::byte>& packed);

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_ENGINE_H_
