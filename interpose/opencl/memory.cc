#include "interpose/opencl/memory.h"

#include <algorithm>
#include <limits>

#include "base/log.h"

namespace het::interpose {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kLargestPixel = 16;

// Bytes freed by callbacks inside Release on this thread, or null outside.
thread_local uint64_t* freed_here = nullptr;

struct Record {
  MemoryAccount* account;
  uint64_t bytes;
};

uint64_t Times(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? kMost : product;
}

uint64_t Channels(cl_channel_order order) {
  switch (order) {
    case CL_R:
    case CL_A:
    case CL_INTENSITY:
    case CL_LUMINANCE:
    case CL_DEPTH:
      return 1;
    case CL_RG:
    case CL_RA:
    case CL_Rx:
    case CL_DEPTH_STENCIL:
      return 2;
    case CL_RGB:
    case CL_RGx:
    case CL_sRGB:
      return 3;
    default:
      return 4;
  }
}

uint64_t PixelBytes(const cl_image_format& format) {
  switch (format.image_channel_data_type) {
    case CL_UNORM_SHORT_565:
    case CL_UNORM_SHORT_555:
      return 2;
    case CL_UNORM_INT_101010:
    case CL_UNORM_INT_101010_2:
      return 4;
    case CL_SNORM_INT8:
    case CL_UNORM_INT8:
    case CL_SIGNED_INT8:
    case CL_UNSIGNED_INT8:
      return Channels(format.image_channel_order);
    case CL_SNORM_INT16:
    case CL_UNORM_INT16:
    case CL_SIGNED_INT16:
    case CL_UNSIGNED_INT16:
    case CL_HALF_FLOAT:
      return 2 * Channels(format.image_channel_order);
    case CL_UNORM_INT24:
    case CL_SIGNED_INT32:
    case CL_UNSIGNED_INT32:
    case CL_FLOAT:
      return 4 * Channels(format.image_channel_order);
    default:
      return kLargestPixel;
  }
}

}  // namespace

bool MemoryAccount::Reserve(uint64_t bytes) { return bytes == 0 || seat_.Reserve(bytes).ok(); }

void MemoryAccount::GiveBack(uint64_t bytes) {
  if (bytes > 0) seat_.GiveBack(bytes);
}

void CL_CALLBACK MemoryAccount::Freed(cl_mem, void* user_data) {
  const Record record = *static_cast<Record*>(user_data);
  delete static_cast<Record*>(user_data);
  if (freed_here != nullptr) {
    *freed_here += record.bytes;
  } else {
    record.account->GiveBack(record.bytes);
  }
}

bool MemoryAccount::Adopt(cl_mem object, uint64_t reserved, bool exact) {
  uint64_t bytes = reserved;
  size_t told = 0;
  if (!exact &&
      next_.clGetMemObjectInfo(object, CL_MEM_SIZE, sizeof(told), &told, nullptr) == CL_SUCCESS) {
    bytes = std::max<uint64_t>(reserved, told);
  }
  if (!Reserve(bytes - reserved)) {
    next_.clReleaseMemObject(object);
    GiveBack(reserved);
    return false;
  }
  if (bytes == 0) return true;
  auto* record = new Record{this, bytes};
  if (next_.clSetMemObjectDestructorCallback(object, Freed, record) != CL_SUCCESS) {
    // Never given back rather than too early; the lease gets it when the program ends.
    Log().warn("the driver tells no end of a memory object; {} bytes stay booked", bytes);
    delete record;
  }
  return true;
}

cl_int MemoryAccount::Release(cl_mem object) {
  uint64_t freed = 0;
  uint64_t* const outer = freed_here;
  freed_here = &freed;
  const cl_int error = next_.clReleaseMemObject(object);
  freed_here = outer;
  GiveBack(freed);
  return error;
}

void MemoryAccount::AdoptPointer(void* pointer, uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  pointers_[pointer] = bytes;
}

uint64_t MemoryAccount::ForgetPointer(const void* pointer) {
  absl::MutexLock lock(&mutex_);
  auto found = pointers_.find(pointer);
  if (found == pointers_.end()) return 0;
  const uint64_t bytes = found->second;
  pointers_.erase(found);
  return bytes;
}

uint64_t ImageBytes(const cl_image_format* format, const cl_image_desc* description) {
  if (format == nullptr || description == nullptr) return 0;  // the driver will refuse it
  if (description->mem_object != nullptr) return 0;
  const uint64_t pixel = PixelBytes(*format);
  const uint64_t width = std::max<uint64_t>(description->image_width, 1);
  uint64_t height = 1, depth = 1, layers = 1;
  switch (description->image_type) {
    case CL_MEM_OBJECT_IMAGE1D_ARRAY:
      layers = description->image_array_size;
      break;
    case CL_MEM_OBJECT_IMAGE2D_ARRAY:
      layers = description->image_array_size;
      height = description->image_height;
      break;
    case CL_MEM_OBJECT_IMAGE3D:
      depth = description->image_depth;
      height = description->image_height;
      break;
    case CL_MEM_OBJECT_IMAGE2D:
      height = description->image_height;
      break;
    default:
      break;
  }
  uint64_t bytes = 0;
  uint64_t w = width, h = std::max<uint64_t>(height, 1), d = std::max<uint64_t>(depth, 1);
  // Mip levels halve every side; without them there is one level.
  for (cl_uint level = 0; level < std::max<cl_uint>(description->num_mip_levels, 1); ++level) {
    const uint64_t one = Times(Times(Times(w, h), d), pixel);
    bytes = one > kMost - bytes ? kMost : bytes + one;
    if (w == 1 && h == 1 && d == 1) break;
    w = std::max<uint64_t>(w / 2, 1);
    h = std::max<uint64_t>(h / 2, 1);
    d = std::max<uint64_t>(d / 2, 1);
  }
  return Times(bytes, std::max<uint64_t>(layers, 1));
}

}  // namespace het::interpose
