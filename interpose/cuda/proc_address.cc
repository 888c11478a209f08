// cuGetProcAddress: by which runtimes find the driver's functions. What is hooked they get the
// shadow's functions for; what is only forwarded, the driver's own; everything else is answered as
// the driver answers a name that it does not know.
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "interpose/cuda/holding.h"
#include "interpose/cuda/passed.h"

namespace het::interpose {
namespace {

using cuda::CUDA_SUCCESS;
using cuda::CUresult;
using cuda::driver;

// Of the CUDA that the lists are of: what a later version has under a known name is another
// function, which nobody has looked at.
constexpr int kListsVersion = 13000;
constexpr char kUnknownName[] = "cuNoSuchFunctionOfTheDriver";

// "cuMemAlloc" of "cuMemAlloc_v2", "cuLaunchKernel" of "cuLaunchKernel_ptsz".
absl::string_view BaseOf(absl::string_view name, bool* per_thread) {
  *per_thread = absl::EndsWith(name, "_ptsz") || absl::EndsWith(name, "_ptds");
  if (*per_thread) name.remove_suffix(5);
  const size_t at = name.rfind("_v");
  return at == absl::string_view::npos ? name : name.substr(0, at);
}

struct Variant {
  int version;
  bool per_thread;
  void* function;  // null: refused
};
struct Known {
  bool is_passed = false;
  std::vector<Variant> variants;
};
using Names = absl::flat_hash_map<std::string, Known>;

Names* MakeNames() {
  auto* names = new Names;
  bool per_thread = false;
  // Also under the whole name, should the driver know it by that.
  const auto add = [&](const char* name, int version, void* function) {
    const absl::string_view base = BaseOf(name, &per_thread);
    (*names)[base].variants.push_back({version, per_thread, function});
    if (base != name) (*names)[name].variants.push_back({0, false, function});
  };
  const auto pass = [&](const char* name) {
    (*names)[BaseOf(name, &per_thread)].is_passed = true;
    (*names)[name].is_passed = true;
  };
#define HET_ADD(name, version, arguments) add(#name, version, reinterpret_cast<void*>(&cuda::name));
  HET_SHADOW_HOOKED(HET_ADD)
#undef HET_ADD
#define HET_ADD(name, version, reason) add(#name, version, nullptr);
  HET_SHADOW_REFUSED(HET_ADD)
#undef HET_ADD
#define HET_ADD(name) pass(#name);
  HET_SHADOW_PASSED(HET_ADD)
#undef HET_ADD
  return names;
}

const Known* Find(absl::string_view symbol) {
  static const Names* const names = MakeNames();
  const auto found = names->find(symbol);
  return found == names->end() ? nullptr : &found->second;
}

// As the driver chooses: the newest that the version has, the thread's variant where it is asked
// for and there is one.
const Variant* Choose(const Known& known, int version, bool per_thread) {
  const Variant* chosen = nullptr;
  for (const Variant& variant : known.variants) {
    if (variant.version > version || (variant.per_thread && !per_thread)) continue;
    const bool better =
        chosen == nullptr || (variant.per_thread && !chosen->per_thread) ||
        (variant.per_thread == chosen->per_thread && variant.version > chosen->version);
    if (better) chosen = &variant;
  }
  return chosen;
}

// `ask(symbol, function, version)` asks the driver.
template <typename Ask>
CUresult Look(const char* symbol, void** function, int version, uint64_t flags, Ask ask) {
  const Held held;
  if (held.shadow() == nullptr || symbol == nullptr || *symbol == '\0' || function == nullptr) {
    return ask(symbol, function, version);
  }
  const Known* known = Find(symbol);
  const Variant* ours = known == nullptr
                            ? nullptr
                            : Choose(*known, version, (flags & cuda::kProcPerThreadStream) != 0);
  if (ours == nullptr && known != nullptr && known->is_passed) {
    return ask(symbol, function, version);
  }
  bool allowed = ours != nullptr && ours->function != nullptr;
  if (allowed && version > kListsVersion) {
    void* listed = nullptr;
    void* asked = nullptr;
    allowed = ask(symbol, &listed, kListsVersion) == CUDA_SUCCESS &&
              ask(symbol, &asked, version) == CUDA_SUCCESS && listed == asked;
  }
  if (!allowed) {
    Log().info("cuGetProcAddress(\"{}\", {}): refused in a slice", symbol, version);
    return ask(kUnknownName, function, version);
  }
  const CUresult error = ask(symbol, function, version);
  // An older driver may lack it.
  if (error == CUDA_SUCCESS && *function != nullptr) *function = ours->function;
  return error;
}

}  // namespace
}  // namespace het::interpose

namespace het::cuda {

using namespace interpose;  // NOLINT(google-build-using-namespace): its hooks

CUresult cuGetProcAddress(const char* symbol, void** function, int version, uint64_t flags) {
  return Look(symbol, function, version, flags, [=](const char* name, void** to, int of) {
    return driver.cuGetProcAddress(name, to, of, flags);
  });
}

CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t flags,
                             int* status) {
  return Look(symbol, function, version, flags, [=](const char* name, void** to, int of) {
    return driver.cuGetProcAddress_v2(name, to, of, flags, status);
  });
}

}  // namespace het::cuda
