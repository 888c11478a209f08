// What this machine can do at most, as controls for benchmarks: plain read bandwidth and the f32
// multiply-add rate of the same threads that run the measured code; and the small tools that every
// benchmark here needs.
//
// A Crew is a set of threads that run one function together; the caller is worker 0. Its methods
// are used by one thread.
#ifndef HET_BENCH_MACHINE_LIMITS_H_
#define HET_BENCH_MACHINE_LIMITS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace het::bench {

// What a piece of work took: on the clock, and the longest processor time of a worker. On a quiet
// machine they agree; where other programs take the cores away, the second says what the work
// itself needed.
enum class Time { kWall, kProcessor };
struct Took {
  double wall = 0, processor = 0;  // seconds
  double In(Time time) const { return time == Time::kWall ? wall : processor; }
};

// Threads of the benchmark, each bound to a core of the process's affinity mask, in order.
class Crew {
 public:
  explicit Crew(int workers);
  ~Crew();
  int workers() const { return workers_; }
  // Runs work(0) .. work(workers-1) concurrently and returns when all are done: the seconds it
  // took.
  Took Run(const std::function<void(int worker)>& work);

 private:
  void Loop(int worker);

  const int workers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* work_ = nullptr;  // guarded by mutex_, as all below
  uint64_t round_ = 0;
  int running_ = 0;
  double longest_ = 0;  // processor time of the round's other workers
  bool stop_ = false;
  std::vector<std::jthread> threads_;
};

// Page-aligned memory that asks for huge pages, like the buffers of the CPU backend. Touched by the
// constructing thread.
class BigBuffer {
 public:
  explicit BigBuffer(size_t bytes);
  ~BigBuffer();
  BigBuffer(const BigBuffer&) = delete;
  BigBuffer& operator=(const BigBuffer&) = delete;
  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  uint8_t* data_;
  size_t bytes_;
};

// Bytes per second at which the crew reads the buffer once, each worker a contiguous part, summing
// what it reads.
double ReadBandwidth(Crew& crew, const BigBuffer& buffer, Time time = Time::kWall);

// f32 operations per second (a multiply-add is two) of the crew on registers only, for about
// `seconds`.
double FmaRate(Crew& crew, double seconds, Time time = Time::kWall);

// The median of several figures, and the lowest and highest.
struct Spread {
  double median = 0, low = 0, high = 0;
};
Spread SpreadOf(std::vector<double> figures);

}  // namespace het::bench

#endif  // HET_BENCH_MACHINE_LIMITS_H_
