// BackendNames: the backends that were built in, generated from the CMake list (HET_BACKENDS in
// devices/CMakeLists.txt), in its order. Only the names: hetd knows from them what to start a
// het-probe for, and links no backend.
#ifndef HET_DEVICES_BACKEND_NAMES_H_
#define HET_DEVICES_BACKEND_NAMES_H_

#include <string>
#include <vector>

namespace het {

std::vector<std::string> BackendNames();

}  // namespace het

#endif  // HET_DEVICES_BACKEND_NAMES_H_
