#include "runtime/channel.h"

#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace het::runtime {
namespace {

TEST(StagingMemory, AsksForPagesOfItsDevicesNode) {
  const auto memory = StagingMemory::Create(1 << 20, /*numa_node=*/0);
  ASSERT_TRUE(memory.ok()) << memory.status();
  (*memory)->address()[0] = std::byte{1};
  int mode = -1;
  unsigned long nodes[16] = {};
  if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, (*memory)->address(),
              MPOL_F_ADDR) != 0) {
    GTEST_SKIP() << "this system does not tell where memory is wanted";
  }
  EXPECT_EQ(mode, MPOL_PREFERRED);
  EXPECT_EQ(nodes[0], 1u);
}

TEST(StagingMemory, IsThereWhateverTheNode) {
  const auto memory = StagingMemory::Create(4096, /*numa_node=*/1'000'000);
  ASSERT_TRUE(memory.ok()) << memory.status();
  (*memory)->address()[4095] = std::byte{1};
}

}  // namespace
}  // namespace het::runtime
