#include "devices/simulated/faults.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/units.h"

namespace het::simulated {
namespace {

// By UUID. Never destroyed: devices may be closed by static destructors.
struct Registry {
  absl::Mutex mutex;
  std::map<std::string, Ref<FaultState>> states ABSL_GUARDED_BY(mutex);
};

Registry& GetRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

}  // namespace

Ref<FaultState> FaultState::Of(const std::string& uuid, const Faults& plan) {
  Registry& registry = GetRegistry();
  absl::MutexLock lock(&registry.mutex);
  Ref<FaultState>& state = registry.states[uuid];
  if (!state) {
    state = MakeRef<FaultState>();
    absl::MutexLock state_lock(&state->mutex_);
    state->plan_ = plan;
  }
  return state;
}

void SetFaults(const std::string& uuid, const Faults& faults) {
  const Ref<FaultState> state = FaultState::Of(uuid);
  absl::MutexLock lock(&state->mutex_);
  state->plan_ = faults;
  state->ops_ = 0;
}

void LoseDevice(const std::string& uuid, absl::string_view reason) {
  FaultState::Of(uuid)->Lose(reason);
}

void HealDevice(const std::string& uuid) {
  // A new state: what is open keeps the old one, and stays lost.
  Registry& registry = GetRegistry();
  absl::MutexLock lock(&registry.mutex);
  const auto it = registry.states.find(uuid);
  if (it == registry.states.end()) {
    registry.states[uuid] = MakeRef<FaultState>();
    return;
  }
  if (it->second->lost().ok()) {
    absl::MutexLock state_lock(&it->second->mutex_);
    it->second->plan_ = {};
  } else {
    it->second = MakeRef<FaultState>();
  }
}

FaultState::Verdict FaultState::BeforeOp(int64_t nanos) {
  std::string reason;
  {
    absl::MutexLock lock(&mutex_);
    if (!lost_.ok()) return Verdict::kLost;
    if (plan_.lose_at_nanos && nanos >= *plan_.lose_at_nanos) {
      reason = absl::StrCat("lost ", *plan_.lose_at_nanos, " ns after it was opened");
    } else if (plan_.lose_after_ops && ops_ >= *plan_.lose_after_ops) {
      reason = absl::StrCat("lost after ", ops_, " operations");
    } else if (plan_.hang_after_ops && ops_ >= *plan_.hang_after_ops) {
      return Verdict::kHang;
    } else {
      ++ops_;
      return Verdict::kRun;
    }
  }
  Lose(reason);
  return Verdict::kLost;
}

absl::Status FaultState::CheckAllocation(uint64_t taken, uint64_t bytes,
                                         absl::string_view device) const {
  absl::MutexLock lock(&mutex_);
  if (!lost_.ok()) return lost_;
  const std::optional<uint64_t> limit = plan_.out_of_memory_after_bytes;
  if (!limit || (bytes <= *limit && taken <= *limit - bytes)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "asked ", FormatBytes(bytes), " on ", device, ", which holds ", FormatBytes(taken),
      "; an injected fault ends its memory at ", FormatBytes(*limit)));
}

double FaultState::link_slowdown() const {
  absl::MutexLock lock(&mutex_);
  return std::max(1.0, plan_.link_slowdown);
}

std::optional<int64_t> FaultState::lose_at_nanos() const {
  absl::MutexLock lock(&mutex_);
  return plan_.lose_at_nanos;
}

absl::Status FaultState::lost() const {
  absl::MutexLock lock(&mutex_);
  return lost_;
}

void FaultState::Lose(absl::string_view reason) {
  std::vector<Ref<LossListener>> listeners;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (!lost_.ok()) return;
    lost_ = status = absl::DataLossError(absl::StrCat("the simulated device is ", reason));
    listeners.swap(listeners_);
  }
  for (const Ref<LossListener>& listener : listeners) listener->OnLost(status);
}

void FaultState::Watch(Ref<LossListener> listener) {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    status = lost_;
    if (status.ok()) listeners_.push_back(listener);
  }
  if (!status.ok()) listener->OnLost(status);
}

void FaultState::Unwatch(LossListener* listener) {
  Ref<LossListener> last;  // let go of outside the lock
  absl::MutexLock lock(&mutex_);
  for (auto it = listeners_.begin(); it != listeners_.end(); ++it) {
    if (it->get() != listener) continue;
    last = std::move(*it);
    listeners_.erase(it);
    return;
  }
}

}  // namespace het::simulated
