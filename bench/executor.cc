// What the executor costs over doing the same by hand, and beside oneTBB's parallel_pipeline.
//
//   empty stages     12 stages that do nothing: ns per stage and item
//   10 us stages     8 stages of a fixed spin: us per stage and item over plain loops
//   delay line       one stage that waits 200 us on a line that serves 16 at once: us per item
//
// Every variant runs once per round, interleaved, so that a noisy machine is noisy for all.
#include "runtime/executor.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <latch>
#include <map>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "bench/report.h"
#include "runtime/step_pipeline.h"
#ifdef HAVE_TBB
#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>
#endif

namespace het::bench {
namespace {

using runtime::Executor;
using runtime::StepPipeline;

using Clock = std::chrono::steady_clock;

double MicrosSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// ---- the work of a stage ----

// A chain of dependent multiplications: takes the same time wherever it runs, and absorbs no
// overhead as a wait for the clock would.
__attribute__((noinline)) uint64_t Spin(uint64_t iterations, uint64_t value) {
  for (uint64_t i = 0; i < iterations; ++i) {
    value = value * 6364136223846793005u + 1442695040888963407u;
    asm volatile("" : "+r"(value));
  }
  return value;
}

uint64_t IterationsFor(double micros) {
  double best = 1e9;
  constexpr uint64_t kProbe = 200000;
  for (int i = 0; i < 20; ++i) {
    const auto start = Clock::now();
    Spin(kProbe, i);
    best = std::min(best, MicrosSince(start));
  }
  return static_cast<uint64_t>(micros / best * kProbe);
}

// Serves any number at once, each for a fixed time: what a remote device or a link looks like from
// here. One thread that sleeps, and spins for the last stretch, since a sleep ends late.
class DelayLine {
 public:
  explicit DelayLine(std::chrono::microseconds delay) : delay_(delay), thread_([this] { Run(); }) {}
  ~DelayLine() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  template <typename Done>
  void Add(Done done) {
    const std::lock_guard lock(mutex_);
    waiting_.emplace_back(Clock::now() + delay_, std::move(done));
    if (waiting_.size() == 1) wake_.notify_one();
  }

 private:
  static constexpr std::chrono::microseconds kSpin{120};

  void Run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (waiting_.empty()) {
        wake_.wait(lock);
        continue;
      }
      const auto due = waiting_.front().first;
      const auto now = Clock::now();
      if (now >= due) {
        const std::function<void()> done = std::move(waiting_.front().second);
        waiting_.pop_front();
        lock.unlock();
        done();
        lock.lock();
        continue;
      }
      lock.unlock();
      if (due - now > kSpin) std::this_thread::sleep_until(due - kSpin);
      lock.lock();
    }
  }

