// The soft NVIDIA cards of this process, from HET_SOFT_CUDA (../common/settings.h):
//
//   devices=N      cards (1)               memory=SIZE   of a card (4GiB)
//   name=TEXT      ("NVIDIA H100")         units=N       multiprocessors (132)
//   capability=N   (90)                    mig=N         instances the card is cut into (0: no MIG)
//   order=reverse  last card first         version=N     of the driver (13000)
//   pools=0        no memory pools         peers=0       cards do not reach each other
//
// libcuda and libnvidia-ml are two libraries: each makes its own list from the same settings.
#ifndef HET_TESTS_SOFT_DRIVERS_CUDA_CARDS_H_
#define HET_TESTS_SOFT_DRIVERS_CUDA_CARDS_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/soft_drivers/common/settings.h"

namespace het::soft::cuda {

inline constexpr char kVariable[] = "HET_SOFT_CUDA";

struct CardFacts {
  int card = 0;       // its number in the settings: the same in every order
  int instance = -1;  // of a MIG instance
  std::array<unsigned char, 16> uuid = {};
  std::string name;
  uint64_t memory = 0;
  uint32_t units = 0;
  int capability = 0;
  std::vector<CardFacts> instances;

  // "GPU-..." or "MIG-...", as nvidia-smi prints it.
  std::string UuidText() const {
    std::string text = instance >= 0 ? "MIG-" : "GPU-";
    for (size_t i = 0; i < uuid.size(); ++i) {
      char hex[3];
      std::snprintf(hex, sizeof(hex), "%02x", uuid[i]);
      if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
      text += hex;
    }
    return text;
  }
};

inline std::vector<CardFacts> Cards(const Settings& settings) {
  std::vector<CardFacts> cards;
  const auto count = static_cast<int>(settings.Number("devices", 1));
  for (int i = 0; i < count; ++i) {
    CardFacts card;
    card.card = i;
    card.uuid = {'s', 'o', 'f', 't', 'c', 'u', 0x4d, 'a', 0x80, 0, 0, 0, 0, 0, 0};
    card.uuid[15] = static_cast<unsigned char>(i + 1);
    card.name = settings.Text("name", "NVIDIA H100", i) + " (soft)";
    card.memory = settings.Number("memory", uint64_t{4} << 30, i);
    card.units = static_cast<uint32_t>(settings.Number("units", 132, i));
    card.capability = static_cast<int>(settings.Number("capability", 90, i));
    const auto instances = static_cast<int>(settings.Number("mig", 0, i));
    for (int part = 0; part < instances; ++part) {
      CardFacts piece = card;
      piece.instance = part;
      piece.uuid[14] = static_cast<unsigned char>(part + 1);
      piece.name = card.name + " MIG";
      piece.memory = card.memory / static_cast<uint64_t>(instances);
      piece.units = std::max(1u, card.units / static_cast<uint32_t>(instances));
      card.instances.push_back(piece);
    }
    cards.push_back(std::move(card));
  }
  if (settings.Text("order", "") == "reverse") std::reverse(cards.begin(), cards.end());
  return cards;
}

}  // namespace het::soft::cuda

#endif  // HET_TESTS_SOFT_DRIVERS_CUDA_CARDS_H_
