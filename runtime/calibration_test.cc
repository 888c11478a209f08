#include "runtime/calibration.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/files.h"

namespace het::runtime {
namespace {

class Calibration : public testing::Test {
 protected:
  Calibration() {
    char path[] = "/tmp/het_calibration_XXXXXX";
    directory_ = std::string(mkdtemp(path)) + "/deep/er";
    device_.name = "X1";
    device_.backend = "cpu";
    slice_.share = Share::OfPercent(50);
    slice_.cores = {0, 1};
  }
  ~Calibration() override {
    std::filesystem::remove_all(std::filesystem::path(directory_).parent_path().parent_path());
  }

  std::string directory_;
  DeviceInfo device_;
  Slice slice_;
};

TEST_F(Calibration, KeepsExactNumbersForTheNextProcess) {
  const std::vector<double> values = {0.1, 1.0 / 3, 1e-300, 4096};
  ASSERT_TRUE(CalibrationCache(directory_).Store(device_, slice_, "llama", values).ok());
  EXPECT_EQ(CalibrationCache(directory_).Load(device_, slice_, "llama", 4), values);
}

TEST_F(Calibration, IsForItsSliceAndKeyOnly) {
  const CalibrationCache cache(directory_);
  ASSERT_TRUE(cache.Store(device_, slice_, "llama", {1, 2}).ok());
  EXPECT_EQ(cache.Load(device_, slice_, "llama", 3), std::nullopt);
  EXPECT_EQ(cache.Load(device_, slice_, "other", 2), std::nullopt);
  Slice smaller = slice_;
  smaller.share = Share::OfPercent(25);
  EXPECT_EQ(cache.Load(device_, smaller, "llama", 2), std::nullopt);
  Slice elsewhere = slice_;
  elsewhere.cores = {4, 5};
  EXPECT_NE(cache.Load(device_, elsewhere, "llama", 2), std::nullopt);
  DeviceInfo newer = device_;
  newer.driver_version = "2";
  EXPECT_EQ(cache.Load(newer, slice_, "llama", 2), std::nullopt);
}

TEST_F(Calibration, ACorruptFileIsNoFile) {
  const CalibrationCache cache(directory_);
  ASSERT_TRUE(cache.Store(device_, slice_, "llama", {1, 2}).ok());
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    std::filesystem::resize_file(entry.path(), 20);
  }
  EXPECT_EQ(cache.Load(device_, slice_, "llama", 2), std::nullopt);
  ASSERT_TRUE(cache.Store(device_, slice_, "llama", {3, 4}).ok());
  EXPECT_NE(cache.Load(device_, slice_, "llama", 2), std::nullopt);
}

TEST_F(Calibration, RefusesWhatIsNoNumber) {
  const CalibrationCache cache(directory_);
  EXPECT_FALSE(cache.Store(device_, slice_, "k", {std::nan("")}).ok());
  EXPECT_FALSE(cache.Store(device_, slice_, "k", {std::numeric_limits<double>::infinity()}).ok());
}

}  // namespace
}  // namespace het::runtime
