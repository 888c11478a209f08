#include "tests/soft_drivers/level_zero/state.h"

#include <ctime>

namespace het::soft::ze {

Settings& TheSettings() {
  static Settings* const settings = new Settings("HET_SOFT_LEVEL_ZERO");
  return *settings;
}

Memory& TheMemory() {
  static Memory* const memory = new Memory;
  return *memory;
}

uint64_t Nanos() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t Ticks() { return Nanos() / kNanosPerTick & ((uint64_t{1} << kTickBits) - 1); }

namespace {

struct AllCards {
  std::mutex mutex;
  std::deque<Card> cards;  // never shrinks: handles stay
};

AllCards& TheCards() {
  static AllCards* const cards = new AllCards;
  return *cards;
}

}  // namespace

std::vector<Card*> Cards() {
  Settings& settings = TheSettings();
  settings.Check("zeDeviceGet");  // looks at the control file
  const uint64_t gpus = settings.Number("devices", 1), npus = settings.Number("npus", 0);
  AllCards& all = TheCards();
  const std::lock_guard lock(all.mutex);
  std::vector<Card*> cards;
  for (uint64_t i = 0; i < gpus + npus; ++i) {
    const int index = static_cast<int>(i);
    if (i == all.cards.size()) {
      Card& card = all.cards.emplace_back();
      card.whole.card = index;
      card.npu = i >= gpus;
      const uint64_t tiles = card.npu ? 1 : settings.Number("tiles", 1, index);
      for (uint64_t tile = 0; tiles > 1 && tile < tiles; ++tile) {
        card.tiles.push_back(std::make_unique<Device>(Device{index, static_cast<int>(tile)}));
      }
      TheMemory().SetSize(index, settings.Number("memory", uint64_t{2} << 30, index));
    }
    cards.push_back(&all.cards[i]);
  }
  return cards;
}

Card& CardAt(int index) {
  AllCards& all = TheCards();
  const std::lock_guard lock(all.mutex);
  return all.cards.at(static_cast<size_t>(index));
}

ze_result_t Due(const char* point, int card) {
  const std::string_view word = TheSettings().Check(point, card);
  if (word.empty()) {
    return card >= 0 && CardAt(card).lost ? ZE_RESULT_ERROR_DEVICE_LOST : ZE_RESULT_SUCCESS;
  }
  if (word == "oom") return ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY;
  if (word == "version") return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  if (card >= 0 && (word == "lost" || word == "ecc" || word == "illegal")) {
    if (word == "ecc") ++CardAt(card).uncorrected;
    CardAt(card).lost = true;
    return ZE_RESULT_ERROR_DEVICE_LOST;
  }
  return ZE_RESULT_ERROR_UNKNOWN;
}

}  // namespace het::soft::ze
