// The program sees one platform with one device, of the slice's size.
#include <algorithm>
#include <cstring>
#include <vector>

#include "interpose/opencl/hooks.h"
#include "interpose/opencl/layer.h"

namespace het::interpose::hook {
namespace {

constexpr cl_int kNoPlatform = -1001;  // CL_PLATFORM_NOT_FOUND_KHR
// cl_amd_device_attribute_query: size_t in KiB, the first the total.
constexpr cl_device_info kFreeMemoryAmd = 0x4039;
constexpr uint64_t kKib = 1024;

template <typename T>
cl_int Answer(T value, size_t room, void* to, size_t* needed) {
  if (to != nullptr && room < sizeof(T)) return CL_INVALID_VALUE;
  if (to != nullptr) std::memcpy(to, &value, sizeof(T));
  if (needed != nullptr) *needed = sizeof(T);
  return CL_SUCCESS;
}

// One entry of a list that the program asked for with a count and room for it.
template <typename T>
cl_int AnswerOne(T value, cl_uint room, T* to, cl_uint* count) {
  if ((room == 0 && to != nullptr) || (to == nullptr && count == nullptr)) return CL_INVALID_VALUE;
  if (to != nullptr) *to = value;
  if (count != nullptr) *count = 1;
  return CL_SUCCESS;
}

// What the driver says, cut to what the slice has.
template <typename T>
cl_int AnswerAtMost(cl_device_id device, cl_device_info what, T most, size_t room, void* to,
                    size_t* needed) {
  T whole = 0;
  const cl_int error =
      Layer::Get()->next().clGetDeviceInfo(device, what, sizeof(whole), &whole, nullptr);
  if (error != CL_SUCCESS) return error;
  return Answer<T>(std::min(whole, most), room, to, needed);
}

bool IsSlice(cl_device_id device) {
  const DeviceView* view = Layer::Get()->device();
  return view != nullptr && device == view->device;
}

cl_context Fail(cl_int error, cl_int* error_ret) {
  if (error_ret != nullptr) *error_ret = error;
  return nullptr;
}

// Whether the properties name another platform than the slice's.
bool NamesOtherPlatform(const cl_context_properties* properties, const DeviceView& view) {
  for (; properties != nullptr && *properties != 0; properties += 2) {
    if (properties[0] == CL_CONTEXT_PLATFORM &&
        reinterpret_cast<cl_platform_id>(properties[1]) != view.platform) {
      return true;
    }
  }
  return false;
}

}  // namespace

cl_int CL_API_CALL clGetPlatformIDs(cl_uint room, cl_platform_id* platforms, cl_uint* count) {
  const DeviceView* view = Layer::Get()->device();
  if (view != nullptr) return AnswerOne(view->platform, room, platforms, count);
  if (count != nullptr) *count = 0;
  return kNoPlatform;
}

cl_int CL_API_CALL clGetDeviceIDs(cl_platform_id platform, cl_device_type type, cl_uint room,
                                  cl_device_id* devices, cl_uint* count) {
  const DeviceView* view = Layer::Get()->device();
  if (count != nullptr) *count = 0;
  if (view == nullptr) return CL_DEVICE_NOT_FOUND;
  if (platform == nullptr) platform = view->platform;
  if (platform != view->platform) return CL_INVALID_PLATFORM;
  constexpr cl_device_type kTypes = CL_DEVICE_TYPE_DEFAULT | CL_DEVICE_TYPE_CPU |
                                    CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR |
                                    CL_DEVICE_TYPE_CUSTOM;
  if (type != CL_DEVICE_TYPE_ALL && ((type & kTypes) == 0 || (type & ~kTypes) != 0)) {
    return CL_INVALID_DEVICE_TYPE;
  }
  if (!view->Matches(type)) return CL_DEVICE_NOT_FOUND;
  return AnswerOne(view->device, room, devices, count);
}

cl_int CL_API_CALL clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t room,
                                   void* value, size_t* needed) {
  Layer& layer = *Layer::Get();
  const DeviceView* view = layer.device();
  if (view == nullptr) return CL_INVALID_DEVICE;
  switch (what) {
    case CL_DEVICE_GLOBAL_MEM_SIZE:
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE:
      return AnswerAtMost<cl_ulong>(device, what, layer.seat().memory_limit(), room, value, needed);
    case CL_DEVICE_MAX_COMPUTE_UNITS:
      if (layer.settings().compute_units == 0) break;
      return AnswerAtMost<cl_uint>(device, what, layer.settings().compute_units, room, value,
                                   needed);
    case CL_DEVICE_PARENT_DEVICE:
      // A slice is a device to the program, whatever it is to the driver.
      if (IsSlice(device)) return Answer<cl_device_id>(nullptr, room, value, needed);
      break;
    case kFreeMemoryAmd: {
      size_t free_kib[2] = {};
      size_t told = 0;
      const cl_int error =
          layer.next().clGetDeviceInfo(device, what, sizeof(free_kib), free_kib, &told);
      if (error != CL_SUCCESS) return error;
      const uint64_t limit = layer.seat().memory_limit(), used = layer.seat().memory_used();
      const size_t mine = (limit - std::min(limit, used)) / kKib;
      free_kib[0] = std::min(free_kib[0], mine);
      free_kib[1] = std::min(free_kib[1], mine);
      if (value != nullptr && room < told) return CL_INVALID_VALUE;
      if (value != nullptr) std::memcpy(value, free_kib, std::min(told, sizeof(free_kib)));
      if (needed != nullptr) *needed = told;
      return CL_SUCCESS;
    }
    default:
      break;
  }
  return layer.next().clGetDeviceInfo(device, what, room, value, needed);
}

