#include "scheduler/fleet/llm_replay.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <tuple>

namespace het::fleet {
namespace {

constexpr int64_t kAskEvery = 4096;  // arrivals and passes

double Percentile(std::vector<float>& values, double share) {
  if (values.empty()) return 0;
  const auto rank =
      static_cast<size_t>(std::clamp(std::ceil(share * static_cast<double>(values.size())) - 1, 0.0,
                                     static_cast<double>(values.size() - 1)));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank),
                   values.end());
  return values[rank];
}

struct Sequence {
  int request = 0;
  int prefilled = 0;  // prompt tokens that went through, or are on their way
  int produced = 0;
  double first_s = 0, last_s = 0;
};

class Replay {
 public:
  Replay(const std::vector<LlmRequest>& requests, const std::vector<LlmReplica>& replicas,
         const LlmReplayOptions& options)
      : requests_(requests), options_(options) {
    for (const LlmReplica& replica : replicas) {
      Server server{&replica, {}, {}, {}, {}, 0, 0, 0};
      server.stage_free_s.assign(replica.stages.size(), 0);
      server.stage_busy_s.assign(replica.stages.size(), 0);
      server.groups.resize(replica.stages.size());
      double slowest = 0;
      for (const LlmStage& stage : replica.stages)
        slowest = std::max(slowest, stage.layers * stage.decode_ms(32));
      server.speed = slowest > 0 ? 1 / slowest : 0;
      servers_.push_back(std::move(server));
    }
  }

  LlmReplayResult Go() {
    result_.requests = static_cast<int64_t>(requests_.size());
    size_t next = 0;
    for (int64_t turn = 1;; ++turn) {
      if (turn % kAskEvery == 0 && options_.go_on && !options_.go_on()) break;
      const bool pass = !passes_.empty();
      const bool more = next < requests_.size();
      if (!pass && !more) break;
      const double at = more ? (options_.saturate ? 0 : requests_[next].arrival_s) : 0;
      if (more && (!pass || at <= std::get<0>(passes_.top()))) {
        Arrive(static_cast<int>(next++), at);
        continue;
      }
      const auto [time_s, sequence, server, group] = passes_.top();
      passes_.pop();
      Return(servers_[static_cast<size_t>(server)], server, group, time_s);
    }
    return Report();
  }

 private:
  struct Group {
    std::vector<Sequence> running;
    std::deque<Sequence> entering;  // their prefill is not done
    bool busy = false;
    bool decodes = false;  // the pass that is under way has a step of `running` in it
  };
  struct Server {
    const LlmReplica* replica;
    std::vector<double> stage_free_s, stage_busy_s;
    std::vector<Group> groups;
    std::deque<int> waiting;
    int64_t held_tokens;
    int64_t waiting_tokens;
    double speed;
  };

  int64_t Tokens(int request) const {
    const LlmRequest& r = requests_[static_cast<size_t>(request)];
    return int64_t{r.prompt_tokens} + r.output_tokens;
  }

  void Arrive(int request, double now_s) {
    int best = -1;
    double least = 0;
    for (size_t i = 0; i < servers_.size(); ++i) {
      const Server& server = servers_[i];
      if (server.speed <= 0 || Tokens(request) > server.replica->kv_tokens) continue;
      const double load =
          static_cast<double>(server.held_tokens + server.waiting_tokens + Tokens(request)) /
          server.speed;
      if (best >= 0 && load >= least) continue;
      best = static_cast<int>(i);
      least = load;
    }
    if (best < 0) {
      ++result_.refused;
      return;
    }
    Server& server = servers_[static_cast<size_t>(best)];
    server.waiting.push_back(request);
    server.waiting_tokens += Tokens(request);
    for (size_t g = 0; g < server.groups.size(); ++g) {
      if (server.groups[g].busy) continue;
      Submit(server, best, static_cast<int>(g), now_s);
      break;
    }
  }

  // Sends a pass through the stages; the group is back when it has left the last one.
  template <typename StageMs>
  void Send(Server& server, int number, int group, double now_s, double tokens, StageMs stage_ms) {
    double at = now_s;
    const std::vector<LlmStage>& stages = server.replica->stages;
    for (size_t i = 0; i < stages.size(); ++i) {
      const double begin = std::max(at, server.stage_free_s[i]);
      const double seconds = stage_ms(stages[i]) / 1e3;
      server.stage_free_s[i] = begin + seconds;
      server.stage_busy_s[i] += seconds;
      at = begin + seconds;
      if (i + 1 < stages.size())
        at += (stages[i].to_next_ms + stages[i].to_next_ms_per_token * tokens) / 1e3;
    }
    server.groups[static_cast<size_t>(group)].busy = true;
    passes_.emplace(at, sequence_++, number, group);
  }

  // Takes the next waiting request into the group, if its KV fits.
  bool Admit(Server& server, Group& group) {
    if (server.waiting.empty() ||
        static_cast<int>(group.running.size() + group.entering.size()) >= options_.max_group) {
      return false;
    }
    const int64_t tokens = Tokens(server.waiting.front());
    if (server.held_tokens + tokens > server.replica->kv_tokens) return false;
    group.entering.push_back({server.waiting.front()});
    server.waiting.pop_front();
    server.waiting_tokens -= tokens;
    server.held_tokens += tokens;
    return true;
  }
  int32_t PromptOf(const Sequence& sequence) const {
    return requests_[static_cast<size_t>(sequence.request)].prompt_tokens;
  }

