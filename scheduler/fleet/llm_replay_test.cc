#include "scheduler/fleet/llm_replay.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace het::fleet {
namespace {

using testing::HasSubstr;

LlmStage Stage(int layers, double prefill_ms_per_token, double decode_ms) {
  return {.device = "d",
          .layers = layers,
          .prefill_ms = [=](double tokens) { return prefill_ms_per_token * tokens; },
          .decode_ms = [=](double) { return decode_ms; }};
}

TEST(LlmReplay, OneRequestTakesItsPrefillAndItsSteps) {
  const LlmReplica replica{{Stage(10, 0.01, 2)}, 10'000};
  const auto r = ReplayLlm({{0, 100, 5}}, {replica}, {});
  EXPECT_EQ(r.completed, 1);
  EXPECT_NEAR(r.ttft_p50_s, 0.010, 1e-6);  // 10 layers x 100 tokens x 0.01 ms
  EXPECT_NEAR(r.tbt_p50_s, 0.020, 1e-6);
  EXPECT_NEAR(r.seconds, 0.010 + 4 * 0.020, 1e-6);
}

TEST(LlmReplay, APipelineRunsAtItsSlowestStage) {
  // Prefill only: one output token each. 200 passes through stages of 4, 10 and 6 ms.
  const LlmReplica replica{{Stage(4, 0.002, 1), Stage(10, 0.002, 1), Stage(6, 0.002, 1)}, 1 << 20};
  std::vector<LlmRequest> requests(200, {0, 500, 1});
  LlmReplayOptions options;
  options.saturate = true;
  options.prefill_tokens = 500;
  const auto r = ReplayLlm(requests, {replica}, options);
  EXPECT_NEAR(r.seconds / 200, 0.010, 0.0003);
  EXPECT_NEAR(r.busy[1], 1, 0.03);
  EXPECT_NEAR(r.busy[0], 0.4, 0.03);
}

TEST(LlmReplay, KvBoundsHowManyRunAtOnce) {
  const LlmReplica replica{{Stage(1, 0.001, 10)}, 220};  // two of 110
  std::vector<LlmRequest> requests(4, {0, 100, 10});
  LlmReplayOptions options;
  options.saturate = true;
  const auto r = ReplayLlm(requests, {replica}, options);
  EXPECT_EQ(r.completed, 4);
  EXPECT_GT(r.seconds, 2 * 9 * 0.010);
}

TEST(LlmReplay, ARequestThatFitsNowhereIsRefused) {
  const LlmReplica replica{{Stage(1, 0.001, 10)}, 100};
  const auto r = ReplayLlm({{0, 100, 10}, {1, 10, 10}}, {replica}, {});
  EXPECT_EQ(r.refused, 1);
  EXPECT_EQ(r.completed, 1);
}

TEST(LlmReplay, AChunkLetsOthersDecode) {
  // One sequence decodes while a long prompt comes in: whole, it waits for 1,000 tokens; chunked,
  // for a hundred at a time.
  const LlmReplica replica{{Stage(1, 0.1, 10)}, 10'000};
  const std::vector<LlmRequest> requests = {{0, 10, 50}, {0.1, 1'000, 2}};
  LlmReplayOptions options;
  const auto whole = ReplayLlm(requests, {replica}, options);
  options.chunk_tokens = 100;
  const auto chunked = ReplayLlm(requests, {replica}, options);
  EXPECT_EQ(chunked.completed, 2);
  EXPECT_NEAR(whole.tbt_p99_s, 0.110, 0.001);
  EXPECT_NEAR(chunked.tbt_p99_s, 0.020, 0.001);
  // The same work.
  EXPECT_NEAR(whole.seconds, chunked.seconds, 0.02);
}

TEST(LlmReplay, APromptIsPrefilledOnceHoweverItIsCut) {
  const LlmReplica replica{{Stage(10, 0.01, 2)}, 10'000};
  for (const int chunk : {1, 30, 64, 100, 1'000}) {
    LlmReplayOptions options;
    options.chunk_tokens = chunk;
    const auto r = ReplayLlm({{0, 100, 5}}, {replica}, options);
    EXPECT_EQ(r.completed, 1);
    EXPECT_NEAR(r.ttft_p50_s, 0.010, 1e-6) << chunk;
    EXPECT_NEAR(r.seconds, 0.010 + 4 * 0.020, 1e-6) << chunk;
  }
}

TEST(LlmReplay, LateTokensAreNoGoodput) {
  const LlmReplica replica{{Stage(1, 0.001, 500)}, 1'000};
  const auto r = ReplayLlm({{0, 10, 10}}, {replica}, {});
  EXPECT_EQ(r.completed, 1);
  EXPECT_EQ(r.good, 0);
  EXPECT_EQ(r.goodput_tokens_per_s, 0);
}

TEST(LlmReplay, ReplicasShareTheLoadByTheirSpeed) {
  const LlmReplica slow{{Stage(1, 0.001, 30)}, 100'000};
  const LlmReplica fast{{Stage(1, 0.001, 10)}, 100'000};
  std::vector<LlmRequest> requests(40, {0, 10, 100});
  const auto r = ReplayLlm(requests, {slow, fast}, {});
  EXPECT_EQ(r.completed, 40);
  EXPECT_GT(r.busy[0], 0);
  EXPECT_GT(r.busy[1], 0);
}

TEST(LlmTrace, ReadsAzureAndMooncake) {
  const auto azure = ParseLlmTrace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 23:59:59.5000000,374,44\r\n"
      "2023-11-17 00:00:01.2500000,396,109\r\n",
      "a.csv");
  ASSERT_TRUE(azure.ok()) << azure.status();
  EXPECT_NEAR((*azure)[1].arrival_s, 1.75, 1e-6);
  EXPECT_EQ((*azure)[1].output_tokens, 109);
  const auto mooncake = ParseLlmTrace(
      "{\"timestamp\": 1000, \"input_length\": 40160, \"output_length\": 6, \"hash_ids\": [0, 1]}\n"
      "{\"timestamp\": 1500, \"input_length\": 10, \"output_length\": 7}\n",
      "m.jsonl");
  ASSERT_TRUE(mooncake.ok()) << mooncake.status();
  EXPECT_EQ((*mooncake)[1].arrival_s, 0.5);
  EXPECT_EQ((*mooncake)[0].prompt_tokens, 40'160);
}

TEST(LlmTrace, NamesTheLine) {
  const auto error = [](const std::string& text) {
    return std::string(ParseLlmTrace(text, "f").status().message());
  };
  EXPECT_THAT(error("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n"), HasSubstr("f:2:"));
  EXPECT_THAT(error("2023-11-16 18:00:00,1,1\n2023-11-16 17:00:00,1,1\n"),
              HasSubstr("f:2: a time not before"));
  EXPECT_THAT(error("2023-11-16 18:00:00,0,1\n"), HasSubstr("1 to 10000000 tokens"));
  EXPECT_THAT(error("{\"timestamp\": -1, \"input_length\": 1, \"output_length\": 1}\n"),
              HasSubstr("f:1:"));
  EXPECT_THAT(error(""), HasSubstr("no requests"));
}

}  // namespace
}  // namespace het::fleet