// The program retains and releases what it takes for a root device, which OpenCL ignores; a
// sub-device that stands in its place would be counted down to nothing.
cl_int CL_API_CALL clRetainDevice(cl_device_id device) {
  return IsSlice(device) ? CL_SUCCESS : Layer::Get()->next().clRetainDevice(device);
}

cl_int CL_API_CALL clReleaseDevice(cl_device_id device) {
  return IsSlice(device) ? CL_SUCCESS : Layer::Get()->next().clReleaseDevice(device);
}

cl_int CL_API_CALL clRetainDeviceEXT(cl_device_id device) {
  return IsSlice(device) ? CL_SUCCESS : Layer::Get()->next().clRetainDeviceEXT(device);
}

cl_int CL_API_CALL clReleaseDeviceEXT(cl_device_id device) {
  return IsSlice(device) ? CL_SUCCESS : Layer::Get()->next().clReleaseDeviceEXT(device);
}

// A program may divide its own slice further: every part of it is in the slice, and its memory is
// booked like the rest. Not where the driver lists no way to divide: it may have no function
// there, and the loader would jump to null.
cl_int CL_API_CALL clCreateSubDevices(cl_device_id device,
                                      const cl_device_partition_property* properties, cl_uint room,
                                      cl_device_id* devices, cl_uint* count) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return CL_INVALID_DEVICE;
  cl_uint most = 0;
  if (layer.next().clGetDeviceInfo(device, CL_DEVICE_PARTITION_MAX_SUB_DEVICES, sizeof(most), &most,
                                   nullptr) != CL_SUCCESS ||
      most < 2) {
    return CL_DEVICE_PARTITION_FAILED;
  }
  return layer.next().clCreateSubDevices(device, properties, room, devices, count);
}

cl_int CL_API_CALL clCreateSubDevicesEXT(cl_device_id device,
                                         const cl_device_partition_property_ext* properties,
                                         cl_uint room, cl_device_id* devices, cl_uint* count) {
  Layer& layer = *Layer::Get();
  if (layer.device() == nullptr) return CL_INVALID_DEVICE;
  return layer.next().clCreateSubDevicesEXT(device, properties, room, devices, count);
}

cl_context CL_API_CALL clCreateContext(const cl_context_properties* properties, cl_uint count,
                                       const cl_device_id* devices,
                                       void(CL_CALLBACK* notify)(const char*, const void*, size_t,
                                                                 void*),
                                       void* user_data, cl_int* error_ret) {
  Layer& layer = *Layer::Get();
  const DeviceView* view = layer.device();
  if (view == nullptr) return Fail(CL_DEVICE_NOT_AVAILABLE, error_ret);
  if (NamesOtherPlatform(properties, *view)) return Fail(CL_INVALID_PLATFORM, error_ret);
  return layer.next().clCreateContext(properties, count, devices, notify, user_data, error_ret);
}

cl_context CL_API_CALL clCreateContextFromType(const cl_context_properties* properties,
                                               cl_device_type type,
                                               void(CL_CALLBACK* notify)(const char*, const void*,
                                                                         size_t, void*),
                                               void* user_data, cl_int* error_ret) {
  Layer& layer = *Layer::Get();
  const DeviceView* view = layer.device();
  if (view == nullptr) return Fail(CL_DEVICE_NOT_AVAILABLE, error_ret);
  if (NamesOtherPlatform(properties, *view)) return Fail(CL_INVALID_PLATFORM, error_ret);
  if (!view->Matches(type)) return Fail(CL_DEVICE_NOT_FOUND, error_ret);
  return layer.next().clCreateContext(properties, 1, &view->device, notify, user_data, error_ret);
}

// Which devices can share with a GL context: the slice's, if it is among them, else none.
cl_int CL_API_CALL clGetGLContextInfoKHR(const cl_context_properties* properties,
                                         cl_gl_context_info what, size_t room, void* value,
                                         size_t* needed) {
  Layer& layer = *Layer::Get();
  const DeviceView* view = layer.device();
  if (view == nullptr) return CL_INVALID_OPERATION;
  size_t bytes = 0;
  const cl_int error = layer.next().clGetGLContextInfoKHR(properties, what, 0, nullptr, &bytes);
  if (error != CL_SUCCESS) return error;
  std::vector<cl_device_id> devices(bytes / sizeof(cl_device_id));
  if (!devices.empty()) {
    const cl_int listed =
        layer.next().clGetGLContextInfoKHR(properties, what, bytes, devices.data(), nullptr);
    if (listed != CL_SUCCESS) return listed;
  }
  if (std::find(devices.begin(), devices.end(), view->whole) != devices.end()) {
    return Answer<cl_device_id>(view->device, room, value, needed);
  }
  if (needed != nullptr) *needed = 0;
  return CL_SUCCESS;
}

}  // namespace het::interpose::hook