  // Prompt tokens of the group's next pass: whole prompts, or one chunk.
  int64_t NextPrefill(Server& server, Group& group) {
    int64_t tokens = 0;
    if (options_.chunk_tokens > 0) {
      for (size_t i = 0; tokens < options_.chunk_tokens; ++i) {
        if (i == group.entering.size() && !Admit(server, group)) break;
        Sequence& sequence = group.entering[i];
        const auto part = static_cast<int32_t>(std::min<int64_t>(
            PromptOf(sequence) - sequence.prefilled, options_.chunk_tokens - tokens));
        sequence.prefilled += part;
        tokens += part;
      }
      return tokens;
    }
    while (!server.waiting.empty()) {
      const int64_t prompt = requests_[static_cast<size_t>(server.waiting.front())].prompt_tokens;
      if (tokens > 0 && tokens + prompt > options_.prefill_tokens) break;
      if (!Admit(server, group)) break;
      group.entering.back().prefilled = static_cast<int32_t>(prompt);
      tokens += prompt;
    }
    return tokens;
  }

  void Submit(Server& server, int number, int group_number, double now_s) {
    Group& group = server.groups[static_cast<size_t>(group_number)];
    const auto prompt = static_cast<double>(NextPrefill(server, group));
    group.decodes = !group.running.empty() && (prompt == 0 || options_.chunk_tokens > 0);
    const auto sequences = static_cast<double>(group.decodes ? group.running.size() : 0);
    if (prompt + sequences <= 0) {
      group.busy = false;
      return;
    }
    Send(server, number, group_number, now_s, prompt + sequences,
         [prompt, sequences](const LlmStage& stage) {
           return stage.layers * ((prompt > 0 ? stage.prefill_ms(prompt) : 0) +
                                  (sequences > 0 ? stage.decode_ms(sequences) : 0));
         });
  }

  void Return(Server& server, int number, int group_number, double now_s) {
    Group& group = server.groups[static_cast<size_t>(group_number)];
    end_s_ = now_s;
    if (group.decodes) {
      for (Sequence& sequence : group.running) Deliver(sequence, now_s);
    }
    while (!group.entering.empty() &&
           group.entering.front().prefilled == PromptOf(group.entering.front())) {
      Sequence& sequence = group.entering.front();
      sequence.first_s = now_s;
      Deliver(sequence, now_s);
      group.running.push_back(sequence);
      group.entering.pop_front();
    }
    std::erase_if(group.running, [&](const Sequence& sequence) {
      const LlmRequest& request = requests_[static_cast<size_t>(sequence.request)];
      if (sequence.produced < request.output_tokens) return false;
      server.held_tokens -= Tokens(sequence.request);
      Finish(sequence);
      return true;
    });
    Submit(server, number, group_number, now_s);
  }

  void Deliver(Sequence& sequence, double now_s) {
    if (sequence.produced > 0) tbt_s_.push_back(static_cast<float>(now_s - sequence.last_s));
    ++sequence.produced;
    sequence.last_s = now_s;
  }

  void Finish(const Sequence& sequence) {
    const LlmRequest& request = requests_[static_cast<size_t>(sequence.request)];
    const double ttft = sequence.first_s - (options_.saturate ? 0 : request.arrival_s);
    ttft_s_.push_back(static_cast<float>(ttft));
    ++result_.completed;
    tokens_ += request.output_tokens;
    const double gaps = std::max(request.output_tokens - 1, 1);
    const double tbt = (sequence.last_s - sequence.first_s) / gaps;
    if (ttft > options_.ttft_limit_s || tbt > options_.tbt_limit_s) return;
    ++result_.good;
    good_tokens_ += request.output_tokens;
  }

  LlmReplayResult Report() {
    const double begin = options_.saturate || requests_.empty() ? 0 : requests_.front().arrival_s;
    result_.seconds = std::max(end_s_ - begin, 0.0);
    if (result_.seconds > 0) {
      result_.output_tokens_per_s = static_cast<double>(tokens_) / result_.seconds;
      result_.goodput_tokens_per_s = static_cast<double>(good_tokens_) / result_.seconds;
    }
    result_.ttft_p50_s = Percentile(ttft_s_, 0.50);
    result_.ttft_p99_s = Percentile(ttft_s_, 0.99);
    result_.tbt_p50_s = Percentile(tbt_s_, 0.50);
    result_.tbt_p99_s = Percentile(tbt_s_, 0.99);
    for (const Server& server : servers_) {
      for (const double busy : server.stage_busy_s)
        result_.busy.push_back(result_.seconds > 0 ? busy / result_.seconds : 0);
    }
    return result_;
  }

  const std::vector<LlmRequest>& requests_;
  const LlmReplayOptions& options_;
  std::vector<Server> servers_;
  using Pass = std::tuple<double, int64_t, int, int>;  // end, order, server, group
  std::priority_queue<Pass, std::vector<Pass>, std::greater<>> passes_;
  int64_t sequence_ = 0;
  std::vector<float> ttft_s_, tbt_s_;
  int64_t tokens_ = 0, good_tokens_ = 0;
  double end_s_ = 0;
  LlmReplayResult result_;
};

}  // namespace

LlmReplayResult ReplayLlm(const std::vector<LlmRequest>& requests,
                          const std::vector<LlmReplica>& replicas,
                          const LlmReplayOptions& options) {
  return Replay(requests, replicas, options).Go();
}

}  // namespace het::fleet
