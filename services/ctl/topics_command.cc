#include "services/ctl/topics_command.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "services/ctl/json.h"
#include "services/ctl/time_option.h"
#include "services/ctl/topics.h"
#include "services/processor/topics.h"

namespace sluice::ctl {
namespace {

struct Options {
  std::string config;
  // 0, empty: as the configuration says.
  int partitions = 0, replication_factor = 0, min_insync_replicas = 0;
  std::string raw_retention, clean_retention, quarantine_retention;

  void AddTo(CLI::App& command) {
    command.add_option("--config", config, "The processor's configuration")->required();
    command
        .add_option("--partitions", partitions,
                    "Of every topic but ledger, positions and control topic; here and below, "
                    "overrides `topics` in the configuration")
        ->check(CLI::Range(1, 10'000));
    command.add_option("--replication-factor", replication_factor, "Copies of each record")
        ->check(CLI::Range(1, 100));
    command
        .add_option("--min-insync-replicas", min_insync_replicas,
                    "Copies that must be there before a record counts as written")
        ->check(CLI::Range(1, 100));
    command.add_option("--raw-retention", raw_retention,
                       "How long raw events are kept, such as 7d");
    command.add_option("--clean-retention", clean_retention, "How long clean events are kept");
    command.add_option("--quarantine-retention", quarantine_retention,
                       "How long quarantined events can be redriven");
  }

  // Into the configuration's `topics`.
  absl::Status Apply(config::v1::Processor& config) const {
    config::v1::Topics& topics = *config.mutable_topics();
    if (partitions != 0) topics.set_partitions(partitions);
    if (replication_factor != 0) topics.set_replication_factor(replication_factor);
    if (min_insync_replicas != 0) topics.set_min_insync_replicas(min_insync_replicas);
    for (auto& [name, topic] : *topics.mutable_each()) {
      if (partitions != 0) topic.clear_partitions();
      if (replication_factor != 0) topic.clear_replication_factor();
      if (min_insync_replicas != 0) topic.clear_min_insync_replicas();
    }
    for (const processor::TopicPlan& plan : processor::TopicPlans(config)) {
      const std::string& given = plan.use == processor::TopicPlan::kRaw     ? raw_retention
                                 : plan.use == processor::TopicPlan::kClean ? clean_retention
                                                                            : quarantine_retention;
      if (given.empty()) continue;
      SLUICE_ASSIGN_OR_RETURN(int64_t ms, ParseDuration(given));
      if (ms == 0 || ms % kHourMs != 0 || ms / kHourMs > INT32_MAX) {
        return absl::InvalidArgumentError(
            base::StrCat("'", given, "': a retention is of whole hours, such as 36h or 7d"));
      }
      (*topics.mutable_each())[plan.name].set_retention_hours(static_cast<int32_t>(ms / kHourMs));
    }
    return absl::OkStatus();
  }

  static constexpr int64_t kHourMs = 3'600'000;
};

std::string_view StateName(TopicState state) {
  return state == TopicState::kThere     ? "there"
         : state == TopicState::kMissing ? "missing"
                                         : "differs";
}

absl::StatusOr<ExitCode> Topics(const Options& options, bool apply, Output& output) {
  SLUICE_ASSIGN_OR_RETURN(Site site, LoadSite(options.config));
  SLUICE_RETURN_IF_ERROR(options.Apply(site.config));
  SLUICE_ASSIGN_OR_RETURN(std::vector<PlannedTopic> plan, PlanTopics(site));
  if (apply) SLUICE_RETURN_IF_ERROR(CreateMissing(site, plan));
  auto state_of = [&](const PlannedTopic& topic) -> std::string_view {
    return apply && topic.state == TopicState::kMissing ? "created" : StateName(topic.state);
  };
  if (output.json()) {
    JsonText json;
    json.BeginObject().Key("topics").BeginArray();
    for (const PlannedTopic& topic : plan) {
      json.BeginObject()
          .Member("topic", topic.wanted.name)
          .Member("use", topic.use)
          .Member("state", state_of(topic))
          .Member("partitions", topic.wanted.partitions)
          .Member("replication_factor", topic.wanted.replication_factor)
          .Key("config")
          .BeginObject();
      for (const auto& [name, value] : topic.wanted.config) json.Member(name, value);
      json.EndObject().Key("differences").BeginArray();
      for (const std::string& difference : topic.differences) json.Value(difference);
      json.EndArray().EndObject();
    }
    json.EndArray().EndObject();
    output.out() << std::move(json).Finish();
  } else {
    Table table({"TOPIC", "USE", "STATE", "PARTITIONS", "REPLICAS", "CONFIG"});
    for (const PlannedTopic& topic : plan) {
      std::string config;
      for (const auto& [name, value] : topic.wanted.config)
        base::StrAppend(config, config.empty() ? "" : " ", name, "=", value);
      Colour colour = topic.state == TopicState::kThere ? Colour::kGreen : Colour::kYellow;
      table.Add({topic.wanted.name, topic.use, output.Paint(colour, state_of(topic)),
                 base::StrCat(topic.wanted.partitions),
                 base::StrCat(topic.wanted.replication_factor), config});
    }
    table.Print(output);
    for (const PlannedTopic& topic : plan) {
      for (const std::string& difference : topic.differences)
        output.out() << topic.wanted.name << ": " << difference << "\n";
    }
  }
  auto is = [&plan](TopicState state) {
    return std::any_of(plan.begin(), plan.end(),
                       [state](const PlannedTopic& topic) { return topic.state == state; });
  };
  if (is(TopicState::kDiffers) && !output.json()) {
    output.err()
        << "What differs is left as it is: change it with Kafka's own tools, or say what is "
           "wanted in `topics` of the configuration.\n";
  }
  bool found = is(TopicState::kDiffers) || (!apply && is(TopicState::kMissing));
  return found ? ExitCode::kFound : ExitCode::kOk;
}

}  // namespace

void AddTopicsCommand(Program& program) {
  CLI::App& group = program.Group("topics", "The topics that a pipeline needs");
  auto plan = std::make_shared<Options>();
  plan->AddTo(program.Add(
      group,
      {.name = "plan",
       .summary = "Compare what the pipeline needs with what the cluster has; changes nothing",
       .examples = {{"topics plan --config processor.yaml --partitions 12",
                     "Ends with 1 where something is missing or differs"}}},
      [plan](Output& output) { return Topics(*plan, false, output); }));
  auto apply = std::make_shared<Options>();
  apply->AddTo(
      program.Add(group,
                  {.name = "apply",
                   .summary = "Make what is missing; never changes or deletes a topic",
                   .examples = {{"topics apply --config processor.yaml --replication-factor 1"
                                 " --min-insync-replicas 1",
                                 "For a cluster of one broker"}}},
                  [apply](Output& output) { return Topics(*apply, true, output); }));
}

}  // namespace sluice::ctl
