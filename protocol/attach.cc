#include "protocol/attach.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"

namespace het::protocol {
namespace {

absl::StatusOr<uint32_t> Index(const Json& json, absl::string_view field) {
  HET_ASSIGN_OR_RETURN(const uint64_t number, JsonUint(json, field));
  if (number > UINT32_MAX) return InvalidField(field, "is too large");
  return static_cast<uint32_t>(number);
}

absl::StatusOr<std::vector<uint32_t>> Indices(const Json& json, const char* field) {
  std::vector<uint32_t> list;
  const auto it = json.find(field);
  if (it == json.end()) return list;
  if (!it->is_array()) return InvalidField(field, "must be a list");
  for (const Json& entry : *it) {
    if (!entry.is_number_unsigned() || entry.get<uint64_t>() > UINT32_MAX) {
      return InvalidField(field, "must be a list of whole numbers");
    }
    list.push_back(entry.get<uint32_t>());
  }
  return list;
}

// A region that came into being later: asked for on a connection of its own.
RegionProvider AskAt(std::string socket, std::string lease) {
  return [socket = std::move(socket),
          lease = std::move(lease)](uint32_t region) -> absl::StatusOr<UniqueFd> {
    HET_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Connect(socket));
    std::vector<UniqueFd> descriptors;
    HET_RETURN_IF_ERROR(client
                            ->Call("org.het.v1.AttachRegion",
                                   Json{{"lease", lease}, {"region", region}}, descriptors)
                            .status());
    if (descriptors.size() != 1) {
      return absl::InternalError("hetd answered AttachRegion without one descriptor");
    }
    return std::move(descriptors.front());
  };
}

}  // namespace

absl::StatusOr<Attachment> Attach(Client& client, const std::string& lease_id) {
  std::vector<UniqueFd> descriptors;
  HET_ASSIGN_OR_RETURN(const Json reply,
                       client.Call("org.het.v1.Attach", Json{{"lease", lease_id}}, descriptors));
  Attachment attachment;
  const auto lease = reply.find("lease"), device = reply.find("device"), seat = reply.find("seat");
  if (lease == reply.end() || device == reply.end() || seat == reply.end()) {
    return absl::InternalError("hetd answered Attach without lease, device and seat");
  }
  HET_ASSIGN_OR_RETURN(attachment.lease, LeaseFromJson(*lease, Clock::Real().BoottimeNanos()));
  HET_ASSIGN_OR_RETURN(DeviceRow row, DeviceRowFromJson(*device));
  attachment.device = std::move(row.info);
  HET_ASSIGN_OR_RETURN(attachment.cores, Indices(reply, "cores"));
  SeatGrant& grant = attachment.grant;
  HET_ASSIGN_OR_RETURN(grant.slot, Index(*seat, "slot"));
  HET_ASSIGN_OR_RETURN(grant.epoch, Index(*seat, "epoch"));
  HET_ASSIGN_OR_RETURN(grant.lease, Index(*seat, "lease"));
  HET_ASSIGN_OR_RETURN(grant.region, Index(*seat, "region"));
  HET_ASSIGN_OR_RETURN(const std::vector<uint32_t> others, Indices(*seat, "otherRegions"));
  if (descriptors.size() != others.size() + 2) {
    return absl::InternalError(absl::StrCat("hetd answered Attach with ", descriptors.size(),
                                            " descriptors instead of ", others.size() + 2));
  }
  grant.control_fd = std::move(descriptors[0]);
  grant.region_fd = std::move(descriptors[1]);
  for (size_t i = 0; i < others.size(); ++i) {
    grant.other_regions.emplace_back(others[i], std::move(descriptors[i + 2]));
  }
  grant.provider = AskAt(client.socket_path(), lease_id);
  return attachment;
}

}  // namespace het::protocol
