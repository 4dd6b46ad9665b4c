// The processor's metrics: the only place where their names stand.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/mutex.h"
#include "common/engine/engine.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/privacy/keyring.h"
#include "common/stream/driver_probe.h"
#include "common/telemetry/metrics.h"
#include "services/processor/reference_sets.h"
#include "services/processor/remote_pseudonymiser.h"

namespace sluice::processor {

// How old the oldest record that waits to be read is at most, in seconds; 0 where none waits: it
// came after the last one that was read, and after none waited. nullopt: not known.
std::optional<double> LagSeconds(const kafka::PartitionSnapshot& partition, int64_t now_ms);

// Since the start; committed ones only.
struct EventCounts {
  uint64_t in = 0, clean = 0, quarantined = 0, suppressed = 0;
};

struct CommittedOffset {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = -1;  // of the next record
};

// Of the whole process; told things per chunk or per transaction. Thread-safe.
class Probe final : public KeyServiceProbe {
 public:
  enum StageName { kRead, kPseudonymise, kWrite, kCommit, kStages };

  // `contract` is the event's full name, `group` the consumer group's; the same for the life of the
  // process.
  Probe(telemetry::Registry& registry, std::string contract, std::string group);

  void Stage(StageName stage, std::chrono::nanoseconds took) const;
  // What a committed transaction has done with events by this pipeline. Times in milliseconds since
  // the epoch.
  void Events(const engine::Pipeline& pipeline, const engine::Tally& tally,
              std::span<const int64_t> timestamps_ms, int64_t now_ms) const;
  // Plan and snapshots that workers run from now on; `before`, if any, those until now.
  void Running(const engine::Pipeline* before, const engine::Pipeline& now) const;
  // A worker has taken another edition: how long it stood still for it.
  void Swapped(std::chrono::nanoseconds took) const;
  // An engine has checked itself; how long what it publishes had gone unchecked.
  void SelfChecked(bool passed, std::chrono::nanoseconds unnoticed) const;
  // Pins were committed.
  void Pinned(uint64_t pins) const { pins_.Add(static_cast<double>(pins)); }
  // A chunk is held for a pin: behind, contradiction, topic or version.
  void PinWait(std::string_view reason) const { pin_waits_.With({reason}).Add(); }
  // The configuration was read again; OK: it runs.
  void Reloaded(const absl::Status& refused) const;
  // For the collection of gauges: ForgetLag, then Lag for each worker, so that a partition that
  // another replica has by now isn't told of twice.
  void ForgetLag() const;
  // `committed` is where the worker's transactions have come to since the assignment.
  void Lag(const kafka::SourceSnapshot& source, std::span<const CommittedOffset> committed,
           int64_t now_ms) const;
  void Queues(const kafka::SourceSnapshot& source, const kafka::TransactionSnapshot& transaction,
              size_t worker) const;
  void Uncommitted(size_t worker, std::chrono::nanoseconds age) const;
  void State(size_t worker, stream::DriverState state) const;
  // For how long the brokers have failed the worker, by kind; nullopt: they don't.
  void BrokerFailure(size_t worker, const std::optional<kafka::BrokerFailure>& failure,
                     std::chrono::steady_clock::time_point now) const;
  void KeyServiceCall(std::string_view code, std::chrono::nanoseconds took,
                      size_t values) const override;
  void KeyServiceAway(bool away) const { key_service_away_.Set(away ? 1 : 0); }
  // Of the reference service's sets; nullopt: there are none, or nothing was ever confirmed.
  void Unconfirmed(std::optional<std::chrono::nanoseconds> age) const;
  // Of the sets in the processor's own hands.
  void Freshness(std::span<const SetFreshness> sets) const;
  void SnapshotAge(const engine::Pipeline& pipeline, std::chrono::nanoseconds age) const;
  // Keys in this process's own hands.
  void Keyring(const privacy::Keyring& keyring) const;

  EventCounts counts() const;

 private:
  friend class WorkerProbe;

  const std::string contract_;
  const std::string group_;
  telemetry::Counter clean_, quarantined_, suppressed_, unknown_fields_, in_;
  telemetry::Family<telemetry::Counter> violations_, repairs_, scrubbed_, joins_, aborts_,
      recreations_;
  telemetry::Counter transactions_, recreation_failures_, output_records_, output_bytes_,
      dependency_waits_;
  telemetry::Family<telemetry::Gauge> lag_records_, lag_stable_, blocked_, group_lag_, lag_seconds_,
      committed_offset_, queue_bytes_, state_, uncommitted_, broker_failure_, snapshot_age_,
      snapshot_info_, confirmed_, full_read_interval_, plan_info_, epoch_, epoch_begun_;
  telemetry::Family<telemetry::Counter> reloads_;
  telemetry::Gauge reload_refused_;
  telemetry::Family<telemetry::Gauge> unconfirmed_;
  telemetry::Family<telemetry::Counter> self_checks_;
  telemetry::Gauge self_check_failed_, self_check_unnoticed_;
  telemetry::Counter pins_;
  telemetry::Family<telemetry::Counter> pin_waits_;
  telemetry::Family<telemetry::Counter> key_service_calls_;
  telemetry::Counter key_service_values_;
  telemetry::Gauge key_service_away_;
  telemetry::Histogram key_service_call_;
  telemetry::Histogram stages_[kStages];
  telemetry::Histogram latency_, batch_bytes_, swap_;
};

// Of one worker.
class WorkerProbe final : public stream::DriverProbe {
 public:
  // `state_changed` is called on the worker's thread; must not block or ask the driver.
  WorkerProbe(const Probe& probe, size_t worker, std::function<void()> state_changed);
  void Committed(const stream::TransactionFacts& facts) override;
  void Aborted(const stream::TransactionFacts& facts, stream::Verdict verdict,
               std::string_view text) override;
  void Recreated(stream::RecreateCause cause, std::chrono::nanoseconds took) override;
  void RecreateFailed(std::string_view text) override;
  void RecordRefused(std::string_view text) override;
  void Assigned(size_t partitions) override;
  void Revoked(bool lost) override;
  void DependencyUnavailable(std::string_view text) override;
  void StateChanged(stream::DriverState state, std::string_view text) override;

  // Thread-safe.
  stream::DriverState state() const { return state_; }
  std::vector<CommittedOffset> committed() const;

 private:
  const Probe& probe_;
  const size_t worker_number_;
  const std::string worker_;
  const std::function<void()> state_changed_;
  std::atomic<stream::DriverState> state_ = stream::DriverState::kStarting;
  mutable base::Mutex mutex_;
  std::vector<CommittedOffset> committed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::processor
