// hetd killed at every named place of every operation, on both sides of the commit: after a restart
// the same request, repeated, finds or makes exactly one outcome.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/uuid.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

// What hetd passes for every operation that changes something, in this order.
constexpr const char* kPlaces[] = {"commit.begin", "commit.staged", "commit.done", "answer.before",
                                   "answer.after"};

struct Operation {
  const char* name;
  const char* method;
  bool needs_lease;  // a confirmed one
  bool needs_try;    // a transaction that is tried
  int leases_after;  // in all
};

constexpr Operation kOperations[] = {
    {"acquire", "Acquire", false, false, 1},    {"try", "Acquire", false, false, 1},
    {"confirm", "Confirm", false, true, 1},     {"cancel", "Cancel", false, true, 0},
    {"release", "Release", true, false, 0},     {"renew", "Renew", true, false, 1},
    {"resize", "Resize", true, false, 1},       {"create", "CreateSlice", false, false, 0},
    {"delete", "DeleteSlice", false, false, 0},
};

Json ParametersOf(const Operation& operation, const std::string& lease) {
  const Json ref = {{{"id", lease}}};
  const std::string name = operation.name;
  Json parameters = {{"requestId", NewUuid()}};
  if (name == "acquire" || name == "try") {
    protocol::AcquireRequest request = AcquireOf("gpu-a", 30, kGiB);
    request.terms.request_id = NewUuid();
    if (name == "try") {
      request.terms.confirm = false;
      request.terms.transaction = "later";
    }
    return ToJson(request);
  }
  if (operation.needs_try) {
    parameters["transaction"] = "t";
  } else if (operation.needs_lease) {
    parameters["leases"] = ref;
    if (name == "renew") parameters["ttlMs"] = 100'000u;
    if (name == "resize") parameters["memoryBytes"] = 2 * kGiB;
  } else {
    parameters = {{"name", name == "create" ? "new" : "old"}};
    if (name == "create") {
      parameters["device"] = "gpu-b";
      parameters["sharePercent"] = 10;
      parameters["memoryBytes"] = kGiB;
    }
  }
  return parameters;
}

class HetdKilledAtAPlace : public testing::Test {
 protected:
  // As often as it takes hetd to live long enough.
  absl::StatusOr<Json> Repeat(const std::string& method, const Json& parameters) {
    absl::StatusOr<Json> answer = absl::UnavailableError("not asked");
    Eventually([&] {
      const auto client = protocol::Client::Connect(hetd_.socket(), 5000);
      if (client.ok()) answer = (*client)->Call("org.het.v1." + method, parameters);
      return !absl::IsUnavailable(answer.status());
    });
    return answer;
  }
  bool IsDead() {
    int status = 0;
    return waitpid(hetd_.pid(), &status, WNOHANG) == hetd_.pid() && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGKILL;
  }
  HetdProcess hetd_;
};

