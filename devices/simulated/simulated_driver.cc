#include "devices/simulated/simulated_driver.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "devices/simulated/profile.h"
#include "devices/simulated/simulated_device.h"

namespace het::simulated {
namespace {

class SimulatedDriver final : public Driver {
 public:
  explicit SimulatedDriver(Profile profile, std::vector<uint32_t> cores)
      : Driver("simulated"),
        profile_(std::move(profile)),
        cores_(std::move(cores)),
        cards_(std::make_unique<Card[]>(profile_.devices.size())) {
    if (profile_.mode == Mode::kTiming) clock_ = std::make_shared<VirtualClock>();
  }

  VirtualClock* clock() { return clock_.get(); }

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override {
    std::vector<DeviceInfo> infos;
    for (const DeviceModel& model : profile_.devices) {
      infos.push_back(model.info);
      const absl::Status lost = FaultState::Of(model.info.uuid, model.faults)->lost();
      if (lost.ok()) continue;
      infos.back().state = DeviceState::kDegraded;
      infos.back().reason = std::string(lost.message());
      infos.back().remedy = "an injected fault: heal the device or take it out of the profile";
    }
    return infos;
  }

  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override {
    for (size_t i = 0; i < profile_.devices.size(); ++i) {
      if (profile_.devices[i].info.uuid == uuid) {
        return Open(profile_.devices[i], cards_[i], options);
      }
    }
    return absl::NotFoundError(absl::StrCat(
        "no simulated device \"", uuid, "\" in ", profile_.path, "; there are: ",
        absl::StrJoin(profile_.devices, ", ", [](std::string* out, const DeviceModel& model) {
          absl::StrAppend(out, model.info.uuid, " (", model.info.attributes.at("instance"), ")");
        })));
  }

 private:
  absl::StatusOr<std::unique_ptr<Device>> Open(const DeviceModel& model, Card& card,
                                               const OpenOptions& options) {
    HET_RETURN_IF_ERROR(FaultState::Of(model.info.uuid, model.faults)->lost());
    DeviceInfo info = model.info;
    if (options.compute_units > info.compute_units) {
      return absl::InvalidArgumentError(absl::StrCat("asked for ", options.compute_units,
                                                     " compute units of ", info.name,
                                                     ", which has ", info.compute_units));
    }
    if (options.compute_units > 0) info.compute_units = options.compute_units;
    if (clock_ != nullptr) {
      return std::make_unique<TimingDevice>(*this, std::move(info), model, card, clock_);
    }
    return std::make_unique<FunctionalDevice>(*this, std::move(info), model, card,
                                              options.cores.empty() ? cores_ : options.cores);
  }

  const Profile profile_;
  const std::vector<uint32_t> cores_;
  const std::unique_ptr<Card[]> cards_;  // one for each device of the profile
  std::shared_ptr<VirtualClock> clock_;  // timing mode only
};

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options) {
  const auto profile = options.settings.find("profile");
  if (profile == options.settings.end() || profile->second.empty()) {
    return absl::UnavailableError(
        "no simulated devices: no profile file was given (setting \"profile\", or --simulate "
        "FILE)");
  }
  HET_ASSIGN_OR_RETURN(Profile loaded, LoadProfile(profile->second));
  return std::make_unique<SimulatedDriver>(std::move(loaded), options.cores);
}

VirtualClock* VirtualClockOf(Driver& driver) {
  auto* simulated = dynamic_cast<SimulatedDriver*>(&driver);
  return simulated == nullptr ? nullptr : simulated->clock();
}

}  // namespace het::simulated
