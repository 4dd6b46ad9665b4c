// The topics that a pipeline needs, beside what a cluster has.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/kafka/admin.h"
#include "services/ctl/site.h"

namespace sluice::ctl {

enum class TopicState { kThere, kMissing, kDiffers };

struct PlannedTopic {
  kafka::NewTopic wanted;
  std::string use;  // raw, clean, quarantine, ledger, positions, control
  TopicState state = TopicState::kMissing;
  // What is otherwise than wanted, and why that matters. Never changed by us.
  std::vector<std::string> differences;
};

// What `topics` of the configuration says. kInvalidArgument names file, line and key.
absl::StatusOr<std::vector<kafka::NewTopic>> WantedTopics(const Site& site);
// Asks the cluster.
absl::StatusOr<std::vector<PlannedTopic>> PlanTopics(const Site& site);
// Makes those that are missing; never changes or deletes one.
absl::Status CreateMissing(const Site& site, const std::vector<PlannedTopic>& plan);

}  // namespace sluice::ctl