TEST_F(HetdKilledAtAPlace, HasOneOutcomeOfEveryOperation) {
  const std::string armed = hetd_.directory().path() + "/armed";
  int deaths = 0, early = 0;
  for (const Operation& operation : kOperations) {
    for (const char* place : kPlaces) {
      SCOPED_TRACE(std::string(operation.name) + " at " + place);
      setenv("HET_FAILPOINT", (std::string(place) + "@" + armed).c_str(), 1);
      hetd_.Start();
      const auto client = hetd_.Connect();
      std::string lease;
      if (operation.needs_lease) {
        lease = client->Acquire(AcquireOf("gpu-a", 30, kGiB, Holder::kManual, 60'000))->front().id;
      }
      if (operation.needs_try) {
        protocol::AcquireRequest tried = AcquireOf("gpu-a", 30, kGiB);
        tried.terms.confirm = false;
        tried.terms.transaction = "t";
        ASSERT_TRUE(client->Acquire(tried).ok());
      }
      if (std::string(operation.name) == "delete") {
        ASSERT_TRUE(client
                        ->Call("org.het.v1.CreateSlice", {{"name", "old"},
                                                          {"device", "gpu-b"},
                                                          {"sharePercent", 10},
                                                          {"memoryBytes", kGiB}})
                        .ok());
      }
      const Json parameters = ParametersOf(operation, lease);
      std::ofstream(armed).put('1');
      const int raw = hetd_.ConnectRaw();
      const std::string frame =
          PrintJson({{"method", std::string("org.het.v1.") + operation.method},
                     {"parameters", parameters}}) +
          std::string(1, '\0');
      // hetd may pass the place on business of its own, before it is asked.
      if (write(raw, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) ++early;
      ASSERT_TRUE(Eventually([&] { return IsDead(); })) << "it did not pass the place";
      ++deaths;
      close(raw);
      unlink(armed.c_str());
      unsetenv("HET_FAILPOINT");
      hetd_.Start();
      const absl::StatusOr<Json> again = Repeat(operation.method, parameters);
      if (parameters.contains("requestId")) {
        EXPECT_TRUE(again.ok()) << again.status();
      } else {
        // Named slices: it is there, or gone, already.
        EXPECT_TRUE(again.ok() || absl::IsAlreadyExists(again.status()) ||
                    absl::IsNotFound(again.status()) || absl::IsInternal(again.status()))
            << again.status();
      }
      const auto after = hetd_.Connect();
      const auto leases = after->ListLeases();
      ASSERT_TRUE(leases.ok()) << leases.status();
      EXPECT_EQ(leases->size(), static_cast<size_t>(operation.leases_after));
      const auto devices = after->ListDevices();
      uint64_t booked = 0;
      for (const Lease& held : *leases) booked += held.slice.share.parts();
      EXPECT_EQ((*devices)[0].free.share.parts(), Share::kWhole - booked);
      const bool named = (*devices)[1].free.share.parts() != Share::kWhole;
      EXPECT_EQ(named, std::string(operation.name) == "create");
      // Away with it, for the next.
      for (const Lease& held : *leases) {
        if (!held.transaction.empty() && held.state == LeaseState::kTried) {
          (void)after->Call("org.het.v1.Cancel", {{"transaction", held.transaction}});
        } else {
          EXPECT_TRUE(after->Release(ChangeOf(held)).ok());
        }
      }
      (void)after->Call("org.het.v1.DeleteSlice", {{"name", "new"}});
      hetd_.Kill(SIGTERM);
      std::filesystem::remove_all(hetd_.state_dir());
    }
  }
  EXPECT_LE(early, deaths / 5) << "too many of them died before they were asked";
  printf("%d deaths at %zu operations and %zu places\n", deaths, std::size(kOperations),
         std::size(kPlaces));
}

TEST_F(HetdKilledAtAPlace, StartsAgainAfterDyingInItsStart) {
  for (const char* place :
       {"migrate.begin", "migrate.staged", "migrate.done", "restore.staged", "commit.staged"}) {
    SCOPED_TRACE(place);
    int exit_code = 0;
    setenv("HET_FAILPOINT", place, 1);
    hetd_.StartAndFail({"--runtime-dir", hetd_.runtime_dir(), "--state-dir", hetd_.state_dir()},
                       &exit_code);
    EXPECT_EQ(exit_code, -1) << "killed";
    unsetenv("HET_FAILPOINT");
    hetd_.Start();
    // The next one that starts has something to write.
    EXPECT_TRUE(hetd_.Connect()->Acquire(AcquireOf("gpu-a", 5, kGiB)).ok());
    hetd_.Kill(SIGKILL);
    if (std::string(place).starts_with("migrate")) {
      std::filesystem::remove_all(hetd_.state_dir());
    }
  }
  hetd_.Start();
  EXPECT_EQ(hetd_.Connect()->ListLeases()->size(), 2u) << "those of the last two starts";
}

}  // namespace
}  // namespace het::daemon
