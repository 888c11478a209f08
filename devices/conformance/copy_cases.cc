#include <algorithm>
#include <random>

#include "base/units.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

std::vector<uint8_t> Noise(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> noise(bytes);
  std::generate(noise.begin(), noise.end(), [&] { return static_cast<uint8_t>(random()); });
  return noise;
}

struct Piece {
  uint64_t offset;
  uint64_t bytes;
};
constexpr Piece kPieces[] = {{0, 1},       {1, 1},    {3, 5},        {63, 2},  {64, 64},
                             {7, 97},      {0, 1000}, {999, 1},      {1, 999}, {1001, 4097},
                             {4096, 4096}, {8191, 1}, {5, 8192 - 5}, {0, 8192}};

void RoundTripsOddSizesAndOffsets(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(8192);
  std::vector<uint8_t> expected = Noise(8192, 1);
  t.Upload(*queue, *buffer, expected.data(), expected.size());
  uint32_t seed = 2;
  for (const Piece& piece : kPieces) {
    const std::vector<uint8_t> noise = Noise(piece.bytes, seed++);
    std::copy(noise.begin(), noise.end(), expected.begin() + piece.offset);
    t.Upload(*queue, *buffer, noise.data(), piece.bytes, piece.offset);
    // Read the piece alone, with canaries beside it.
    std::vector<uint8_t> back(piece.bytes + 2, 0xCA);
    const Ref<Timeline> done = t.NewTimeline();
    Must(queue->Read(*buffer, piece.offset, back.data() + 1, piece.bytes, {.signal = {done, 1}}),
         "Read");
    t.Await(*done, 1);
    EXPECT_TRUE(std::equal(noise.begin(), noise.end(), back.begin() + 1));
    EXPECT_EQ(back.front(), 0xCA);
    EXPECT_EQ(back.back(), 0xCA);
  }
  EXPECT_EQ(t.Download(*queue, *buffer), expected) << "what was not written changed";
}

void FillsOddRanges(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> buffer = t.NewBuffer(8192);
  std::vector<uint8_t> expected = Noise(8192, 1);
  t.Upload(*queue, *buffer, expected.data(), expected.size());
  uint8_t value = 1;
  for (const Piece& piece : kPieces) {
    std::fill_n(expected.begin() + piece.offset, piece.bytes, value);
    Must(queue->Fill(*buffer, piece.offset, piece.bytes, value), "Fill");
    value = static_cast<uint8_t>(value * 3 + 1);
    if (piece.bytes > 4000) continue;  // some one by one, some in a row
    EXPECT_EQ(t.Download(*queue, *buffer), expected);
  }
  EXPECT_EQ(t.Download(*queue, *buffer), expected);
}