  const std::chrono::microseconds delay_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<Clock::time_point, std::function<void()>>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

// ---- one case: its variants, run in turn ----

struct Variant {
  std::string what;
  std::function<double()> run;  // one round: the figure
};

std::map<std::string, Samples> Interleave(int rounds, const std::vector<Variant>& variants) {
  std::map<std::string, Samples> samples;
  for (const Variant& variant : variants) variant.run();  // warm
  for (int round = 0; round < rounds; ++round) {
    for (const Variant& variant : variants) samples[variant.what].Add(variant.run());
  }
  return samples;
}

// Runs `stage` `stages` times for each item, on the executor.
double RunChain(Executor& executor, int stages, int items, uint32_t in_flight,
                const std::function<void()>& stage) {
  std::vector<StepPipeline::Step> steps;
  for (int i = 0; i < stages; ++i) {
    steps.push_back(
        {[&stage](const StepPipeline::Item&, StepPipeline::Completion) -> StepPipeline::Outcome {
           stage();
           return absl::OkStatus();
         },
         0});
  }
  StepPipeline pipeline(executor, std::move(steps), in_flight);
  const auto start = Clock::now();
  for (int i = 0; i < items; ++i) pipeline.Submit(nullptr);
  pipeline.Drain().IgnoreError();
  return MicrosSince(start);
}

#ifdef HAVE_TBB
double RunTbbChain(int threads, int stages, int items, size_t tokens,
                   const std::function<void()>& stage) {
  using tbb::filter_mode;
  tbb::task_arena arena(threads);
  double micros = 0;
  arena.execute([&] {
    const auto start = Clock::now();
    int left = items;
    tbb::filter<void, int> chain =
        tbb::make_filter<void, int>(filter_mode::serial_in_order, [&](tbb::flow_control& control) {
          if (left == 0) control.stop();
          return left == 0 ? 0 : left--;
        });
    for (int i = 0; i < stages; ++i) {
      chain = chain & tbb::make_filter<int, int>(filter_mode::serial_in_order, [&](int item) {
                stage();
                return item;
              });
    }
    tbb::parallel_pipeline(
        tokens, chain & tbb::make_filter<int, void>(filter_mode::serial_in_order, [](int) {}));
    micros = MicrosSince(start);
  });
  return micros;
}
#endif

void AddRows(Report& report, const std::string& name, const std::string& unit,
             const std::string& control, const std::vector<Variant>& variants,
             std::map<std::string, Samples>& samples) {
  const double base = samples[control].median();
  for (const Variant& variant : variants) {
    report.Add(Row{name, variant.what, unit, samples[variant.what],
                   samples[variant.what].median() / base});
  }
}

void EmptyStages(Report& report) {
  constexpr int kStages = 12, kItems = 20000, kRounds = 21;
  const std::function<void()> nothing = [] { asm volatile(""); };
  const double per = 1000.0 / (kStages * kItems);
  Executor one(1), two(2);
  std::vector<Variant> variants = {
      {"plain loop",
       [&] {
         const auto start = Clock::now();
         for (int i = 0; i < kItems; ++i) {
           for (int s = 0; s < kStages; ++s) nothing();
         }
         return MicrosSince(start) * per;
       }},
      {"het, 1 worker", [&] { return RunChain(one, kStages, kItems, 16, nothing) * per; }},
      {"het, 2 workers", [&] { return RunChain(two, kStages, kItems, 16, nothing) * per; }},
#ifdef HAVE_TBB
      {"oneTBB, 1 thread", [&] { return RunTbbChain(1, kStages, kItems, 16, nothing) * per; }},
      {"oneTBB, 2 threads", [&] { return RunTbbChain(2, kStages, kItems, 16, nothing) * per; }},
#endif
  };
  auto samples = Interleave(kRounds, variants);
  AddRows(report, "12 empty stages", "ns/stage/item", "plain loop", variants, samples);
  for (const char* what : {"het, 1 worker", "het, 2 workers"}) {
    report.Add(Goal{std::string("empty stage and item, us, ") + what, samples[what].median() / 1000,
                    0.2, true});
  }
}

void TenMicroStages(Report& report) {
  // Long rounds: waking the workers and the waiter takes 0.1-0.3 ms of each, which is no stage's.
  constexpr int kStages = 8, kItems = 1600, kRounds = 15;
  const uint64_t iterations = IterationsFor(10);
  const std::function<void()> spin = [iterations] { Spin(iterations, 1); };
  const double per = 1.0 / (kStages * kItems);
  const auto loops = [&](int items) {
    for (int i = 0; i < items; ++i) {
      for (int s = 0; s < kStages; ++s) spin();
    }
  };
  Executor one(1), two(2);
  std::vector<Variant> variants = {
      {"plain loop",
       [&] {
         const auto start = Clock::now();
         loops(kItems);
         return MicrosSince(start) * per;
       }},
      {"het, 1 worker", [&] { return RunChain(one, kStages, kItems, 16, spin) * per; }},
#ifdef HAVE_TBB
      {"oneTBB, 1 thread", [&] { return RunTbbChain(1, kStages, kItems, 16, spin) * per; }},
#endif
      {"plain, 2 threads",
       [&] {
         const auto start = Clock::now();
         std::jthread other([&] { loops(kItems / 2); });
         loops(kItems / 2);
         other.join();
         return MicrosSince(start) * per;
       }},
      {"het, 2 workers", [&] { return RunChain(two, kStages, kItems, 16, spin) * per; }},
#ifdef HAVE_TBB
      {"oneTBB, 2 threads", [&] { return RunTbbChain(2, kStages, kItems, 16, spin) * per; }},
#endif
  };
  auto samples = Interleave(kRounds, variants);
  AddRows(report, "8 stages of 10 us", "us/stage/item", "plain loop", variants, samples);
  report.Add(Goal{"10 us stage over a plain loop, us, 1 worker",
                  samples["het, 1 worker"].median() - samples["plain loop"].median(), 0.3, true});
  report.Add(Goal{"10 us stage over plain loops on 2 threads, us, 2 workers",
                  samples["het, 2 workers"].median() - samples["plain, 2 threads"].median(), 0.3,
                  true});
}

void Delay(Report& report) {
  constexpr int kAtOnce = 16, kItems = 2000, kRounds = 9;
  constexpr std::chrono::microseconds kDelay{200};
  DelayLine line(kDelay);
  std::counting_semaphore<> free(kAtOnce);
  Executor one(1), two(2);
  const auto het = [&](Executor& executor) {
    std::vector<StepPipeline::Step> steps;
    steps.push_back({[&](const StepPipeline::Item&,
                         StepPipeline::Completion completion) -> StepPipeline::Outcome {
                       line.Add([completion] { completion.Done(); });
                       return StepPipeline::kLater;
                     },
                     kAtOnce});
    StepPipeline pipeline(executor, std::move(steps), 2 * kAtOnce);
    const auto start = Clock::now();
    for (int i = 0; i < kItems; ++i) pipeline.Submit(nullptr);
    pipeline.Drain().IgnoreError();
    return MicrosSince(start) / kItems;
  };
  std::vector<Variant> variants = {
      {"plain callbacks",
       [&] {
         std::latch done(kItems);
         int left = kItems - kAtOnce;  // only the line's thread after the first ones
         std::function<void()> next = [&] {
           if (left-- > 0) line.Add(next);
           done.count_down();
         };
         const auto start = Clock::now();
         for (int i = 0; i < kAtOnce; ++i) line.Add(next);
         done.wait();
         return MicrosSince(start) / kItems;
       }},
      {"het, 1 worker", [&] { return het(one); }},
      {"het, 2 workers", [&] { return het(two); }},
#ifdef HAVE_TBB
      {"oneTBB, 2 threads",
       [&] {
         tbb::task_arena arena(2);
         double micros = 0;
         const int items = kItems / 4;
         arena.execute([&] {
           const auto start = Clock::now();
           int left = items;
           tbb::parallel_pipeline(
               2 * kAtOnce,
               tbb::make_filter<void, int>(tbb::filter_mode::serial_in_order,
                                           [&](tbb::flow_control& control) {
                                             if (left == 0) control.stop();
                                             return left == 0 ? 0 : left--;
                                           }) &
                   tbb::make_filter<int, int>(tbb::filter_mode::parallel,
                                              [&](int item) {
                                                std::binary_semaphore done(0);
                                                free.acquire();
                                                line.Add([&done] { done.release(); });
                                                done.acquire();
                                                free.release();
                                                return item;
                                              }) &
                   tbb::make_filter<int, void>(tbb::filter_mode::serial_in_order, [](int) {}));
           micros = MicrosSince(start) / items;
         });
         return micros;
       }},
#endif
  };
  auto samples = Interleave(kRounds, variants);
  AddRows(report, "200 us wait, 16 at once (ideal 12.5)", "us/item", "plain callbacks", variants,
          samples);
  for (const char* what : {"het, 1 worker", "het, 2 workers"}) {
    report.Add(Goal{std::string("item through the delay line, us, ") + what, samples[what].median(),
                    18, true});
  }
}

int Main(int argc, char** argv) {
  bool json = false;
  if (!WantsJson(argc, argv, &json)) {
    std::fprintf(stderr, "usage: %s [-o table|json]\n", argv[0]);
    return 2;
  }
  Report report("executor");
  EmptyStages(report);
  TenMicroStages(report);
  Delay(report);
#ifndef HAVE_TBB
  report.Note("oneTBB was not found at build time: its twin is left out");
#endif
  report.Print(json);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
