#include "tests/soft_drivers/common/engine.h"

#include <cstdio>
#include <cstring>
#include <utility>

namespace het::soft {

Trouble TroubleOf(std::string_view word) {
  static constexpr std::pair<std::string_view, Trouble> kWords[] = {
      {"", Trouble::kNone},
      {"oom", Trouble::kOutOfMemory},
      {"nodevice", Trouble::kNoDevice},
      {"mismatch", Trouble::kMismatch},
      {"lost", Trouble::kLost},
      {"ecc", Trouble::kEcc},
      {"illegal", Trouble::kIllegalAddress},
      {"timeout", Trouble::kTimeout},
  };
  for (const auto& [known, trouble] : kWords) {
    if (word == known) return trouble;
  }
  return Trouble::kUnknown;
}

void Engine::AddCard(int number, uint64_t memory_bytes) {
  const int index = cards();
  cards_.emplace_back();
  cards_.back().number = number;
  memory.SetSize(index, memory_bytes);
}

Trouble Engine::Strike(int card, Trouble trouble) {
  if (trouble >= Trouble::kLost) cards_[card].broken = trouble;
  return trouble;
}

Trouble Engine::Check(const char* point, int card) {
  const std::string_view word = settings.Check(point, card >= 0 ? cards_[card].number : -1);
  if (!word.empty()) {
    return card >= 0 ? Strike(card, TroubleOf(word)) : TroubleOf(word);
  }
  return card >= 0 ? broken(card) : Trouble::kNone;
}

bool Engine::Reaches(int card, const void* address, uint64_t bytes) const {
  const Piece piece = memory.Find(address, bytes);
  if (piece.bytes == 0) return false;
  if (piece.card == card || piece.card == kHostMemory) return true;
  const std::lock_guard lock(mutex_);
  return peers_.contains({card, piece.card});
}

void Engine::AllowPeer(int card, int peer) {
  const std::lock_guard lock(mutex_);
  peers_.insert({card, peer});
}

std::unique_ptr<Stream> Engine::NewStream(int card) {
  auto stream = std::make_unique<Stream>(
      [this, card](const Launch& launch) {
        if (Check("kernel", card) != Trouble::kNone) return false;
        for (size_t i = 0; i < launch.kernel->arguments.size(); ++i) {
          if (!launch.kernel->arguments[i].is_pointer) continue;
          const void* address = nullptr;
          std::memcpy(&address, launch.arguments.data() + launch.kernel->OffsetOf(i),
                      sizeof(address));
          if (Reaches(card, address)) continue;
          Strike(card, Trouble::kIllegalAddress);
          return false;
        }
        return true;
      },
      [this, card](const std::string& why) {
        std::fprintf(stderr, "soft %s: %s\n", name_.c_str(), why.c_str());
        Strike(card, Trouble::kLaunchFailed);
      });
  stream->CallAtEnd([this, card](Stream* ended) {
    const std::lock_guard lock(cards_[card].mutex);
    cards_[card].streams.erase(ended);
  });
  const std::lock_guard lock(cards_[card].mutex);
  cards_[card].streams.insert(stream.get());
  return stream;
}

void Engine::Synchronize(int card) {
  const std::lock_guard lock(cards_[card].mutex);
  for (Stream* stream : cards_[card].streams) stream->Synchronize();
}

void Engine::Move(Stream& stream, int card, std::function<void()> work) {
  stream.Enqueue([this, card, work = std::move(work)] {
    if (Check("copy", card) == Trouble::kNone) work();
  });
}

std::shared_ptr<Mark> Event::mark() {
  const std::lock_guard lock(mutex_);
  return mark_;
}

void Event::Record(Stream& stream) {
  std::shared_ptr<Mark> mark = stream.Record();
  const std::lock_guard lock(mutex_);
  mark_ = std::move(mark);
}

void Event::WaitIn(Stream& stream) {
  if (std::shared_ptr<Mark> last = mark(); last != nullptr) stream.WaitFor(std::move(last));
}

bool Event::reached() {
  const std::shared_ptr<Mark> last = mark();
  return last == nullptr || last->reached();
}

void Event::Wait() {
  if (const std::shared_ptr<Mark> last = mark(); last != nullptr) last->Wait();
}

bool Event::Elapsed(Event& begin, Event& end, float* milliseconds, bool* ready) {
  const std::shared_ptr<Mark> from = begin.mark(), to = end.mark();
  if (from == nullptr || to == nullptr) return false;
  *ready = from->reached() && to->reached();
  if (*ready) {
    *milliseconds = static_cast<float>(static_cast<double>(to->nanos() - from->nanos()) * 1e-6);
  }
  return true;
}

bool PackArguments(const KernelShape& shape, void** parameters, void** extra, void* end,
                   std::vector<std::byte>& packed) {
  const size_t bytes = shape.OffsetOf(shape.arguments.size());
  packed.resize(bytes);
  if (parameters != nullptr) {
    for (size_t i = 0; i < shape.arguments.size(); ++i) {
      std::memcpy(packed.data() + shape.OffsetOf(i), parameters[i], shape.arguments[i].bytes);
    }
    return true;
  }
  const void* from = nullptr;
  size_t given = 0;
  for (void** at = extra; at != nullptr && *at != end; at += 2) {
    if (*at == reinterpret_cast<void*>(1)) from = at[1];
    if (*at == reinterpret_cast<void*>(2)) given = *static_cast<size_t*>(at[1]);
  }
  if (given != bytes || (from == nullptr && bytes > 0)) return false;
  if (bytes > 0) std::memcpy(packed.data(), from, bytes);
  return true;
}

}  // namespace het::soft
