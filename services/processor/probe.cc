#include "services/processor/probe.h"

#include <algorithm>

#include "common/base/strings.h"
#include "common/telemetry/log.h"

namespace sluice::processor {
namespace {

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

std::optional<double> LagSeconds(const kafka::PartitionSnapshot& partition, int64_t now_ms) {
  if (partition.lag_records < 0) return std::nullopt;
  if (partition.lag_records == 0) return 0;
  int64_t since = std::max(partition.last_timestamp_ms, partition.caught_up_ms);
  if (since < 0) since = partition.seen_ms;
  return static_cast<double>(std::max<int64_t>(now_ms - since, 0)) / 1000;
}

Probe::Probe(telemetry::Registry& registry, std::string contract, std::string group)
    : contract_(std::move(contract)), group_(std::move(group)) {
  auto events = registry.CounterFamily({"sluice_events_total",
                                        "Raw events by what became of them; committed ones only.",
                                        {"contract", "outcome"}});
  in_ = registry.NewCounter(
      "sluice_events_in_total",
      "Raw events read and committed: the sum of clean, quarantined and suppressed ones.");
  clean_ = events.With({contract_, "clean"});
  quarantined_ = events.With({contract_, "quarantined"});
  suppressed_ = events.With({contract_, "suppressed"});
  unknown_fields_ = registry.NewCounter("sluice_unknown_fields_total",
                                        "Fields that the contract doesn't know; dropped.");
  violations_ = registry.CounterFamily(
      {"sluice_violations_total", "Rules that events broke.", {"rule"}, 500});
  repairs_ = registry.CounterFamily({"sluice_repairs_total",
                                     "Untidy values read as the contract says.",
                                     {"field", "kind"},
                                     1000});
  scrubbed_ = registry.CounterFamily(
      {"sluice_scrubbed_total", "Identifiers found in free text and replaced.", {"kind"}});
  joins_ = registry.CounterFamily(
      {"sluice_joins_total",
       "Joins of published events and of those that only lack a row: hit, or what the join does "
       "without a row; wait: it wasn't there in time.",
       {"set", "into", "result"},
       1000});
  transactions_ = registry.NewCounter("sluice_transactions_total", "Transactions committed.");
  aborts_ = registry.CounterFamily(
      {"sluice_transaction_aborts_total",
       "Transactions aborted and done again, by what the brokers' answer called for.",
       {"worker", "class"}});
  recreations_ = registry.CounterFamily(
      {"sluice_producer_recreations_total", "New producer epochs taken, by cause.", {"cause"}});
  recreation_failures_ = registry.NewCounter("sluice_producer_recreation_failures_total",
                                             "Epochs that couldn't be had.");
  output_records_ = registry.NewCounter("sluice_output_records_total",
                                        "Records written and committed, of all topics.");
  output_bytes_ =
      registry.NewCounter("sluice_output_bytes_total", "Their bytes, before compression.");
  dependency_waits_ = registry.NewCounter("sluice_dependency_unavailable_total",
                                          "Chunks held because a dependency was away.");
  lag_records_ = registry.GaugeFamily(
      {"sluice_lag_records",
       "Raw records between the worker's position and the end of the log. Absent if unknown.",
       {"topic", "partition"},
       1000});
  lag_stable_ = registry.GaugeFamily(
      {"sluice_lag_stable_records",
       "Raw records between the worker's position and the last stable offset: records that it can "
       "read now. Absent if unknown.",
       {"topic", "partition"},
       1000});
  blocked_ = registry.GaugeFamily(
      {"sluice_input_blocked_seconds",
       "Time that an open transaction of another producer has kept the worker from reading on. "
       "Absent if none does.",
       {"topic", "partition"},
       1000});
  group_lag_ = registry.GaugeFamily({"kafka_consumergroup_lag",
                                     "sluice_lag_records under the name that is customary for it.",
                                     {"consumergroup", "topic", "partition"},
                                     1000});
  lag_seconds_ = registry.GaugeFamily(
      {"sluice_lag_seconds",
       "Upper bound of the age of the oldest raw record that waits to be read; 0 "
       "if none waits. Absent if unknown.",
       {"topic", "partition"},
       1000});
  committed_offset_ = registry.GaugeFamily(
      {"sluice_committed_offset",
       "Of the next raw record whose results aren't committed; told once one was committed here.",
       {"topic", "partition"},
       1000});
  queue_bytes_ = registry.GaugeFamily(
      {"sluice_queue_bytes", "Bytes held by the Kafka clients.", {"worker", "queue"}, 200});
  broker_failure_ = registry.GaugeFamily(
      {"sluice_broker_failure_seconds",
       "For how long a worker has been kept from the brokers, by kind: outage, credentials, "
       "permission or certificate; 0: it is not.",
       {"worker", "kind"}});
  uncommitted_ = registry.GaugeFamily(
      {"sluice_oldest_uncommitted_seconds",
       "How long the oldest record that isn't committed has been in work; 0: none is.",
       {"worker"},
       100});
  snapshot_age_ = registry.GaugeFamily({"sluice_snapshot_age_seconds",
                                        "Since the snapshot in use of a reference set was loaded.",
                                        {"set"}});
  state_ = registry.GaugeFamily(
      {"sluice_worker_state", "1 for the state that a worker is in.", {"worker", "state"}, 600});
  auto stages = registry.HistogramFamily(
      {"sluice_stage_seconds", "Time for a chunk's stage; for commit, a transaction's.", {"stage"}},
      telemetry::SecondsBuckets());
  constexpr std::string_view kNames[] = {"read", "pseudonymise", "write", "commit"};
  for (int stage = 0; stage < kStages; ++stage) stages_[stage] = stages.With({kNames[stage]});
  latency_ = registry.NewHistogram("sluice_end_to_end_latency_seconds",
                                   "From a raw record's timestamp to the commit of its results.",
                                   telemetry::SecondsBuckets());
  batch_bytes_ = registry.NewHistogram("sluice_batch_bytes", "Output of a transaction.",
                                       telemetry::BytesBuckets());
  confirmed_ = registry.GaugeFamily({"sluice_reference_confirmed_seconds",
                                     "Since a set's source was last read in full and had the "
                                     "version in use.",
                                     {"set"},
                                     1000});
  full_read_interval_ = registry.GaugeFamily({"sluice_reference_full_read_interval_seconds",
                                              "How often a set's source is read in full at least.",
                                              {"set"},
                                              1000});
  snapshot_info_ = registry.GaugeFamily({"sluice_snapshot_info",
                                         "1 for the snapshot in use of a reference set.",
                                         {"set", "id"},
                                         1000});
  plan_info_ = registry.GaugeFamily({"sluice_plan_info",
                                     "1 for the hash of contract and pipeline in use.",
                                     {"contract", "plan"},
                                     1000});
  epoch_ = registry.GaugeFamily(
      {"sluice_key_epoch", "The epoch that makes a domain's new pseudonyms.", {"domain"}});
  epoch_begun_ = registry.GaugeFamily(
      {"sluice_key_epoch_begun_timestamp_seconds",
       "When the epoch that makes a domain's new pseudonyms was begun. Absent if unknown.",
       {"domain"}});
  swap_ = registry.NewHistogram(
      "sluice_edition_swap_seconds",
      "How long a worker stood still to take another configuration or other snapshots.",
      telemetry::SecondsBuckets());
  reloads_ = registry.CounterFamily(
      {"sluice_config_reloads_total", "Readings of a changed configuration.", {"result"}});
  for (const char* result : {"accepted", "refused"}) reloads_.With({result});
  unconfirmed_ = registry.GaugeFamily(
      {"sluice_reference_unconfirmed_seconds",
       "Time since the reference service last confirmed that its sets are the newest, or since the "
       "start if it never has. Absent without a reference service.",
       {}});
  self_checks_ = registry.CounterFamily(
      {"sluice_self_checks_total",
       "Synthetic events that an engine has sent through itself, by whether a marker showed.",
       {"result"}});
  for (const char* result : {"passed", "failed"}) self_checks_.With({result});
  self_check_failed_ = registry.NewGauge("sluice_self_check_failed",
                                         "1: the latest self-check found that a stream shows more "
                                         "than it may, and the worker halted.");
  self_check_unnoticed_ =
      registry.NewGauge("sluice_self_check_unnoticed_seconds",
                        "How long events had been published since the self-check before the latest "
                        "one: so long could a leak have "
                        "gone unnoticed.");
  pins_ = registry.NewCounter("sluice_reference_pins_total",
                              "Pins written to the control topic and committed.");
  pin_waits_ = registry.CounterFamily(
      {"sluice_reference_pin_waits_total",
       "Chunks held because of the control topic or what it pins: behind (another replica, the "
       "group that is followed, or a fence that isn't set), contradiction, topic (it can't be "
       "read), version (a pinned one can't be had, or isn't there yet).",
       {"reason"}});
  for (const char* reason : {"behind", "contradiction", "topic", "version"})
    pin_waits_.With({reason});
  reload_refused_ =
      registry.NewGauge("sluice_config_reload_refused",
                        "1: the configuration on disk was refused, and the one before it goes on.");
  key_service_calls_ = registry.CounterFamily(
      {"sluice_key_service_calls_total",
       "Calls to a remote pseudonymiser that have ended, by gRPC's code; BAD_ANSWER: its answer "
       "didn't fit the question.",
       {"code"}});
  key_service_values_ =
      registry.NewCounter("sluice_key_service_values_total",
                          "Values that were sent to a remote pseudonymiser, again where again.");
  key_service_call_ = registry.NewHistogram("sluice_key_service_call_seconds",
                                            "Time for a call to a remote pseudonymiser.",
                                            telemetry::SecondsBuckets());
  key_service_away_ =
      registry.NewGauge("sluice_key_service_away",
                        "1: the last batch couldn't be had from the remote pseudonymiser.");
}

void Probe::KeyServiceCall(std::string_view code, std::chrono::nanoseconds took,
                           size_t values) const {
  key_service_calls_.With({code}).Add();
  key_service_values_.Add(static_cast<double>(values));
  key_service_call_.Observe(std::chrono::duration<double>(took).count());
}

void Probe::Running(const engine::Pipeline* before, const engine::Pipeline& now) const {
  // Those of what isn't in use any more would fill the families up.
  if (before != nullptr) {
    if (before->fingerprint() != now.fingerprint())
      plan_info_.Remove({contract_, before->fingerprint()});
    auto same = [&](const auto& table) {
      return std::any_of(now.tables().begin(), now.tables().end(), [&](const auto& other) {
        return other->set() == table->set() && other->id() == table->id();
      });
    };
    for (const auto& table : before->tables())
      if (!same(table)) snapshot_info_.Remove({table->set(), table->id()});
  }
  plan_info_.With({contract_, now.fingerprint()}).Set(1);
  for (const auto& table : now.tables()) snapshot_info_.With({table->set(), table->id()}).Set(1);
  Log(telemetry::Severity::kInfo, "edition", {{"plan", telemetry::SafeText(now.fingerprint())}});
}

void Probe::Swapped(std::chrono::nanoseconds took) const { swap_.Observe(Seconds(took)); }

void Probe::SelfChecked(bool passed, std::chrono::nanoseconds unnoticed) const {
  self_checks_.With({passed ? "passed" : "failed"}).Add();
  self_check_failed_.Set(passed ? 0 : 1);
  self_check_unnoticed_.Set(Seconds(unnoticed));
}

void Probe::Reloaded(const absl::Status& refused) const {
  reloads_.With({refused.ok() ? "accepted" : "refused"}).Add();
  reload_refused_.Set(refused.ok() ? 0 : 1);
  if (refused.ok()) return;
  Log(telemetry::Severity::kError, "config_refused",
      {{"reason", telemetry::SafeText(base::View(refused.message()))}});
}

void Probe::Stage(StageName stage, std::chrono::nanoseconds took) const {
  stages_[stage].Observe(Seconds(took));
}

void Probe::Events(const engine::Pipeline& pipeline, const engine::Tally& tally,
                   std::span<const int64_t> timestamps_ms, int64_t now_ms) const {
  const contract::Plan& contract = pipeline.contract();
  auto add = [](const telemetry::Counter& counter, uint64_t count) {
    if (count > 0) counter.Add(static_cast<double>(count));
  };
  add(in_, tally.in);
  add(clean_, tally.clean);
  add(quarantined_, tally.quarantined);
  add(suppressed_, tally.suppressed);
  add(unknown_fields_, tally.unknown_fields);
  for (const auto& [rule, count] : tally.violations) {
    if (count > 0) violations_.With({rule}).Add(static_cast<double>(count));
  }
  for (size_t i = 0; i < tally.repairs.size(); ++i) {
    if (tally.repairs[i] == 0) continue;
    const contract::Node& node =
        contract.node(static_cast<contract::NodeId>(i / event::kRepairKinds));
    auto kind = static_cast<event::RepairKind>(i % event::kRepairKinds);
    repairs_.With({node.path, event::RepairName(kind)}).Add(static_cast<double>(tally.repairs[i]));
  }
  for (size_t kind = 0; kind < tally.scrubbed.size(); ++kind) {
    if (tally.scrubbed[kind] == 0) continue;
    scrubbed_
        .With({kind == 0 ? std::string("DATE_OF_BIRTH")
                         : contract::v1::IdentifierKind_Name(static_cast<int>(kind))})
        .Add(static_cast<double>(tally.scrubbed[kind]));
  }
  for (size_t i = 0; i < tally.hits.size() && tally.joined > 0; ++i) {
    const config::v1::Enrichment& join = pipeline.config().enrich(static_cast<int>(i));
    auto count = [&](std::string_view result, uint64_t events) {
      add(joins_.With({join.set(), join.into(), result}), events);
    };
    count("hit", tally.hits[i]);
    count(config::v1::Enrichment::OnMissing_Name(join.on_missing()), tally.joined - tally.hits[i]);
  }
  telemetry::HistogramTally latencies(telemetry::SecondsBuckets());
  for (int64_t timestamp : timestamps_ms) {
    latencies.Observe(static_cast<double>(std::max<int64_t>(now_ms - timestamp, 0)) / 1000);
  }
  latencies.FlushTo(latency_);
}

EventCounts Probe::counts() const {
  auto value = [](const telemetry::Counter& counter) {
    return static_cast<uint64_t>(counter.Value());
  };
  return {value(in_), value(clean_), value(quarantined_), value(suppressed_)};
}

// As the worker itself says, or what its silence says.
void Probe::State(size_t worker, stream::DriverState state) const {
  std::string name = std::to_string(worker);
  for (size_t i = 0; i < stream::kDriverStates; ++i) {
    auto other = static_cast<stream::DriverState>(i);
    state_.With({name, stream::DriverStateName(other)}).Set(other == state ? 1 : 0);
  }
}

void Probe::BrokerFailure(size_t worker, const std::optional<kafka::BrokerFailure>& failure,
                          std::chrono::steady_clock::time_point now) const {
  for (size_t i = 0; i < kafka::kFailureKinds; ++i) {
    auto kind = static_cast<kafka::FailureKind>(i);
    bool is = failure && failure->kind == kind;
    broker_failure_.With({std::to_string(worker), kafka::FailureKindName(kind)})
        .Set(is ? Seconds(now - failure->since) : 0);
  }
}

void Probe::Uncommitted(size_t worker, std::chrono::nanoseconds age) const {
  uncommitted_.With({std::to_string(worker)}).Set(Seconds(age));
}

void Probe::Unconfirmed(std::optional<std::chrono::nanoseconds> age) const {
  if (age) {
    unconfirmed_.With({}).Set(Seconds(*age));
  } else {
    unconfirmed_.RemoveAll();
  }
}

void Probe::Freshness(std::span<const SetFreshness> sets) const {
  // A reload may have taken sets out.
  confirmed_.RemoveAll();
  full_read_interval_.RemoveAll();
  for (const SetFreshness& set : sets) {
    confirmed_.With({set.set}).Set(Seconds(set.confirmed));
    full_read_interval_.With({set.set}).Set(Seconds(set.full_read_interval));
  }
}

void Probe::SnapshotAge(const engine::Pipeline& pipeline, std::chrono::nanoseconds age) const {
  for (const auto& table : pipeline.tables()) snapshot_age_.With({table->set()}).Set(Seconds(age));
}

void Probe::Keyring(const privacy::Keyring& keyring) const {
  for (const privacy::KeyringDomain& domain : keyring.domains()) {
    epoch_.With({domain.name}).Set(domain.newest());
    int64_t begun_ms = domain.newest_begun_unix_ms();
    if (begun_ms != 0) epoch_begun_.With({domain.name}).Set(static_cast<double>(begun_ms) / 1000);
  }
}

void Probe::ForgetLag() const {
  for (const auto& family :
       {lag_records_, lag_stable_, blocked_, group_lag_, lag_seconds_, committed_offset_})
    family.RemoveAll();
}

void Probe::Lag(const kafka::SourceSnapshot& source, std::span<const CommittedOffset> committed,
                int64_t now_ms) const {
  for (const kafka::PartitionSnapshot& partition : source.partitions) {
    std::string number = std::to_string(partition.partition);
    if (partition.lag_records >= 0) {
      auto lag = static_cast<double>(partition.lag_records);
      lag_records_.With({partition.topic, number}).Set(lag);
      group_lag_.With({group_, partition.topic, number}).Set(lag);
    }
    if (partition.lag_stable_records >= 0) {
      lag_stable_.With({partition.topic, number})
          .Set(static_cast<double>(partition.lag_stable_records));
    }
    if (std::optional<double> seconds = LagSeconds(partition, now_ms))
      lag_seconds_.With({partition.topic, number}).Set(*seconds);
    if (partition.blocked_since_ms >= 0) {
      blocked_.With({partition.topic, number})
          .Set(static_cast<double>(std::max<int64_t>(now_ms - partition.blocked_since_ms, 0)) /
               1000);
    }
  }
  for (const CommittedOffset& at : committed) {
    committed_offset_.With({at.topic, std::to_string(at.partition)})
        .Set(static_cast<double>(at.offset));
  }
}

void Probe::Queues(const kafka::SourceSnapshot& source,
                   const kafka::TransactionSnapshot& transaction, size_t worker) const {
  std::string name = std::to_string(worker);
  queue_bytes_.With({name, "read_ahead"}).Set(static_cast<double>(source.read_ahead_bytes));
  queue_bytes_.With({name, "write"}).Set(static_cast<double>(transaction.queue_bytes));
}

WorkerProbe::WorkerProbe(const Probe& probe, size_t worker, std::function<void()> state_changed)
    : probe_(probe),
      worker_number_(worker),
      worker_(std::to_string(worker)),
      state_changed_(std::move(state_changed)) {}

void WorkerProbe::Committed(const stream::TransactionFacts& facts) {
  probe_.transactions_.Add();
  probe_.output_records_.Add(static_cast<double>(facts.records));
  probe_.output_bytes_.Add(static_cast<double>(facts.bytes));
  probe_.batch_bytes_.Observe(static_cast<double>(facts.bytes));
  probe_.Stage(Probe::kCommit, facts.commit);
  base::MutexLock lock(mutex_);
  for (const stream::Position& next : facts.next) {
    auto same = std::find_if(committed_.begin(), committed_.end(), [&](const auto& at) {
      return at.partition == next.partition && at.topic == next.topic;
    });
    if (same != committed_.end()) {
      same->offset = next.offset;
    } else {
      committed_.push_back({std::string(next.topic), next.partition, next.offset});
    }
  }
}

void WorkerProbe::Aborted(const stream::TransactionFacts& facts, stream::Verdict verdict,
                          std::string_view text) {
  probe_.aborts_.With({worker_, stream::VerdictName(verdict)}).Add();
  Log(telemetry::Severity::kWarning, "transaction_aborted",
      {{"worker", telemetry::SafeText(worker_)},
       {"events", facts.events},
       {"class", telemetry::SafeText(stream::VerdictName(verdict))},
       {"reason", telemetry::SafeText(text)}});
}

void WorkerProbe::Recreated(stream::RecreateCause cause, std::chrono::nanoseconds) {
  probe_.recreations_.With({stream::RecreateCauseName(cause)}).Add();
}

void WorkerProbe::RecreateFailed(std::string_view text) {
  probe_.recreation_failures_.Add();
  Log(telemetry::Severity::kWarning, "producer_epoch_failed",
      {{"worker", telemetry::SafeText(worker_)}, {"reason", telemetry::SafeText(text)}});
}

void WorkerProbe::RecordRefused(std::string_view text) {
  Log(telemetry::Severity::kWarning, "record_refused",
      {{"worker", telemetry::SafeText(worker_)}, {"reason", telemetry::SafeText(text)}});
}

void WorkerProbe::Assigned(size_t partitions) {
  Log(telemetry::Severity::kInfo, "partitions_assigned",
      {{"worker", telemetry::SafeText(worker_)}, {"partitions", static_cast<int64_t>(partitions)}});
}

void WorkerProbe::Revoked(bool) {
  base::MutexLock lock(mutex_);
  committed_.clear();
}

std::vector<CommittedOffset> WorkerProbe::committed() const {
  base::MutexLock lock(mutex_);
  return committed_;
}

void WorkerProbe::DependencyUnavailable(std::string_view text) {
  probe_.dependency_waits_.Add();
  Log(telemetry::Severity::kWarning, "dependency_unavailable",
      {{"worker", telemetry::SafeText(worker_)}, {"reason", telemetry::SafeText(text)}});
}

void WorkerProbe::StateChanged(stream::DriverState state, std::string_view text) {
  probe_.State(worker_number_, state);
  state_ = state;
  state_changed_();
  auto severity = telemetry::Severity::kInfo;
  if (state == stream::DriverState::kHalted) severity = telemetry::Severity::kError;
  if (state == stream::DriverState::kDegraded) severity = telemetry::Severity::kWarning;
  Log(severity, "worker_state",
      {{"worker", telemetry::SafeText(worker_)},
       {"state", telemetry::SafeText(stream::DriverStateName(state))},
       {"reason", telemetry::SafeText(text)}});
}

}  // namespace sluice::processor
