#include "services/ctl/topics.h"

#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/time_option.h"

namespace sluice::ctl {
namespace {

using Config = std::map<std::string, std::string>;

// A sealed payload is larger than its event by its seal, its headers and its key.
constexpr int64_t kSealBytes = 4096;
constexpr int64_t kMessageBytes = 1024 * 1024 + kSealBytes;

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
            topic.use == "ledger" ? ": a record whose entry is gone would be redriven again"
                                  : ": events of equal key would replace each other");
  }
  if (topic.use == "ledger") return;
  int64_t retention = Number(there, "retention.ms");
  if (retention != Number(wanted, "retention.ms")) {
    differs("retention ", Retention(retention), " instead of ",
            Retention(Number(wanted, "retention.ms")));
  }
  if (topic.use == "raw" || raw == nullptr) return;
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

absl::StatusOr<std::vector<kafka::NewTopic>> WantedTopics(const Site& site,
                                                          const TopicOptions& options) {
  if (options.partitions < 1 || options.partitions > 10'000)
    return absl::InvalidArgumentError("--partitions must be between 1 and 10000");
  if (options.replication_factor < 1 || options.replication_factor > 100)
    return absl::InvalidArgumentError("--replication-factor must be between 1 and 100");
  if (options.min_insync_replicas < 1 || options.min_insync_replicas > options.replication_factor) {
    return absl::InvalidArgumentError(
        "--min-insync-replicas must be between 1 and --replication-factor");
  }
  if (options.quarantine_retention_ms < options.raw_retention_ms ||
      options.clean_retention_ms < options.raw_retention_ms) {
    return absl::InvalidArgumentError(
        "--quarantine-retention and --clean-retention must not be shorter than --raw-retention, or "
        "an audit calls events lost");
  }
  const std::string replicas = std::to_string(options.min_insync_replicas);
  auto topic = [&](const std::string& name, int64_t retention_ms, int64_t message_bytes) {
    return kafka::NewTopic{name,
                           options.partitions,
                           options.replication_factor,
                           {{"cleanup.policy", "delete"},
                            {"retention.ms", std::to_string(retention_ms)},
                            {"min.insync.replicas", replicas},
                            {"max.message.bytes", std::to_string(message_bytes)}}};
  };
  std::vector<kafka::NewTopic> wanted;
  wanted.push_back(topic(site.raw(), options.raw_retention_ms, kMessageBytes));
  for (const std::string& name : site.clean())
    wanted.push_back(topic(name, options.clean_retention_ms, kMessageBytes));
  wanted.push_back(
      topic(site.quarantine(), options.quarantine_retention_ms, kMessageBytes + kSealBytes));
  wanted.push_back({site.ledger(),
                    1,
                    options.replication_factor,
                    {{"cleanup.policy", "compact"}, {"min.insync.replicas", replicas}}});
  return wanted;
}

absl::StatusOr<std::vector<PlannedTopic>> PlanTopics(const Site& site,
                                                     const TopicOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::NewTopic> wanted, WantedTopics(site, options));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                          kafka::Admin::Create(site.connection));
  std::vector<PlannedTopic> plan;
  std::optional<Config> raw;
  for (size_t i = 0; i < wanted.size(); ++i) {
    PlannedTopic& topic = plan.emplace_back();
    topic.wanted = std::move(wanted[i]);
    topic.use = i == 0                   ? "raw"
                : i + 1 == wanted.size() ? "ledger"
                : i + 2 == wanted.size() ? "quarantine"
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