void CopiesBetweenAndWithinBuffers(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> from = t.NewBuffer(8192);
  const Ref<Buffer> to = t.NewBuffer(10'000);
  const std::vector<uint8_t> source = Noise(8192, 1);
  std::vector<uint8_t> expected = Noise(10'000, 2);
  t.Upload(*queue, *from, source.data(), source.size());
  t.Upload(*queue, *to, expected.data(), expected.size());
  for (const Piece& piece : kPieces) {
    const uint64_t target = (piece.offset * 7 + 13) % (10'000 - piece.bytes + 1);
    std::copy_n(source.begin() + piece.offset, piece.bytes, expected.begin() + target);
    Must(queue->Copy(*from, piece.offset, *to, target, piece.bytes), "Copy");
  }
  std::copy_n(expected.begin() + 17, 1000, expected.begin() + 5001);
  Must(queue->Copy(*to, 17, *to, 5001, 1000), "Copy within");
  EXPECT_EQ(t.Download(*queue, *to), expected);
  EXPECT_EQ(t.Download(*queue, *from), source);
}

void MovesManyMegabytes(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue(QueueKind::kTransfer);
  const std::vector<uint8_t> source = Noise(9 * kMiB + 5, 1);
  const Ref<Buffer> first = t.NewBuffer(source.size(), MemoryKind::kStaging);
  const Ref<Buffer> second = t.NewBuffer(source.size());
  Must(queue->Write(source.data(), *first, 0, source.size()), "Write");
  Must(queue->Copy(*first, 0, *second, 0, source.size()), "Copy");
  EXPECT_EQ(t.Download(*queue, *second), source);
}

void NoBytesStillSignal(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> a = t.NewBuffer(64);
  const Ref<Buffer> b = t.NewBuffer(64);
  const Ref<Timeline> done = t.NewTimeline();
  Must(queue->Write(nullptr, *a, 64, 0, {.signal = {done, 1}}), "Write");
  Must(queue->Read(*a, 0, nullptr, 0, {.signal = {done, 2}}), "Read");
  Must(queue->Copy(*a, 1, *b, 2, 0, {.signal = {done, 3}}), "Copy");
  Must(queue->Fill(*a, 3, 0, 9, {.signal = {done, 4}}), "Fill");
  t.Await(*done, 4);
}

void RefusesWhatIsOutOfRange(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> a = t.NewBuffer(100);
  const Ref<Buffer> b = t.NewBuffer(100);
  const uint64_t huge = ~uint64_t{0};
  uint8_t host[128] = {};
  const auto invalid = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  };
  invalid(queue->Write(host, *a, 0, 101));
  invalid(queue->Write(host, *a, 101, 0));
  invalid(queue->Write(host, *a, 50, huge));
  invalid(queue->Write(nullptr, *a, 0, 1));
  invalid(queue->Read(*a, huge, host, 2));
  invalid(queue->Read(*a, 99, host, 2));
  invalid(queue->Read(*a, 0, nullptr, 1));
  invalid(queue->Copy(*a, 0, *b, 1, 100));
  invalid(queue->Copy(*a, 1, *b, 0, 100));
  invalid(queue->Fill(*a, huge, huge, 0));
  t.Finish(*queue);  // and the queue is not broken by it
}

void RefusesToCopyOntoItself(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> a = t.NewBuffer(100);
  EXPECT_EQ(queue->Copy(*a, 0, *a, 10, 20).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(queue->Copy(*a, 10, *a, 0, 11).code(), absl::StatusCode::kInvalidArgument);
  Must(queue->Copy(*a, 0, *a, 50, 50), "halves that touch");
  t.Finish(*queue);
}

void RefusesBuffersOfAnotherDevice(Fixture& t) {
  const std::unique_ptr<Device> other = t.OpenAgain();
  const Ref<Buffer> theirs = Must(other->Allocate(64), "Allocate");
  const Ref<Buffer> ours = t.NewBuffer(64);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  uint8_t host[64] = {};
  EXPECT_EQ(queue->Write(host, *theirs, 0, 1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(queue->Read(*theirs, 0, host, 1).code(), absl::StatusCode::kInvalidArgument);
  if (!t.device.Reaches(*other)) {
    EXPECT_EQ(queue->Copy(*ours, 0, *theirs, 0, 1).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(queue->Copy(*theirs, 0, *ours, 0, 1).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(queue->Fill(*theirs, 0, 1, 0).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace

std::vector<Case> CopyCases() {
  return {
      {"Copy", "RoundTripsOddSizesAndOffsets", RoundTripsOddSizesAndOffsets},
      {"Copy", "FillsOddRanges", FillsOddRanges},
      {"Copy", "CopiesBetweenAndWithinBuffers", CopiesBetweenAndWithinBuffers},
      {"Copy", "MovesManyMegabytes", MovesManyMegabytes},
      {"Copy", "NoBytesStillSignal", NoBytesStillSignal},
      {"Copy", "RefusesWhatIsOutOfRange", RefusesWhatIsOutOfRange},
      {"Copy", "RefusesToCopyOntoItself", RefusesToCopyOntoItself},
      {"Copy", "RefusesBuffersOfAnotherDevice", RefusesBuffersOfAnotherDevice},
  };
}

}  // namespace het::conformance
