// KernelSet: the engine's kernels built on one lease, and how each is launched there.
//
// Chooses the native or the portable form as the device does, and the grid that belongs to it.
// Every launch says what it costs (flops, bytes, rows), which accounting and simulated devices use.
// Products of many rows are the vendor's own library's where the device has one: of f32 matrices
// here, of others by way of halves (half_panels.h).
// Owned by whoever owns the lease; immutable once built; launches go to the caller's queue, so one
// thread per queue. Errors are het::api::Error; a device that cannot build the kernels fails the
// constructor with the compiler's log.
#ifndef HET_ENGINE_KERNEL_SET_H_
#define HET_ENGINE_KERNEL_SET_H_

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "engine/kernels/kernels.h"
#include "het/het.hpp"

namespace hetllm {

// A place in device memory.
using Place = het_buffer_arg;
inline Place operator+(Place place, uint64_t bytes) { return {place.buffer, place.offset + bytes}; }

class KernelSet {
 public:
  // From so many rows on a product is the library's. Fewer are bound by reading the weights, which
  // het's kernels do once, and as they lie. A quantised matrix costs 4.6 bytes of memory traffic a
  // weight (of q4_0) before the library begins, and n rows 2n operations by het's f32 kernels: by
  // the published peaks of data-centre GPUs the two meet between 20 and 50 rows (not measured on
  // one).
  static constexpr uint32_t kLibraryRows = 32;

  // So many rows, and in the mean so many of each run of one slot, are worth attention's tiles of
  // 64 rows.
  static constexpr uint32_t kTilesRows = 32;
  static constexpr uint32_t kTilesRunRows = 16;
  // So many groups keep a large GPU busy; a part of fewer positions is not worth its launch.
  static constexpr uint64_t kPartGroups = 512;
  static constexpr uint32_t kPartKeys = 128;
  static constexpr uint32_t kMostParts = 64;

  // Without `use_library` every product is het's own kernels'.
  explicit KernelSet(const het::api::Lease& lease, bool use_library = true);

  het_kernel_form form() const { return form_; }
  // True when products can go to the vendor's library.
  bool HasLibrary() const { return has_library_; }
  // True when matrices of this type can be multiplied with activations quantised to 8 bits.
  bool HasQ8(WeightType type) const;

  using Queue = het::api::QueueView;
  void GetRows(Queue queue, WeightType type, Place table, Place ids, Place y,
               const GetRowsParams& params) const;
  void RmsNorm(Queue queue, Place x, Place weight, Place y, const RmsNormParams& params) const;
  void Matmul(Queue queue, WeightType type, Place w, Place x, Place y,
              const MatmulParams& params) const;
  // x is the output of Quantize. Only where HasQ8(type).
  void MatmulQ8(Queue queue, WeightType type, Place w, Place x, Place y,
                const MatmulParams& params) const;
  // x is rounded to halves. Only where HasHalf(type), and one row.
  bool HasHalf(WeightType type) const;
  void MatmulHalf(Queue queue, WeightType type, Place w, Place x, Place y,
                  const MatmulParams& params) const;
  void Quantize(Queue queue, Place x, Place y, const QuantizeParams& params) const;
  // The same of what RmsNorm and SiluMul give. Only where some type HasQ8.
  void RmsNormQ8(Queue queue, Place x, Place weight, Place y, const RmsNormParams& params) const;
  void SiluMulQ8(Queue queue, Place gate, Place up, Place y, const SiluMulQ8Params& params) const;
  // y as halves. Only where HasLibrary(), as the two after it.
  void ToHalf(Queue queue, Place x, Place y, const ElementwiseParams& params, uint32_t rows) const;
  void Dequantize(Queue queue, WeightType type, Place w, Place y,
                  const DequantizeParams& params) const;
  // w and x are halves; rows of y are `y_stride` elements apart. By the library.
  void LibraryMatmul(Queue queue, Place w, Place x, Place y, const MatmulParams& params,
                     uint32_t y_stride) const;
  void Rope(Queue queue, Place x, Place positions, Place frequencies,
            const RopeParams& params) const;
  void AddBias(Queue queue, Place y, Place bias, const AddBiasParams& params) const;
  struct KvAppendPlaces {
    Place k, v, positions, slots, k_cache, v_cache;
  };
  void KvAppend(Queue queue, const KvAppendPlaces& at, const KvAppendParams& params) const;
  struct AttentionPlaces {
    Place q, k, v, positions, slots, y;
  };
  // `keys` is the number of (row, position) pairs, for the cost.
  void Attention(Queue queue, const AttentionPlaces& at, const AttentionParams& params,
                 double keys) const;
  // The same for many rows, rounded to halves, on matrix units. Only where HasTiles(head_dim).
  bool HasTiles(uint32_t head_dim) const;
  void AttentionTiles(Queue queue, const AttentionPlaces& at, const AttentionParams& params,
                      double keys) const;
  // Into how many parts the positions of so few rows are best cut, where `bytes` of scratch are
  // free for them: 1, or what AttentionInParts takes. The same for every step of as many rows.
  uint32_t AttentionParts(const AttentionParams& params, uint64_t bytes) const;
  void AttentionInParts(Queue queue, const AttentionPlaces& at, const AttentionParams& params,
                        double keys, uint32_t parts, Place scratch) const;
  void SiluMul(Queue queue, Place gate, Place up, Place y, const ElementwiseParams& params,
               uint32_t rows) const;
  void Argmax(Queue queue, Place x, Place ids, const ArgmaxParams& params) const;

 private:
  struct Cost {
    double flops, bytes, rows;
  };
  static uint64_t PartBytes(const AttentionParams& params) {
    return sizeof(float) * (uint64_t{params.head_dim} + 2);
  }
  static Cost CostOf(const AttentionParams& params, double keys);
  template <typename Params>
  void Launch(Queue queue, const std::string& name, std::initializer_list<Place> buffers,
              const Params& params, const Cost& cost) const;
  template <typename Params>
  void LaunchMatmul(Queue queue, const std::string& name, std::initializer_list<Place> buffers,
                    const Params& params, const Cost& cost) const;
  // For kernels that exist in the portable form only.
  template <typename Params>
  void LaunchPortable(Queue queue, const std::string& name, std::initializer_list<Place> buffers,
                      const Params& params, const Cost& cost) const;
  void Submit(Queue queue, const std::string& name, std::initializer_list<Place> buffers,
              const Grid& grid, const void* params, size_t params_bytes, const Cost& cost) const;

  het::api::Program program_;
  std::map<std::string, het::api::Kernel> kernels_;
  het_kernel_form form_ = HET_FORM_NATIVE;
  bool has_library_ = false;  // het_queue_multiply
  bool quantises_ = false;    // activations to 8 bits
};

}  // namespace hetllm

#endif  // HET_ENGINE_KERNEL_SET_H_
