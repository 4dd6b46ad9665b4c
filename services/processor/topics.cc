#include "services/processor/topics.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"

namespace sluice::processor {
namespace {

using config::v1::Topic;

constexpr int32_t kPartitions = 6, kReplicationFactor = 3, kMinInsyncReplicas = 2;
constexpr int32_t kPartitionsMax = 10'000, kReplicationFactorMax = 100;
constexpr int32_t kRetentionHoursMax = 100 * 366 * 24;
constexpr int32_t kRetentionHours[] = {7 * 24, 365 * 24, 30 * 24};  // by TopicPlan::Use

int32_t FirstOf(int32_t own, int32_t of_all, int32_t fallback) {
  return own != 0 ? own : of_all != 0 ? of_all : fallback;
}

}  // namespace

std::vector<TopicPlan> TopicPlans(const config::v1::Processor& config) {
  std::vector<TopicPlan> plans;
  auto add = [&](const std::string& name, TopicPlan::Use use) {
    if (std::any_of(plans.begin(), plans.end(),
                    [&](const TopicPlan& known) { return known.name == name; }))
      return;
    const config::v1::Topics& all = config.topics();
    auto own = all.each().find(name);
    Topic settings = own == all.each().end() ? Topic() : own->second;
    settings.set_partitions(FirstOf(settings.partitions(), all.partitions(), kPartitions));
    settings.set_replication_factor(
        FirstOf(settings.replication_factor(), all.replication_factor(), kReplicationFactor));
    settings.set_min_insync_replicas(
        FirstOf(settings.min_insync_replicas(), all.min_insync_replicas(), kMinInsyncReplicas));
    settings.set_retention_hours(FirstOf(settings.retention_hours(), 0, kRetentionHours[use]));
    plans.push_back({name, use, std::move(settings)});
  };
  const config::v1::Pipeline& pipeline = config.pipeline();
  add(pipeline.input().topic(), TopicPlan::kRaw);
  for (const config::v1::Stream& stream : pipeline.streams())
    add(stream.topic(), TopicPlan::kClean);
  add(pipeline.quarantine().topic(), TopicPlan::kQuarantine);
  return plans;
}

void CheckTopics(
    const config::v1::Processor& config,
    const std::function<void(const std::string& path, std::string_view what)>& problem) {
  std::vector<TopicPlan> plans = TopicPlans(config);
  auto between = [&](const std::string& path, int32_t given, int32_t max) {
    if (given < 0 || given > max) problem(path, base::StrCat("must be 1 to ", max));
  };
  auto replicas = [&](const std::string& path, const auto& given) {
    between(path + ".partitions", given.partitions(), kPartitionsMax);
    between(path + ".replication_factor", given.replication_factor(), kReplicationFactorMax);
    between(path + ".min_insync_replicas", given.min_insync_replicas(), kReplicationFactorMax);
  };
  replicas("topics", config.topics());
  for (const auto& [name, own] : config.topics().each()) {
    std::string path = base::StrCat("topics.each[", name, "]");
    auto plan = std::find_if(plans.begin(), plans.end(),
                             [&](const TopicPlan& known) { return known.name == name; });
    if (plan == plans.end()) {
      problem(path, "the pipeline has no such topic");
      continue;
    }
    replicas(path, own);
    if (own.retention_hours() < -1 || own.retention_hours() > kRetentionHoursMax)
      problem(path + ".retention_hours",
              base::StrCat("must be 1 to ", kRetentionHoursMax, ", or -1"));
    if (own.cleanup() != Topic::delete_ && plan->use != TopicPlan::kClean)
      problem(path + ".cleanup",
              "only a clean topic may be compacted: events of equal key would replace each other");
  }
  auto hours = [](const TopicPlan& plan) {
    int32_t given = plan.settings.retention_hours();
    return given < 0 ? INT32_MAX : given;
  };
  for (const TopicPlan& plan : plans) {
    if (plan.settings.min_insync_replicas() > plan.settings.replication_factor())
      problem("topics", base::StrCat(plan.name,
                                     ": min_insync_replicas must not be more than "
                                     "replication_factor, or nothing can be written"));
    if (plan.use != TopicPlan::kRaw && hours(plan) < hours(plans.front()))
      problem("topics", base::StrCat(plan.name,
                                     ": retention_hours must not be less than the raw topic's, or "
                                     "an audit calls events lost"));
  }
}

}  // namespace sluice::processor
