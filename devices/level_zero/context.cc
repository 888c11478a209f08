#include "devices/level_zero/context.h"

#include <tuple>

#include "base/status.h"

namespace het::level_zero {
namespace {

constexpr uint32_t kPointsPerPool = 128;

}  // namespace

absl::StatusOr<std::shared_ptr<const Context>> Context::Create(const Api& api, Handle driver) {
  const ContextDesc desc;
  Handle handle = nullptr;
  HET_ZE_RETURN_IF_ERROR(api.zeContextCreate(driver, &desc, &handle), "zeContextCreate");
  return std::shared_ptr<const Context>(new Context(api, handle));
}

Points::~Points() {
  absl::MutexLock lock(&mutex_);
  const Api& api = context_->api();
  for (Handle event : events_) api.zeEventDestroy(event);
  for (Handle pool : pools_) api.zeEventPoolDestroy(pool);
  for (void* block : stamp_blocks_) api.zeMemFree(context_->handle(), block);
}

int Points::More() {
  const Api& api = context_->api();
  EventPoolDesc pool_desc;
  pool_desc.flags = kPoolHostVisible;
  pool_desc.count = kPointsPerPool;
  Handle pool = nullptr;
  // No devices named: all of the context may wait for them.
  HET_ZE_TRY(api.zeEventPoolCreate(context_->handle(), &pool_desc, 0, nullptr, &pool));
  pools_.push_back(pool);
  const HostMemoryDesc memory_desc;
  void* block = nullptr;
  HET_ZE_TRY(api.zeMemAllocHost(context_->handle(), &memory_desc, kPointsPerPool * sizeof(uint64_t),
                                alignof(uint64_t), &block));
  stamp_blocks_.push_back(block);
  for (uint32_t i = 0; i < kPointsPerPool; ++i) {
    EventDesc desc;
    desc.index = i;
    desc.signal = desc.wait = kScopeHost;
    Handle event = nullptr;
    HET_ZE_TRY(api.zeEventCreate(pool, &desc, &event));
    events_.push_back(event);
    free_.emplace_back(event, static_cast<uint64_t*>(block) + i);
  }
  return kSuccess;
}

int Points::Take(Handle* event, uint64_t** stamp) {
  {
    absl::MutexLock lock(&mutex_);
    if (free_.empty()) {
      if (const int error = More(); error != kSuccess && free_.empty()) return error;
    }
    std::tie(*event, *stamp) = free_.back();
    free_.pop_back();
  }
  return static_cast<int>(context_->api().zeEventHostReset(*event));
}

void Points::GiveBack(Handle event, uint64_t* stamp) {
  absl::MutexLock lock(&mutex_);
  free_.emplace_back(event, stamp);
}

}  // namespace het::level_zero
