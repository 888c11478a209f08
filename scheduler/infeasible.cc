#include "scheduler/infeasible.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/units.h"
#include "scheduler/beam_search.h"

namespace het::scheduler {
namespace {

// Rounded for reading and exact for checking.
std::string Bytes(int64_t bytes) {
  return absl::StrCat(FormatBytes(bytes), " (", bytes, " bytes)");
}

int64_t Room(const SliceSpec& slice) {
  return std::max<int64_t>(0, slice.memory_bytes - slice.reserved_bytes);
}

bool FitsWith(const Instance& instance, int64_t extra, SearchBudget& budget) {
  TickModel model(instance, 1.0);
  model.AddMemory(extra);
  const Probe probe(model, TickModel::kNoLimit);
  if (BeamSearch(probe, 64, budget).verdict == Verdict::kFeasible) return true;
  return SetSearch(probe, budget).verdict == Verdict::kFeasible;
}

// The least memory that, added to every slice, lets a plan be found.
int64_t ExtraPerSlice(const Instance& instance, SearchBudget& budget) {
  int64_t enough = 0;  // one slice alone
  for (int v = 0; v < instance.SliceCount(); ++v) {
    const int64_t need =
        instance.StageBytes(v, 0, instance.LayerCount()) - instance.slices[v].memory_bytes;
    enough = v == 0 ? need : std::min(enough, need);
  }
  int64_t too_little = 0;
  while (enough - too_little > 1) {
    const int64_t middle = too_little + (enough - too_little) / 2;
    (FitsWith(instance, middle, budget) ? enough : too_little) = middle;
  }
  return enough;
}

}  // namespace

absl::Status ExplainInfeasible(const Instance& instance, bool proven, SearchBudget budget) {
  const auto largest = std::max_element(
      instance.slices.begin(), instance.slices.end(), [](const SliceSpec& a, const SliceSpec& b) {
        return a.memory_bytes - a.reserved_bytes < b.memory_bytes - b.reserved_bytes;
      });
  int64_t all_layers = 0;
  for (int i = 0; i < instance.LayerCount(); ++i) {
    const int64_t bytes = instance.LayerBytes(i);
    all_layers += bytes;
    const int64_t room = largest->memory_bytes - largest->reserved_bytes;
    if (bytes <= room) continue;
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory: layer ", i, " needs ", Bytes(bytes), "; the largest slice, \"", largest->name,
        "\", has ", Bytes(std::max<int64_t>(0, room)), " for layers: ", Bytes(bytes - room),
        " short. A slice with more memory would do"));
  }
  int64_t all_room = 0;
  for (const SliceSpec& slice : instance.slices) all_room += Room(slice);
  if (all_layers > all_room) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory: the ", instance.LayerCount(), " layers need ", Bytes(all_layers), "; the ",
        instance.SliceCount(), " slices together have ", Bytes(all_room),
        " for layers: ", Bytes(all_layers - all_room), " short. More or larger slices would do"));
  }
  const int64_t extra = ExtraPerSlice(instance, budget);
  return absl::ResourceExhaustedError(absl::StrCat(
      "memory: the ", instance.LayerCount(), " layers need ", Bytes(all_layers), " and the ",
      instance.SliceCount(), " slices together have ", Bytes(all_room), " for layers, but ",
      proven ? "no arrangement of runs of whole layers fits"
             : "no arrangement of runs of whole layers was found (the search was not exhaustive)",
      ": every slice is short of ", Bytes(extra), ". With that much more on each it fits"));
}

}  // namespace het::scheduler
