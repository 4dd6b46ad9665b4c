#include "services/processor/control_view.h"

#include <utility>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::processor {
namespace {

VersionIds IdsOf(const google::protobuf::Map<std::string, std::string>& ids) {
  return {ids.begin(), ids.end()};
}

template <typename... Parts>
absl::Status Contradiction(const Parts&... parts) {
  return absl::DataLossError(base::StrCat(parts...));
}

}  // namespace

absl::Status ControlView::Add(const reference::v1::ControlRecord& record, int64_t offset) {
  if (record.group() != group_) {
    return Contradiction("is of the group ", record.group(), ", not of ", group_,
                         ": give each group a control topic of its own");
  }
  if (record.topic() != topic_) {
    return Contradiction("is about the topic ", record.topic(), ", not about ", topic_,
                         ": a pipeline with another input needs another control topic");
  }
  switch (record.what_case()) {
    case reference::v1::ControlRecord::kPin:
      return Add(record.pin());
    case reference::v1::ControlRecord::kFence: {
      VersionIds ids = IdsOf(record.fence().ids());
      SLUICE_RETURN_IF_ERROR(CheckVersions(record.fence().activation(), ids));
      fences_.push_back({static_cast<uint64_t>(offset) + 1,
                         record.fence().activation(),
                         {record.fence().offsets().begin(), record.fence().offsets().end()},
                         Share(std::move(ids))});
      Know(fences_.back().activation, *fences_.back().ids);
      return absl::OkStatus();
    }
    default:
      return Contradiction("is neither a pin nor a fence: was it written by a newer release?");
  }
}

absl::Status ControlView::Add(const reference::v1::Pin& pin) {
  VersionIds ids = IdsOf(pin.ids());
  SLUICE_RETURN_IF_ERROR(CheckVersions(pin.activation(), ids));
  std::string at = base::StrCat(topic_, "/", pin.partition(), "/", pin.offset());
  if (pin.offset() < 0) return Contradiction("pins the offset ", pin.offset());
  if (pin.fence() > 0 && (fences_.empty() || fences_.back().number < pin.fence()))
    return Contradiction("pins ", at, " for a fence that isn't there: have records been deleted?");
  std::vector<Pin>& pins = pins_[pin.partition()];
  if (!pins.empty()) {
    const Pin& last = pins.back();
    if (pin.offset() < last.offset) {
      return Contradiction("pins ", at, " although ", last.offset,
                           " is pinned: do two groups write here?");
    }
    // A fence may go back; a replica by itself never does.
    if (pin.activation() > 0 && pin.activation() < last.activation && pin.fence() <= last.fence) {
      return Contradiction("pins ", at, " to activation ", pin.activation(), ", which is before ",
                           last.activation, ", the one that it was joined to");
    }
    if (pin.offset() == last.offset) pins.pop_back();
  }
  pins.push_back({pin.offset(), pin.activation(), pin.fence(), Share(std::move(ids))});
  Know(pin.activation(), *pins.back().ids);
  return absl::OkStatus();
}

absl::Status ControlView::CheckVersions(uint64_t activation, const VersionIds& ids) const {
  if (ids.empty()) return Contradiction("names no version");
  auto known = activations_.find(activation);
  if (known == activations_.end()) return absl::OkStatus();
  for (const auto& [set, id] : ids) {
    auto other = known->second.find(set);
    if (other == known->second.end() || other->second == id) continue;
    return Contradiction("names version ", id, " of '", set, "' for activation ", activation,
                         ", and a record before it ", other->second,
                         ": do the replicas ask different services?");
  }
  return absl::OkStatus();
}

void ControlView::Know(uint64_t activation, const VersionIds& ids) {
  if (activation > 0) activations_[activation].insert(ids.begin(), ids.end());
}

std::shared_ptr<const VersionIds> ControlView::Share(VersionIds ids) {
  if (last_ == nullptr || *last_ != ids) last_ = std::make_shared<const VersionIds>(std::move(ids));
  return last_;
}

reference::v1::ControlRecord PinRecord(const std::string& group, const std::string& topic,
                                       int32_t partition, const Pin& pin) {
  reference::v1::ControlRecord record;
  record.set_group(group);
  record.set_topic(topic);
  reference::v1::Pin& out = *record.mutable_pin();
  out.set_partition(partition);
  out.set_offset(pin.offset);
  out.set_activation(pin.activation);
  out.mutable_ids()->insert(pin.ids->begin(), pin.ids->end());
  out.set_fence(pin.fence);
  return record;
}

reference::v1::ControlRecord FenceRecord(const std::string& group, const std::string& topic,
                                         const Fence& fence) {
  reference::v1::ControlRecord record;
  record.set_group(group);
  record.set_topic(topic);
  reference::v1::Fence& out = *record.mutable_fence();
  out.mutable_offsets()->insert(fence.offsets.begin(), fence.offsets.end());
  out.set_activation(fence.activation);
  out.mutable_ids()->insert(fence.ids->begin(), fence.ids->end());
  return record;
}

}  // namespace sluice::processor
