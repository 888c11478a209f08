#include "engine/generator.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "engine/error.h"
#include "engine/interrupt.h"

namespace hetllm {
namespace {

using Clock = std::chrono::steady_clock;

// Adds the time of its life, also when an exception ends it.
class PhaseTimer {
 public:
  explicit PhaseTimer(double& ms) : ms_(ms), begin_(Clock::now()) {}
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;
  ~PhaseTimer() { ms_ += std::chrono::duration<double, std::milli>(Clock::now() - begin_).count(); }

 private:
  double& ms_;
  const Clock::time_point begin_;
};

}  // namespace

// Completions, from the library's threads to the generator's. Its destructor waits for what is
// still under way, because the library writes into those micro-batches.
class Generator::Inbox {
 public:
  ~Inbox() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return under_way_ == 0; });
  }

  void Started() {
    const std::scoped_lock lock(mutex_);
    ++under_way_;
  }

  // The submission failed: nothing will come.
  void Withdrawn() {
    const std::scoped_lock lock(mutex_);
    --under_way_;
  }

  void Finished(Flight* flight, const het::api::Error* error) {
    const std::scoped_lock lock(mutex_);
    --under_way_;
    if (error != nullptr) {
      // A lost device says more than what failed because of it.
      if (!error_ || error->code() == HET_DATA_LOSS) {
        error_ = *error;
      }
    } else {
      arrived_.push_back(flight);
    }
    changed_.notify_all();
  }

  // The next finished micro-batch; null when none is under way. Throws what failed, once nothing is
  // under way any more.
  Flight* Next() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (error_ || Interrupted()) {
        changed_.wait(lock, [&] { return under_way_ == 0; });
        if (error_) {
          throw *error_;
        }
        lock.unlock();
        ThrowIfInterrupted();
      }
      if (!arrived_.empty()) {
        Flight* flight = arrived_.front();
        arrived_.pop_front();
        return flight;
      }
      if (under_way_ == 0) {
        return nullptr;
      }
      changed_.wait_for(lock, std::chrono::milliseconds(100));  // to see an interrupt
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Flight*> arrived_;
  size_t under_way_ = 0;
  std::optional<het::api::Error> error_;
};

std::vector<Sequence> Generator::Run(const std::vector<std::vector<int32_t>>& prompts,
                                     const OnToken& on_token) {
  const Limits& limits = engine_.options().limits;
  on_token_ = on_token;
  timings_ = {};
  sequences_.clear();
  samplers_.clear();
  for (const auto& prompt : prompts) {
    if (prompt.empty() || prompt.size() + options_.max_new > limits.context) {
      throw Error(Cat("a prompt of ", prompt.size(), " tokens and ", options_.max_new,
                      " new ones; 1 to ", limits.context, " in all are possible"),
                  Exit::kUsage);
    }
    sequences_.push_back({prompt, prompt.size(), options_.max_new == 0});
    SamplerOptions sampling = options_.sampling;
    sampling.seed += samplers_.size();
    samplers_.emplace_back(sampling);
  }
  if (sequences_.size() > limits.slots) {
    throw Error(Cat(sequences_.size(), " prompts, but the engine was made for ", limits.slots));
  }
  cached_.resize(std::max(cached_.size(), sequences_.size()));
  computed_.assign(sequences_.size(), 0);
  while (!AllDone()) {
    try {
      Prefill();
      Decode();
    } catch (const het::api::Error& error) {
      cached_.assign(cached_.size(), {});
      if (error.code() != HET_DATA_LOSS) {
        throw;
      }
      Recover();
    }
  }
  for (size_t s = 0; s < sequences_.size() && options_.max_new > 0; ++s) {
    cached_[s] = sequences_[s].tokens;
    cached_[s].resize(computed_[s]);  // the last was chosen, and is not computed any more
  }
  return sequences_;
}

void Generator::Recover() {
  const PhaseTimer timer(timings_.recovery_ms);
  CachedTokens computed;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const auto& tokens = sequences_[s].tokens;
    computed.emplace_back(tokens.begin(),
                          tokens.begin() + static_cast<std::ptrdiff_t>(computed_[s]));
  }
  ++timings_.recoveries;
  if (engine_.Recover(computed)) {
    ++timings_.rebuilds;
    std::move(computed.begin(), computed.end(), cached_.begin());
  }
}

bool Generator::AllDone() const {
  return std::all_of(sequences_.begin(), sequences_.end(),
                     [](const Sequence& sequence) { return sequence.done; });
}

void Generator::Launch(Flight& flight, Inbox& inbox) {
  inbox.Started();
  try {
    engine_.Submit(flight.batch, [&inbox, &flight](const het::api::Error* error) {
      inbox.Finished(&flight, error);
    });
  } catch (...) {
    inbox.Withdrawn();
    throw;
  }
}

