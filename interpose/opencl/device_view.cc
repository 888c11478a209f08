#include "interpose/opencl/device_view.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/uuid.h"
#include "devices/opencl/identity.h"

namespace het::interpose {
namespace {

struct Candidate {
  cl_platform_id platform;
  cl_device_id device;
  std::string name;
  std::string uuid;
};

template <typename Get>
std::string Text(Get get) {
  size_t bytes = 0;
  if (get(0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return "";
  std::string text(bytes, '\0');
  if (get(bytes, text.data(), nullptr) != CL_SUCCESS) return "";
  return std::string(absl::StripAsciiWhitespace(text.c_str()));
}

std::string DeviceText(const cl_icd_dispatch& next, cl_device_id device, cl_device_info what) {
  return Text([&](size_t size, void* value, size_t* bytes) {
    return next.clGetDeviceInfo(device, what, size, value, bytes);
  });
}

std::string DriverUuid(const cl_icd_dispatch& next, cl_device_id device) {
  if (!absl::StrContains(DeviceText(next, device, CL_DEVICE_EXTENSIONS),
                         opencl::kDeviceUuidExtension)) {
    return "";
  }
  std::string raw(opencl::kDeviceUuidBytes, '\0');
  const cl_int error =
      next.clGetDeviceInfo(device, opencl::kDeviceUuidQuery, raw.size(), raw.data(), nullptr);
  return error == CL_SUCCESS ? raw : "";
}

std::vector<Candidate> AllDevices(const cl_icd_dispatch& next) {
  cl_uint count = 0;
  if (next.clGetPlatformIDs(0, nullptr, &count) != CL_SUCCESS || count == 0) return {};
  std::vector<cl_platform_id> platforms(count);
  if (next.clGetPlatformIDs(count, platforms.data(), nullptr) != CL_SUCCESS) return {};
  std::vector<Candidate> all;
  opencl::DeviceNamer namer;
  for (cl_platform_id platform : platforms) {
    const std::string platform_name = Text([&](size_t size, void* value, size_t* bytes) {
      return next.clGetPlatformInfo(platform, CL_PLATFORM_NAME, size, value, bytes);
    });
    cl_uint devices = 0;
    if (next.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &devices) != CL_SUCCESS ||
        devices == 0) {
      continue;
    }
    std::vector<cl_device_id> ids(devices);
    if (next.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, devices, ids.data(), nullptr) !=
        CL_SUCCESS) {
      continue;
    }
    for (cl_device_id id : ids) {
      const std::string name = DeviceText(next, id, CL_DEVICE_NAME);
      all.push_back({platform, id, absl::StrCat(platform_name, "/", name),
                     namer.Next(platform_name, name, DriverUuid(next, id))});
    }
  }
  return all;
}

std::string Listing(const std::vector<Candidate>& all) {
  if (all.empty()) return "this program finds no OpenCL device at all";
  return absl::StrCat("there are: ",
                      absl::StrJoin(all, "; ", [](std::string* out, const Candidate& one) {
                        absl::StrAppend(out, one.uuid, " (", one.name, ")");
                      }));
}

absl::StatusOr<Candidate> Choose(const std::vector<Candidate>& all, const std::string& asked) {
  std::vector<Candidate> chosen;
  for (const Candidate& one : all) {
    const bool is_it = IsUuid(asked) ? absl::EqualsIgnoreCase(one.uuid, asked)
                                     : absl::StrContains(absl::AsciiStrToLower(one.name),
                                                         absl::AsciiStrToLower(asked));
    if (is_it) chosen.push_back(one);
  }
  // Two ICDs may show one device: the same UUID of the driver. Either will do.
  const bool same = std::all_of(chosen.begin(), chosen.end(), [&](const Candidate& one) {
    return one.uuid == chosen.front().uuid;
  });
  if (chosen.empty() || !same) {
    return absl::NotFoundError(absl::StrCat(
        asked.empty() ? "HET_DEVICE is not set" : absl::StrCat("HET_DEVICE=\"", asked, "\""),
        chosen.empty() ? " is no OpenCL device that this program can see; "
                       : " fits more than one device; ",
        Listing(all)));
  }
  return chosen.front();
}

// By counts, asked by properties first: a driver may list none and leave the function empty.
absl::StatusOr<cl_device_id> MakeSubDevice(const cl_icd_dispatch& next, const Candidate& whole,
                                           UnitRange units) {
  size_t bytes = 0;
  std::vector<cl_device_partition_property> can;
  if (next.clGetDeviceInfo(whole.device, CL_DEVICE_PARTITION_PROPERTIES, 0, nullptr, &bytes) ==
      CL_SUCCESS) {
    can.resize(bytes / sizeof(can[0]));
    if (can.empty() || next.clGetDeviceInfo(whole.device, CL_DEVICE_PARTITION_PROPERTIES, bytes,
                                            can.data(), nullptr) != CL_SUCCESS) {
      can.clear();
    }
  }
  if (std::find(can.begin(), can.end(), CL_DEVICE_PARTITION_BY_COUNTS) == can.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the slice has ", units.count, " compute units of its own, but the driver of ",
                     whole.name, " makes no sub-devices by counts"));
  }
  std::vector<cl_device_partition_property> asked = {CL_DEVICE_PARTITION_BY_COUNTS};
  if (units.first > 0) asked.push_back(units.first);
  asked.insert(asked.end(), {static_cast<cl_device_partition_property>(units.count),
                             CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0});
  std::array<cl_device_id, 2> parts = {};
  cl_uint made = 0;
  const cl_uint wanted = units.first > 0 ? 2 : 1;
  const cl_int error =
      next.clCreateSubDevices(whole.device, asked.data(), wanted, parts.data(), &made);
  if (error != CL_SUCCESS || made != wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat("clCreateSubDevices of ", whole.name, " for units ", units.first, " to ",
                     units.first + units.count - 1, " failed with error ", error));
  }
  if (wanted == 2) next.clReleaseDevice(parts[0]);
  return parts[wanted - 1];
}

}  // namespace

absl::StatusOr<DeviceView> DeviceView::Find(const cl_icd_dispatch& next, const Settings& settings) {
  const std::vector<Candidate> all = AllDevices(next);
  absl::StatusOr<Candidate> chosen = Choose(all, settings.device);
  if (!chosen.ok()) return chosen.status();

  DeviceView view;
  view.platform = chosen->platform;
  view.device = view.whole = chosen->device;
  view.uuid = chosen->uuid;
  view.name = chosen->name;
  if (settings.sub_device) {
    absl::StatusOr<cl_device_id> part = MakeSubDevice(next, *chosen, *settings.sub_device);
    if (!part.ok()) return part.status();
    view.device = *part;
  }
  if (next.clGetDeviceInfo(view.device, CL_DEVICE_TYPE, sizeof(view.type), &view.type, nullptr) !=
      CL_SUCCESS) {
    return absl::UnavailableError(absl::StrCat(view.name, " does not say what type it is"));
  }
  int major = 1, minor = 0;
  const std::string version = DeviceText(next, view.device, CL_DEVICE_VERSION);
  if (std::sscanf(version.c_str(), "OpenCL %d.%d", &major, &minor) == 2) {
    view.version = major * 100 + minor * 10;
  }
  return view;
}

}  // namespace het::interpose
