#include "tests/soft_drivers/cuda/state.h"

#include <cstdlib>
#include <string>
#include <string_view>

namespace het::soft::cuda {
namespace {

// Which of the cards a process sees: CUDA_VISIBLE_DEVICES names them by number or (the beginning
// of) a UUID; the first that is wrong ends the list. Of a card with MIG instances a process sees
// one.
std::vector<CardFacts> Visible(const std::vector<CardFacts>& all) {
  const auto shown = [](const CardFacts& card) {
    return card.instances.empty() ? card : card.instances.front();
  };
  const char* variable = std::getenv("CUDA_VISIBLE_DEVICES");
  std::vector<CardFacts> visible;
  if (variable == nullptr) {
    for (const CardFacts& card : all) visible.push_back(shown(card));
    return visible;
  }
  std::string_view text = variable;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string name(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    const CardFacts* found = nullptr;
    for (const CardFacts& card : all) {
      const auto index = static_cast<size_t>(&card - all.data());
      if (name == std::to_string(index) || (name.size() > 4 && card.UuidText().starts_with(name)))
        found = card.instances.empty() ? &card : &card.instances.front();
      for (const CardFacts& instance : card.instances) {
        if (name.size() > 4 && instance.UuidText().starts_with(name)) found = &instance;
      }
    }
    if (found == nullptr) break;
    visible.push_back(*found);
  }
  return visible;
}

}  // namespace

State::State() {
  for (const CardFacts& facts : Visible(Cards(engine.settings))) {
    engine.AddCard(facts.card, facts.memory);
    primary.emplace_back();
    primary.back().card = static_cast<int>(cards.size());
    primary.back().units = facts.units;
    cards.push_back(facts);
  }
}

State& The() {
  static State* const state = new State;  // never destroyed: streams may run at exit
  return *state;
}

het::cuda::CUcontext& Current() {
  thread_local het::cuda::CUcontext current = nullptr;
  return current;
}

std::vector<het::cuda::CUcontext>& Pushed() {
  thread_local std::vector<het::cuda::CUcontext> pushed;
  return pushed;
}

int& CaptureMode() {
  thread_local int mode = 0;
  return mode;
}

void State::Own(void* memory, het::cuda::CUcontext context) {
  const std::lock_guard lock(mutex);
  if (context != nullptr) {
    owners[memory] = context;
  } else {
    owners.erase(memory);
  }
}

void State::Clear(het::cuda::CUcontext context) {
  std::vector<void*> owned;
  {
    const std::lock_guard lock(mutex);
    for (const auto& [memory, owner] : owners) {
      if (owner == context) owned.push_back(memory);
    }
    for (void* memory : owned) owners.erase(memory);
  }
  for (void* memory : owned) engine.memory.Free(memory);
}

het::cuda::CUresult ErrorOf(Trouble trouble) {
  switch (trouble) {
    case Trouble::kNone:
      return het::cuda::CUDA_SUCCESS;
    case Trouble::kOutOfMemory:
      return het::cuda::CUDA_ERROR_OUT_OF_MEMORY;
    case Trouble::kNoDevice:
      return het::cuda::CUDA_ERROR_NO_DEVICE;
    case Trouble::kMismatch:
      return het::cuda::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
    case Trouble::kEcc:
      return het::cuda::CUDA_ERROR_ECC_UNCORRECTABLE;
    case Trouble::kIllegalAddress:
      return het::cuda::CUDA_ERROR_ILLEGAL_ADDRESS;
    case Trouble::kTimeout:
      return het::cuda::CUDA_ERROR_LAUNCH_TIMEOUT;
    case Trouble::kLaunchFailed:
      return het::cuda::CUDA_ERROR_LAUNCH_FAILED;
    case Trouble::kLost:  // what a card gives that fell off the bus
    case Trouble::kUnknown:
      break;
  }
  return het::cuda::CUDA_ERROR_UNKNOWN;
}

}  // namespace het::soft::cuda
