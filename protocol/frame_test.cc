#include "protocol/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "protocol/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace het::protocol {
namespace {

using ::testing::HasSubstr;

std::string Nul(std::string text) { return text + '\0'; }

TEST(Frame, ArrivesWholeHoweverItIsCut) {
  const std::string stream = Nul(R"({"a":1})") + Nul(R"({"b":[2,3]})");
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    FrameReader reader;
    std::vector<std::string> frames;
    for (size_t at = 0; at < stream.size(); at += piece) {
      reader.Feed(absl::string_view(stream).substr(at, piece));
      while (true) {
        auto frame = reader.Next();
        ASSERT_TRUE(frame.ok()) << frame.status();
        if (!frame->has_value()) break;
        frames.push_back(PrintJson(**frame));
      }
    }
    EXPECT_THAT(frames, testing::ElementsAre(R"({"a":1})", R"({"b":[2,3]})"));
    EXPECT_FALSE(reader.HasPartialFrame());
  }
}

TEST(Frame, OfTheLargestSizeIsReadAndOneByteMoreIsNot) {
  const auto padded = [](size_t size) {
    return R"({"p":")" + std::string(size - 8, 'x') + R"("})";
  };
  FrameReader good;
  good.Feed(Nul(padded(kMaxFrameBytes)));
  EXPECT_TRUE(good.Next()->has_value());
  FrameReader bad;
  bad.Feed(Nul(padded(kMaxFrameBytes + 1)));
  EXPECT_EQ(bad.Next().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Frame, WithoutAnEndIsRefusedBeforeItFillsMemory) {
  FrameReader reader;
  reader.Feed(std::string(kMaxFrameBytes + 1, '{'));
  EXPECT_FALSE(reader.Next().ok());
  EXPECT_EQ(reader.buffered(), 0u);
  reader.Feed(Nul("{}"));
  EXPECT_FALSE(reader.Next().ok()) << "a broken stream stays broken";
}

TEST(Frame, OfAnythingButAnObjectIsRefused) {
  for (const char* text : {"[1]", "7", "\"x\"", "null", "", "{", "{\"a\":}", "{} {}"}) {
    FrameReader reader;
    reader.Feed(Nul(text));
    EXPECT_EQ(reader.Next().status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Frame, IsRefusedWhenNestedTooDeep) {
  const auto nested = [](int depth) {
    return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  FrameReader good;
  good.Feed(Nul(nested(kMaxFrameDepth)));
  EXPECT_TRUE(good.Next().ok());
  FrameReader bad;
  bad.Feed(Nul(nested(kMaxFrameDepth + 1)));
  EXPECT_THAT(std::string(bad.Next().status().message()), HasSubstr("nested deeper than 16"));
}

TEST(Frame, IsNotWrittenWhenNobodyCouldReadIt) {
  const Json large = {{"p", std::string(kMaxFrameBytes, 'x')}};
  EXPECT_EQ(EncodeFrame(large).status().code(), absl::StatusCode::kResourceExhausted);
}

// The fuzz target on mutations of real messages, so that every run of the tests fuzzes a little.
TEST(FrameFuzz, SurvivesRandomMutations) {
  AcquireRequest acquire;
  acquire.terms.request_id = "r";
  acquire.slices = {{"d", Share::OfPercent(30), kGiB, Policy::kCapped}};
  ModelRequest model;
  model.model.layers = {{1 << 20, 1 << 10, 1e9, 22}};
  ModelPlan plan;
  plan.stages = {{"d", "l", Share::OfPercent(50), kGiB, 0, 22, 1.5}};
  const std::vector<std::string> seeds = {
      "x" + *EncodeFrame(ToJson(acquire)), "x" + *EncodeFrame(ToJson(model)),
      "x" + *EncodeFrame(ToJson(plan)),
      "x" + *EncodeFrame({{"error", "org.het.v1.NoCapacity"},
                          {"parameters", {{"neverFits", true}, {"message", "m"}}}})};
  const std::string tokens = "{}[]\",:0123456789-eE.truefalsn\\u\x00\xff";
  std::mt19937 random(7);
  for (int run = 0; run < 20'000; ++run) {
    std::string input = seeds[random() % seeds.size()];
    for (size_t edits = 1 + random() % 6; edits > 0; --edits) {
      const size_t at = random() % input.size();
      switch (random() % 4) {
        case 0:
          input[at] = static_cast<char>(random());
          break;
        case 1:
          input[at] = tokens[random() % tokens.size()];
          break;
        case 2:
          input.insert(at, input.substr(random() % input.size(), random() % 40));
          break;
        default:
          input.erase(at, random() % 20);
          break;
      }
      if (input.empty()) input = "x";
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
}

}  // namespace
}  // namespace het::protocol
