#include "tests/simulation/guard.h"

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/stream/mutant.h"

namespace sluice::simulation {
namespace {

using kafka::CommittedPosition;
using processor::ComparePosition;
using processor::RecordedPositions;

constexpr milliseconds kLook(5'000);

}  // namespace

std::string TopicId(World& world, const std::string& topic) {
  return world.HasTopic(topic) ? base::StrCat("id", world.topic(topic).incarnation) : "";
}

std::optional<RecordedPositions> Recorded(World& world) {
  const Log& log = world.topic(world.positions).partitions[0];
  if (log.stable() != log.end()) return std::nullopt;
  RecordedPositions recorded(kPipeline);
  for (const Entry& entry : log.entries) {
    if (entry.state != Entry::kCommitted) continue;
    if (!recorded.Add(entry.key, entry.value).ok())
      throw Violation{"a record of the positions topic isn't a position"};
  }
  return recorded;
}

absl::Status Guard::CheckAtStart() {
  std::optional<RecordedPositions> recorded;
  if (Connected()) recorded = Recorded(world_);
  if (!recorded || site_.topic_id.empty()) return absl::UnavailableError("positions aren't known");
  if (!recorded->FormerId(site_.topic, site_.topic_id).empty())
    return absl::FailedPreconditionError("the topic was deleted and created again");
  bool any_recorded = false, any_committed = false;
  for (const auto& [key, position] : recorded->all()) {
    if (key.topic_id != site_.topic_id) continue;
    any_recorded = true;
    std::optional<World::Offset> at = world_.Committed({site_.topic, key.partition});
    if (!at) return absl::UnavailableError("a transaction holds the group's offsets");
    if (at->next < 0) {
      SLUICE_RETURN_IF_ERROR(
          ComparePosition(site_, {site_.topic, key.partition, -1, ""}, &position));
    }
  }
  size_t partitions = world_.topic(site_.topic).partitions.size();
  for (size_t i = 0; i < partitions; ++i) {
    std::optional<World::Offset> at = world_.Committed({site_.topic, static_cast<int32_t>(i)});
    any_committed |= at && at->next >= 0;
  }
  if (any_recorded || any_committed || !recorded->Versions(site_.topic_id, 0).empty())
    return absl::OkStatus();
  for (const char* topic : {"clean", "quarantine"}) {
    for (const Log& log : world_.topic(topic).partitions) {
      if (log.end() > 0) return absl::FailedPreconditionError("there are results already");
    }
  }
  positions::v1::VersionBegin begin;
  begin.set_version("none");
  Entry entry;
  entry.key = base::StrCat(processor::PositionKeyText(kPipeline, site_.topic_id, 0), "/0");
  entry.value = begin.SerializeAsString();
  world_.topic(world_.positions).partitions[0].entries.push_back(std::move(entry));
  return absl::OkStatus();
}

void Guard::Look() {
  if (!Connected() || world_.Now() < look_at_ || SLUICE_MUTANT("topic_by_name")) return;
  look_at_ = world_.Now() + kLook;
  std::string id = TopicId(world_, site_.topic);
  if (id.empty()) return;
  refusal_ =
      id == site_.topic_id
          ? absl::OkStatus()
          : absl::FailedPreconditionError("the topic was deleted and created again: restart");
}

absl::Status Guard::refusal() {
  Look();
  return refusal_;
}

std::optional<absl::Status> Guard::Check(std::span<const CommittedPosition> positions,
                                         processor::PositionRecorder& recorder) {
  if (refusal_.ok() && !answer_at_ && recorder.Resume(positions)) return absl::OkStatus();
  std::vector<std::pair<int32_t, int64_t>> asked;
  for (const CommittedPosition& position : positions)
    asked.emplace_back(position.partition, position.offset);
  if (!answer_at_ || asked != asked_) {
    asked_ = std::move(asked);
    answer_at_ = world_.Now() + milliseconds(1 + world_.Random(30));
  }
  if (world_.Now() < *answer_at_ || !Connected()) return std::nullopt;
  std::optional<RecordedPositions> recorded = Recorded(world_);
  if (!recorded) return std::nullopt;
  answer_at_.reset();
  look_at_ = {};
  Look();
  if (!refusal_.ok()) return refusal_;
  for (const CommittedPosition& position : positions) {
    SLUICE_RETURN_IF_ERROR(
        ComparePosition(site_, position, recorded->Find(site_.topic_id, position.partition)));
  }
  recorder.Begin(positions, *recorded, site_.topic_id);
  return absl::OkStatus();
}

}  // namespace sluice::simulation
