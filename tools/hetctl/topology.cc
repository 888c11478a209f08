// hetctl get topology: where the devices of the node sit and how fast the links between them are;
// with --xml another machine, as hwloc captured it.
#include "tools/hetctl/topology.h"

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/status.h"
#include "devices/machine/read_machine.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/draw_topology.h"

namespace het::hetctl {
namespace {

struct Picture {
  Topology topology;
  std::vector<DeviceInfo> devices;
  std::vector<Json> links;
};

// Links are measured at the first call: some 50 ms a pair.
constexpr int64_t kMeasureTimeoutMs = 180'000;

absl::StatusOr<Picture> FromDaemon(const Globals& globals, bool measure) {
  HET_ASSIGN_OR_RETURN(const auto client,
                       protocol::Client::Connect(globals.socket, kMeasureTimeoutMs));
  Picture picture;
  HET_ASSIGN_OR_RETURN(const Json reply, client->Call("org.het.v1.GetTopology", Json::object()));
  HET_ASSIGN_OR_RETURN(picture.topology, TopologyFromJson(reply.value("topology", Json::object())));
  HET_ASSIGN_OR_RETURN(const auto rows, client->ListDevices());
  for (const protocol::DeviceRow& row : rows) {
    // A backend without a device has a line in the list, but no place.
    const bool is_device =
        row.info.compute_units > 0 || row.info.attributes.count("pciAddress") > 0;
    if (is_device) picture.devices.push_back(row.info);
  }
  HET_ASSIGN_OR_RETURN(const std::vector<Json> pages,
                       client->CallMore("org.het.v1.ListLinks", Json{{"measure", measure}}));
  for (const Json& page : pages) {
    for (const Json& link : page.value("links", Json::array())) picture.links.push_back(link);
  }
  return picture;
}

absl::StatusOr<Picture> FromFile(const std::string& xml) {
  Picture picture;
  HET_ASSIGN_OR_RETURN(picture.topology, ReadMachine(xml));
  picture.devices = DevicesOf(picture.topology);
  picture.links = LinksOf(picture.topology, picture.devices);
  return picture;
}

}  // namespace

int GetTopology(const Globals& globals, const std::string& xml, bool measure) {
  const auto picture = xml.empty() ? FromDaemon(globals, measure) : FromFile(xml);
  if (!picture.ok()) return Fail(picture.status());
  if (globals.format == Format::kTable || globals.format == Format::kWide) {
    std::fputs(DrawTopology(picture->topology, picture->devices, picture->links).c_str(), stdout);
    return kExitOk;
  }
  Json devices = Json::array();
  for (const DeviceInfo& device : picture->devices) devices.push_back(ToJson(device));
  PrintObject(Json{{"topology", ToJson(picture->topology)},
                   {"devices", std::move(devices)},
                   {"links", picture->links}},
              globals.format);
  return kExitOk;
}

}  // namespace het::hetctl
