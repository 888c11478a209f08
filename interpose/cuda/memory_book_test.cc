#include "interpose/cuda/memory_book.h"

#include "gtest/gtest.h"

namespace het::interpose {
namespace {

class Quota : public Seat {
 public:
  explicit Quota(uint64_t limit) : limit_(limit) {}
  std::optional<Ticket> TryBegin(uint64_t) override { return Ticket(); }
  absl::StatusOr<Ticket> Begin(uint64_t) override { return Ticket(); }
  void End(const Ticket&, uint64_t) override {}
  bool alone() const override { return true; }
  absl::Status Reserve(uint64_t bytes) override {
    if (bytes > limit_ - used_) return absl::ResourceExhaustedError("full");
    used_ += bytes;
    return absl::OkStatus();
  }
  void GiveBack(uint64_t bytes) override { used_ -= bytes; }
  uint64_t memory_limit() const override { return limit_; }
  uint64_t memory_used() const override { return used_; }

 private:
  const uint64_t limit_;
  uint64_t used_ = 0;
};

class Book : public ::testing::Test {
 protected:
  Quota quota_{100};
  MemoryBook book_{quota_};
};

TEST_F(Book, KeepsKindsApart) {
  book_.Add(MemoryBook::Kind::kAddress, 7, {1, nullptr});
  book_.Add(MemoryBook::Kind::kArray, 7, {2, nullptr});
  EXPECT_EQ(book_.Take(MemoryBook::Kind::kArray, 7).bytes, 2u);
  EXPECT_EQ(book_.Take(MemoryBook::Kind::kArray, 7).bytes, 0u);
  EXPECT_EQ(book_.Take(MemoryBook::Kind::kAddress, 7).bytes, 1u);
}

TEST_F(Book, AContextTakesItsOwnAlong) {
  int one = 0, other = 0;
  ASSERT_TRUE(book_.Reserve(60));
  book_.Add(MemoryBook::Kind::kAddress, 1, {10, &one});
  book_.Add(MemoryBook::Kind::kArray, 2, {20, &one});
  book_.Add(MemoryBook::Kind::kAddress, 3, {30, &other});
  book_.ForgetContext(&one);
  EXPECT_EQ(quota_.memory_used(), 30u);
  EXPECT_EQ(book_.Take(MemoryBook::Kind::kAddress, 1).bytes, 0u);
  EXPECT_EQ(book_.Take(MemoryBook::Kind::kAddress, 3).bytes, 30u);
}

TEST_F(Book, PhysicalMemoryGoesWithItsLastHandleAndMapping) {
  ASSERT_TRUE(book_.Reserve(40));
  book_.AddHandle(5, 40);
  ASSERT_TRUE(book_.MayMap(40, 5));
  book_.Map(0x1000, 40, 5);
  book_.Map(0x2000, 40, 5);
  EXPECT_NE(book_.ReleaseHandle(5), nullptr);
  EXPECT_EQ(quota_.memory_used(), 40u);
  book_.RetainHandle(6, 0x1010);  // a handle to it again, from an address inside
  book_.Unmap(0x1000, 0x2000);
  EXPECT_EQ(quota_.memory_used(), 40u);
  EXPECT_NE(book_.ReleaseHandle(6), nullptr);
  EXPECT_EQ(quota_.memory_used(), 0u);
}

TEST_F(Book, AHandleThatTheDriverKeptIsRestored) {
  ASSERT_TRUE(book_.Reserve(40));
  book_.AddHandle(5, 40);
  book_.RestoreHandle(5, book_.ReleaseHandle(5));
  EXPECT_EQ(quota_.memory_used(), 40u);
  (void)book_.ReleaseHandle(5);
  EXPECT_EQ(quota_.memory_used(), 0u);
}

TEST_F(Book, MemoryOfAnotherProcessIsBookedOnceWhenItIsMapped) {
  book_.AddHandle(9, 0);
  EXPECT_EQ(quota_.memory_used(), 0u);
  EXPECT_FALSE(book_.MayMap(101, 9));
  EXPECT_TRUE(book_.MayMap(70, 9));
  book_.Map(0x1000, 70, 9);
  EXPECT_TRUE(book_.MayMap(70, 9));
  book_.Map(0x2000, 70, 9);
  EXPECT_EQ(quota_.memory_used(), 70u);
  (void)book_.ReleaseHandle(9);
  book_.Unmap(0x1000, 1);
  EXPECT_EQ(quota_.memory_used(), 70u);
  book_.Unmap(0x2000, 1);
  EXPECT_EQ(quota_.memory_used(), 0u);
}

}  // namespace
}  // namespace het::interpose
