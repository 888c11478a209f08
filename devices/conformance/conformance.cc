#include "devices/conformance/conformance.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/conformance/performance.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (auto cases : {DiscoveryCases, MemoryCases, CopyCases, QueueCases, TimelineCases, KernelCases,
                     ThreadCases, PeerCases, MatrixCases, GraphCases, RecordingCases}) {
    for (const Case& one : cases()) all.push_back(one);
  }
  return all;
}

std::string NameOf(const Case& test) { return absl::StrCat(test.suite, ".", test.name); }

// Shell patterns: * and ?.
bool Matches(absl::string_view pattern, absl::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    return Matches(pattern.substr(1), text) || (!text.empty() && Matches(pattern, text.substr(1)));
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         Matches(pattern.substr(1), text.substr(1));
}

const Excuse* FindExcuse(const std::vector<Excuse>& excuses, const std::string& test) {
  for (const Excuse& excuse : excuses) {
    if (Matches(excuse.test, test)) return &excuse;
  }
  return nullptr;
}

// One backend's driver and device, made on first use.
class Session {
 public:
  explicit Session(Backend backend) : backend_(std::move(backend)) {}

  const Backend& backend() const { return backend_; }
  Driver& driver() { return *driver_; }
  Device& device() { return *device_; }
  const DeviceInfo& info() const { return info_; }

  // Why there is no device, the same each time.
  const absl::Status& Start() {
    if (!started_) {
      started_ = true;
      status_ = Open();
    }
    return status_;
  }

 private:
  absl::Status Open() {
    absl::StatusOr<std::unique_ptr<Driver>> driver = backend_.create_driver();
    if (!driver.ok()) return driver.status();
    driver_ = *std::move(driver);
    absl::StatusOr<std::vector<DeviceInfo>> infos = driver_->Enumerate();
    if (!infos.ok()) return infos.status();
    std::string seen;
    for (const DeviceInfo& info : *infos) {
      absl::StrAppend(&seen, " [", info.vendor, " ", info.name, ", ", DeviceStateName(info.state),
                      " ", info.reason, "]");
      if (backend_.select ? !backend_.select(info) : info.state != DeviceState::kOk) continue;
      info_ = info;
      absl::StatusOr<std::unique_ptr<Device>> device = driver_->Open(info.uuid, backend_.open);
      if (!device.ok()) return device.status();
      device_ = *std::move(device);
      return absl::OkStatus();
    }
    return absl::NotFoundError(absl::StrCat("the device to test is not there; there are:", seen));
  }

  const Backend backend_;
  bool started_ = false;
  absl::Status status_;
  std::unique_ptr<Driver> driver_;
  DeviceInfo info_;
  std::unique_ptr<Device> device_;
};

class CaseTest : public testing::Test {
 public:
  CaseTest(std::shared_ptr<Session> session, Case test)
      : session_(std::move(session)), test_(test) {}

  void TestBody() override {
    const absl::Status& status = session_->Start();
    if (!status.ok()) {
      if (!session_->backend().required && absl::IsUnavailable(status)) {
        GTEST_SKIP() << status;
      }
      FAIL() << "no device, and that is no reason to skip: " << status;
    }
    const Excuse* excuse = FindExcuse(session_->backend().expected_failures, NameOf(test_));
    if (excuse == nullptr) {
      Run();
    } else {
      RunToFail(*excuse);
    }
  }

 private:
  void Run() {
    try {
      Fixture fixture(session_->backend(), session_->driver(), session_->info(),
                      session_->device());
      test_.run(fixture);
    } catch (const Abandoned&) {  // the failure is recorded
    }
    EXPECT_EQ(session_->device().allocated_bytes(), 0u) << "memory was not given back";
  }

  void RunToFail(const Excuse& excuse) {
    testing::TestPartResultArray results;
    {
      testing::ScopedFakeTestPartResultReporter intercept(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &results);
      Run();
    }
    int failures = 0;
    for (int i = 0; i < results.size(); ++i) {
      if (!results.GetTestPartResult(i).failed()) continue;
      ++failures;
      std::printf("failed as expected (%s): %s\n", excuse.reason.c_str(),
                  results.GetTestPartResult(i).summary());
    }
    EXPECT_GT(failures, 0) << "it passes, though it is expected to fail (" << excuse.reason
                           << "): take it off the list";
  }

  const std::shared_ptr<Session> session_;
  const Case test_;
};

// The lists themselves: every entry names a test and gives a reason.
class ListsTest : public testing::Test {
 public:
  explicit ListsTest(std::shared_ptr<Session> session) : session_(std::move(session)) {}

  void TestBody() override {
    const Backend& backend = session_->backend();
    for (const Excuse& excuse : backend.unsupported) {
      Check(excuse);
      std::printf("not run on %s: %s (%s)\n", backend.name.c_str(), excuse.test.c_str(),
                  excuse.reason.c_str());
    }
    for (const Excuse& excuse : backend.expected_failures) {
      Check(excuse);
      EXPECT_EQ(FindExcuse(backend.unsupported, excuse.test), nullptr)
          << excuse.test << " is on both lists";
    }
  }

 private:
  static void Check(const Excuse& excuse) {
    EXPECT_FALSE(excuse.reason.empty()) << excuse.test << " gives no reason";
    for (const Case& test : AllCases()) {
      if (Matches(excuse.test, NameOf(test))) return;
    }
    ADD_FAILURE() << excuse.test << " names no test of the suite";
  }

  const std::shared_ptr<Session> session_;
};

std::vector<std::shared_ptr<Session>>& Sessions() {
  static auto* const sessions = new std::vector<std::shared_ptr<Session>>;
  return *sessions;
}

}  // namespace

int RunPerformance() {
  int failures = 0;
  Meter::PrintHead();
  for (const std::shared_ptr<Session>& session : Sessions()) {
    absl::Status status = session->Start();
    if (status.ok()) status = PrintPerformance(session->device());
    if (status.ok()) continue;
    std::printf("%s: %s\n", session->backend().name.c_str(), status.ToString().c_str());
    if (session->backend().required || !absl::IsUnavailable(status)) ++failures;
  }
  return failures;
}

bool Join(Backend backend) {
  const auto session = std::make_shared<Session>(std::move(backend));
  Sessions().push_back(session);
  const std::string prefix = session->backend().name + "/";
  testing::RegisterTest((prefix + "Lists").c_str(), "NameTestsAndReasons", nullptr, nullptr,
                        __FILE__, __LINE__,
                        [session]() -> testing::Test* { return new ListsTest(session); });
  for (const Case& test : AllCases()) {
    if (FindExcuse(session->backend().unsupported, NameOf(test)) != nullptr) continue;
    testing::RegisterTest(
        (prefix + test.suite).c_str(), test.name, nullptr, nullptr, __FILE__, __LINE__,
        [session, test]() -> testing::Test* { return new CaseTest(session, test); });
  }
  return true;
}

}  // namespace het::conformance
