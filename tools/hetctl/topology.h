// GetTopology: the "topology" kind of hetctl get, which is a picture and no list.
#ifndef HET_TOOLS_HETCTL_TOPOLOGY_H_
#define HET_TOOLS_HETCTL_TOPOLOGY_H_

#include <string>

#include "tools/hetctl/command.h"

namespace het::hetctl {

// `xml`: a captured machine instead of hetd's. `measure`: links that nobody measured yet. The exit
// code.
int GetTopology(const Globals& globals, const std::string& xml, bool measure);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_TOPOLOGY_H_
