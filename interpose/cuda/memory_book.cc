#include "interpose/cuda/memory_book.h"

namespace het::interpose {

// Gives its bytes back when the last handle and the last mapping let go of it.
class MemoryBook::Physical {
 public:
  Physical(MemoryBook& book, uint64_t bytes) : book_(book), bytes_(bytes) {}
  ~Physical() { book_.GiveBack(bytes_); }
  Physical(const Physical&) = delete;
  Physical& operator=(const Physical&) = delete;

  // Under the book's lock. The size of another process's memory is that of its first mapping.
  bool Book(uint64_t bytes) {
    if (bytes_ > 0) return true;
    if (!book_.Reserve(bytes)) return false;
    bytes_ = bytes;
    return true;
  }

 private:
  MemoryBook& book_;
  uint64_t bytes_;
};

void MemoryBook::Add(Kind kind, uint64_t name, const Record& record) {
  PlainLock lock(&mutex_);
  records_[{kind, name}] = record;
}

MemoryBook::Record MemoryBook::Take(Kind kind, uint64_t name) {
  PlainLock lock(&mutex_);
  const auto found = records_.find({kind, name});
  if (found == records_.end()) return {};
  const Record record = found->second;
  records_.erase(found);
  return record;
}

void MemoryBook::ForgetContext(const void* context) {
  uint64_t bytes = 0;
  {
    PlainLock lock(&mutex_);
    for (auto it = records_.begin(); it != records_.end();) {
      const auto here = it++;
      if (here->second.context != context) continue;
      bytes += here->second.bytes;
      records_.erase(here);
    }
  }
  GiveBack(bytes);
}

void MemoryBook::AddHandle(uint64_t handle, uint64_t bytes) {
  auto memory = std::make_shared<Physical>(*this, bytes);
  PlainLock lock(&mutex_);
  handles_[handle] = {std::move(memory), 1};
}

void MemoryBook::RetainHandle(uint64_t handle, uint64_t address) {
  PlainLock lock(&mutex_);
  auto after = mappings_.upper_bound(address);
  if (after == mappings_.begin()) return;
  const auto& [begin, mapping] = *std::prev(after);
  if (address - begin >= mapping.bytes) return;
  Handle& known = handles_[handle];
  known.memory = mapping.memory;
  ++known.count;
}

std::shared_ptr<MemoryBook::Physical> MemoryBook::ReleaseHandle(uint64_t handle) {
  PlainLock lock(&mutex_);
  const auto found = handles_.find(handle);
  if (found == handles_.end()) return nullptr;
  std::shared_ptr<Physical> memory = found->second.memory;
  if (--found->second.count == 0) handles_.erase(found);
  return memory;
}

void MemoryBook::RestoreHandle(uint64_t handle, std::shared_ptr<Physical> memory) {
  if (memory == nullptr) return;
  PlainLock lock(&mutex_);
  Handle& known = handles_[handle];
  known.memory = std::move(memory);
  ++known.count;
}

bool MemoryBook::MayMap(uint64_t bytes, uint64_t handle) {
  PlainLock lock(&mutex_);
  const auto found = handles_.find(handle);
  // The driver knows no such handle either, or one that is not the device's memory.
  return found == handles_.end() || found->second.memory->Book(bytes);
}

void MemoryBook::Map(uint64_t address, uint64_t bytes, uint64_t handle) {
  PlainLock lock(&mutex_);
  const auto found = handles_.find(handle);
  if (found != handles_.end()) mappings_[address] = {bytes, found->second.memory};
}

void MemoryBook::Unmap(uint64_t address, uint64_t bytes) {
  std::vector<std::shared_ptr<Physical>> gone;  // let go of without the lock
  PlainLock lock(&mutex_);
  for (auto it = mappings_.lower_bound(address);
       it != mappings_.end() && it->first - address < bytes;) {
    gone.push_back(std::move(it->second.memory));
    it = mappings_.erase(it);
  }
}

}  // namespace het::interpose