void Generator::Accept(const Flight& flight) {
  const Microbatch& batch = flight.batch;
  engine_.Keep(batch);
  for (size_t r = 0; r < batch.rows(); ++r) {
    size_t& computed = computed_[static_cast<size_t>(batch.slots[r])];
    computed = std::max(computed, static_cast<size_t>(batch.positions[r]) + 1);
  }
  const uint32_t vocab = engine_.model().shape().vocab;
  const auto& tokenizer = engine_.model().tokenizer();
  for (size_t i = 0; i < flight.wanted.size(); ++i) {
    Sequence& sequence = sequences_[flight.wanted[i]];
    int32_t token;
    if (engine_.options().limits.greedy) {
      token = flight.batch.choices[i];
    } else {
      const auto row = std::span(flight.batch.logits).subspan(i * vocab, vocab);
      token = samplers_[flight.wanted[i]].Choose(row, sequence.tokens);
    }
    sequence.tokens.push_back(token);
    const bool ended = options_.stop_at_end && tokenizer && tokenizer->EndsText(token);
    sequence.done = ended || sequence.tokens.size() - sequence.prompt >= options_.max_new;
    if (on_token_) {
      on_token_(flight.wanted[i], token);
    }
  }
}

// All tokens of all sequences that are not done, cut into micro-batches; the last row of each
// sequence is wanted.
std::vector<std::unique_ptr<Generator::Flight>> Generator::MakePrefill() {
  const uint32_t rows = engine_.options().workload.prefill.rows;
  const uint32_t most_wanted = engine_.options().limits.wanted;
  std::vector<std::unique_ptr<Flight>> flights;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    const Sequence& sequence = sequences_[s];
    // The last token is computed in any case: its logits are wanted.
    const auto& cached = cached_[s];
    size_t first = 0;
    while (first + 1 < sequence.tokens.size() && first < cached.size() &&
           cached[first] == sequence.tokens[first]) {
      ++first;
    }
    computed_[s] = first;
    for (size_t at = first; at < sequence.tokens.size() && !sequence.done; ++at) {
      if (flights.empty() || flights.back()->batch.rows() >= rows ||
          flights.back()->wanted.size() >= most_wanted) {
        flights.push_back(std::make_unique<Flight>());
      }
      const bool last = at + 1 == sequence.tokens.size();
      flights.back()->batch.Add(sequence.tokens[at], static_cast<int32_t>(at),
                                static_cast<int32_t>(s), last);
      if (last) {
        flights.back()->wanted.push_back(s);
      }
    }
  }
  return flights;
}

void Generator::Prefill() {
  const PhaseTimer timer(timings_.prefill_ms);
  const auto flights = MakePrefill();
  cached_.assign(cached_.size(), {});  // until it is known what the caches hold
  {
    Inbox inbox;
    for (const auto& flight : flights) {
      Launch(*flight, inbox);
    }
    while (const Flight* flight = inbox.Next()) {
      Accept(*flight);
      timings_.prefill_tokens += flight->batch.rows();
    }
  }
  timings_.prefill_items += static_cast<uint32_t>(flights.size());
}

// As many groups as keep every stage busy; one stage needs no more than one.
std::vector<std::unique_ptr<Generator::Flight>> Generator::MakeGroups() const {
  const Placement& placement = engine_.placement();
  std::vector<size_t> active;
  for (size_t s = 0; s < sequences_.size(); ++s) {
    if (!sequences_[s].done) {
      active.push_back(s);
    }
  }
  const size_t most = placement.stages.size() == 1 ? 1 : placement.in_flight;
  const size_t count = std::min(active.size(), most);
  std::vector<std::unique_ptr<Flight>> groups;
  for (size_t g = 0; g < count; ++g) {
    groups.push_back(std::make_unique<Flight>());
    groups.back()->group = g;
    for (size_t i = g * active.size() / count; i < (g + 1) * active.size() / count; ++i) {
      groups.back()->wanted.push_back(active[i]);
    }
  }
  return groups;
}

// The next token of every sequence of the group that is not done.
void Generator::SubmitGroup(Flight& group, Inbox& inbox) {
  std::erase_if(group.wanted, [&](size_t s) { return sequences_[s].done; });
  group.batch.Clear();
  for (const size_t s : group.wanted) {
    const Sequence& sequence = sequences_[s];
    group.batch.Add(sequence.tokens.back(), static_cast<int32_t>(sequence.tokens.size() - 1),
                    static_cast<int32_t>(s), true);
  }
  if (!group.wanted.empty()) {
    Launch(group, inbox);
  }
}

void Generator::Decode() {
  const PhaseTimer timer(timings_.decode_ms);
  const auto groups = MakeGroups();
  timings_.decode_groups = static_cast<uint32_t>(groups.size());
  {
    Inbox inbox;
    for (const auto& group : groups) {
      SubmitGroup(*group, inbox);
    }
    while (Flight* group = inbox.Next()) {
      Accept(*group);
      timings_.decode_tokens += group->batch.rows();
      SubmitGroup(*group, inbox);
    }
  }
}

}  // namespace hetllm
