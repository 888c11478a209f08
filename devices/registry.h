// Registry: the backends that were built in (BackendNames), generated from the CMake list
// (HET_BACKENDS in devices/CMakeLists.txt). Adding a backend is one folder and one line there; see
// devices/README.md.
#ifndef HET_DEVICES_REGISTRY_H_
#define HET_DEVICES_REGISTRY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "devices/backend_names.h"
#include "devices/driver.h"

namespace het {

// Loads the vendor library now. NotFound for an unknown name (lists those there are); Unavailable
// when the driver is not on this machine. Thread-safe.
absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(absl::string_view backend,
                                                     const DriverOptions& options = {});

}  // namespace het

#endif  // HET_DEVICES_REGISTRY_H_
