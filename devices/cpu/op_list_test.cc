#include "devices/cpu/op_list.h"

#include <gtest/gtest.h>

#include <thread>

namespace het::cpu {
namespace {

TEST(OpList, KeepsTheOrderAcrossSegments) {
  OpList list;
  for (uint64_t i = 0; i < 1000; ++i) {
    list.Back().bytes = i;
    list.Push();
  }
  for (uint64_t i = 0; i < 1000; ++i) {
    ASSERT_NE(list.Front(), nullptr);
    ASSERT_EQ(list.Front()->bytes, i);
    list.Pop();
  }
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.Front(), nullptr);
}

TEST(OpList, LetsGoOfReferencesWhenAnOpIsPopped) {
  struct Watched : Timeline {
    explicit Watched(bool& gone) : Timeline(nullptr), gone(gone) {}
    ~Watched() override { gone = true; }
    bool& gone;
  };
  bool gone = false;
  OpList list;
  list.Back().signal = {MakeRef<Watched>(gone), 1};
  list.Push();
  EXPECT_FALSE(gone);
  list.Pop();
  EXPECT_TRUE(gone);
}

TEST(OpList, KeepsTheOrderBetweenTwoThreadsInBursts) {
  constexpr uint64_t kOps = 200'000;
  OpList list;
  std::thread producer([&] {
    for (uint64_t i = 0; i < kOps; ++i) {
      Op& op = list.Back();
      op.bytes = i;
      op.params.Assign(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(&i), sizeof(i)));
      list.Push();
      if (i % 1000 == 0) std::this_thread::yield();
    }
  });
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kOps; ++i) {
    while (list.Front() == nullptr) std::this_thread::yield();
    const Op& op = *list.Front();
    if (op.bytes != i || *static_cast<const uint64_t*>(op.params.data()) != i) ++wrong;
    list.Pop();
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
}

TEST(Params, AreAlignedSmallOrLarge) {
  for (size_t size : {size_t{1}, size_t{256}, size_t{257}, size_t{5000}, size_t{3}}) {
    Params params;
    const std::vector<std::byte> bytes(size, std::byte{7});
    params.Assign(bytes);
    ASSERT_EQ(params.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(params.data()) % 16, 0u);
    EXPECT_EQ(std::memcmp(params.data(), bytes.data(), size), 0);
  }
}

}  // namespace
}  // namespace het::cpu
