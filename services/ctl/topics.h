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

struct TopicOptions {
  int partitions = 6;
  int replication_factor = 3;
  int min_insync_replicas = 2;
  int64_t raw_retention_ms = 7LL * 24 * 3600 * 1000;
  int64_t clean_retention_ms = 365LL * 24 * 3600 * 1000;
  // Longer than the raw topic's: what waits there is all that is left of an event.
  int64_t quarantine_retention_ms = 30LL * 24 * 3600 * 1000;
};

enum class TopicState { kThere, kMissing, kDiffers };

struct PlannedTopic {
  kafka::NewTopic wanted;
  std::string use;  // raw, clean, quarantine, ledger
  TopicState state = TopicState::kMissing;
  // What is otherwise than wanted, and why that matters. Never changed by us.
  std::vector<std::string> differences;
};

// kInvalidArgument names the option.
absl::StatusOr<std::vector<kafka::NewTopic>> WantedTopics(const Site& site,
                                                          const TopicOptions& options);
// Asks the cluster.
absl::StatusOr<std::vector<PlannedTopic>> PlanTopics(const Site& site, const TopicOptions& options);
// Makes those that are missing; never changes or deletes one.
absl::Status CreateMissing(const Site& site, const std::vector<PlannedTopic>& plan);

}  // namespace sluice::ctl
