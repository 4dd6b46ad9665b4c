#include "services/ctl/topics.h"

#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/config/source_map.h"
#include "services/ctl/time_option.h"
#include "services/processor/positions.h"
#include "services/processor/topics.h"

namespace sluice::ctl {
namespace {

using Config = std::map<std::string, std::string>;

// A sealed payload is larger than its event by its seal, its headers and its key.
constexpr int64_t kSealBytes = 4096;
constexpr int64_t kMessageBytes = 1024 * 1024 + kSealBytes;
constexpr int64_t kHourMs = 3'600'000;

// As Kafka's cleanup.policy.
std::string_view CleanupName(config::v1::Topic::Cleanup cleanup) {
  return cleanup == config::v1::Topic::compact          ? "compact"
         : cleanup == config::v1::Topic::compact_delete ? "compact,delete"
                                                        : "delete";
}

std::string Of(const Config& config, const std::string& name) {
  auto found = config.find(name);
  return found == config.end() ? "" : found->second;
}

int64_t Number(const Config& config, const std::string& name) {
  int64_t number = 0;
  return absl::SimpleAtoi(Of(config, name), &number) ? number : 0;
}

// -1 is without end.
bool Shorter(int64_t retention_ms, int64_t than_ms) {
  return retention_ms >= 0 && (than_ms < 0 || retention_ms < than_ms);
}

std::string Retention(int64_t ms) { return ms < 0 ? "without end" : DurationText(ms); }

void Compare(PlannedTopic& topic, int partitions, const Config& there, const Config* raw) {
  auto differs = [&topic](auto&&... parts) { topic.differences.push_back(base::StrCat(parts...)); };
  const Config& wanted = topic.wanted.config;
  if (partitions != topic.wanted.partitions)
    differs(partitions, " partitions instead of ", topic.wanted.partitions);
  int64_t replicas = Number(there, "min.insync.replicas");
  if (replicas < Number(wanted, "min.insync.replicas")) {
    differs("min.insync.replicas ", replicas, " instead of ", Of(wanted, "min.insync.replicas"),
            ": an acknowledged record can be lost with one broker");
  }
  std::string policy = Of(there, "cleanup.policy");
  if (policy != Of(wanted, "cleanup.policy")) {
    differs("cleanup.policy ", policy, " instead of ", Of(wanted, "cleanup.policy"),
            topic.use == "ledger"      ? ": a record whose entry is gone would be redriven again"
            : topic.use == "positions" ? ": where the pipeline is would be forgotten"
            : topic.use == "control"   ? ": pins would be lost"
            : policy == "delete"       ? ": every record stays until its time is over"
                                       : ": events of equal key would replace each other");
  }
  if (topic.use == "ledger" || topic.use == "positions") return;
  int64_t retention = Number(there, "retention.ms");
  if (retention != Number(wanted, "retention.ms")) {
    differs("retention ", Retention(retention), " instead of ",
            Retention(Number(wanted, "retention.ms")));
  }
  if (topic.use == "raw" || topic.use == "control" || raw == nullptr) return;
  if (Shorter(retention, Number(*raw, "retention.ms"))) {
    differs("keeps less than the raw topic (", Retention(Number(*raw, "retention.ms")),
            "): an audit will call its older events lost");
  }
  if (topic.use == "quarantine" &&
      Number(there, "max.message.bytes") < Number(*raw, "max.message.bytes") + kSealBytes) {
    differs("max.message.bytes ", Number(there, "max.message.bytes"),
            " has no room for the raw "
            "topic's largest event and its seal (",
            Number(*raw, "max.message.bytes") + kSealBytes,
            "): such events are kept as references only");
  }
}

}  // namespace

absl::StatusOr<std::vector<kafka::NewTopic>> WantedTopics(const Site& site) {
  config::Problems problems;
  processor::CheckTopics(site.config, [&](const std::string& path, std::string_view what) {
    problems.Add(site.map, path, what);
  });
  SLUICE_RETURN_IF_ERROR(problems.ToStatus());
  std::vector<kafka::NewTopic> wanted;
  for (const processor::TopicPlan& plan : processor::TopicPlans(site.config)) {
    const config::v1::Topic& topic = plan.settings;
    const int64_t hours = topic.retention_hours();
    const int64_t room = plan.use == processor::TopicPlan::kQuarantine ? kSealBytes : 0;
    wanted.push_back({plan.name,
                      topic.partitions(),
                      topic.replication_factor(),
                      {{"cleanup.policy", std::string(CleanupName(topic.cleanup()))},
                       {"retention.ms", std::to_string(hours < 0 ? -1 : hours * kHourMs)},
                       {"min.insync.replicas", std::to_string(topic.min_insync_replicas())},
                       {"max.message.bytes", std::to_string(kMessageBytes + room)}}});
  }
  // As safe as the quarantine whose records it speaks of.
  const int factor = wanted.back().replication_factor;
  const std::string replicas = wanted.back().config.at("min.insync.replicas");
  wanted.push_back({site.ledger(),
                    1,
                    factor,
                    {{"cleanup.policy", "compact"}, {"min.insync.replicas", replicas}}});
  // Compaction leaves the last segment alone, and a processor reads all of it when it starts.
  wanted.push_back({processor::PositionsTopic(site.config.pipeline()),
                    1,
                    factor,
                    {{"cleanup.policy", "compact"},
                     {"segment.bytes", "4194304"},
                     {"min.insync.replicas", replicas}}});
  // Processors refuse one that isn't kept for ever.
  if (!site.control().empty()) {
    wanted.push_back({site.control(),
                      1,
                      factor,
                      {{"cleanup.policy", "delete"},
                       {"retention.ms", "-1"},
                       {"retention.bytes", "-1"},
                       {"min.insync.replicas", replicas}}});
  }
  return wanted;
}

absl::StatusOr<std::vector<PlannedTopic>> PlanTopics(const Site& site) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::NewTopic> wanted, WantedTopics(site));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  std::vector<PlannedTopic> plan;
  std::optional<Config> raw;
  const size_t ledger = wanted.size() - (site.control().empty() ? 2 : 3);
  for (size_t i = 0; i < wanted.size(); ++i) {
    PlannedTopic& topic = plan.emplace_back();
    topic.wanted = std::move(wanted[i]);
    topic.use = i == 0            ? "raw"
                : i > ledger + 1  ? "control"
                : i > ledger      ? "positions"
                : i == ledger     ? "ledger"
                : i + 1 == ledger ? "quarantine"
                                  : "clean";
    auto partitions = admin->PartitionCount(topic.wanted.name);
    if (absl::IsNotFound(partitions.status())) continue;
    if (!partitions.ok()) return partitions.status();
    SLUICE_ASSIGN_OR_RETURN(Config there, admin->DescribeTopic(topic.wanted.name));
    Compare(topic, *partitions, there, raw ? &*raw : nullptr);
    topic.state = topic.differences.empty() ? TopicState::kThere : TopicState::kDiffers;
    if (i == 0) raw = std::move(there);
  }
  return plan;
}

absl::Status CreateMissing(const Site& site, const std::vector<PlannedTopic>& plan) {
  std::vector<kafka::NewTopic> missing;
  for (const PlannedTopic& topic : plan) {
    if (topic.state == TopicState::kMissing) missing.push_back(topic.wanted);
  }
  if (missing.empty()) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  return admin->CreateTopics(missing);
}

}  // namespace sluice::ctl
