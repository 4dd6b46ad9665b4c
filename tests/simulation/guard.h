// services/processor's PositionGuard over the simulated Kafka: the same questions, compared by the
// same code, without its thread.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/kafka/source.h"
#include "services/processor/positions.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/world.h"

namespace sluice::simulation {

inline constexpr const char* kPipeline = "pipeline";
inline constexpr const char* kGroup = "group";

// What a topic that is there is known by.
std::string TopicId(World& world, const std::string& topic);
// What the positions topic says; nullopt: an open transaction may say more.
std::optional<processor::RecordedPositions> Recorded(World& world);

// Of a process, from its start. World and network outlive it.
class Guard {
 public:
  Guard(World& world, Network& network)
      : world_(world),
        network_(network),
        site_{kPipeline, kGroup, world.input, TopicId(world, world.input)} {}

  const processor::PositionSite& site() const { return site_; }
  // kUnavailable: not known now. kFailedPrecondition: it must not join.
  absl::Status CheckAtStart();
  std::optional<absl::Status> Check(std::span<const kafka::CommittedPosition> positions,
                                    processor::PositionRecorder& recorder);
  absl::Status refusal();

 private:
  bool Connected() const { return world_.Now() >= network_.away_until && !network_.frozen; }
  void Look();

  World& world_;
  Network& network_;
  const processor::PositionSite site_;
  absl::Status refusal_;
  Time look_at_{};
  std::optional<Time> answer_at_;  // of the question that was asked
  std::vector<std::pair<int32_t, int64_t>> asked_;
};

}  // namespace sluice::simulation
