// The processor's metrics: the only place where their names stand.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/engine/engine.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/stream/driver_probe.h"
#include "common/telemetry/metrics.h"

namespace sluice::processor {

// Of the whole process; told things per chunk or per transaction. Thread-safe.
class Probe {
 public:
  enum StageName { kRead, kPseudonymise, kWrite, kCommit, kStages };

  Probe(telemetry::Registry& registry, const engine::Pipeline& pipeline);

  void Stage(StageName stage, std::chrono::nanoseconds took) const;
  // What a committed transaction has done with events. Times in milliseconds since the epoch.
  void Events(const engine::Tally& tally, std::span<const int64_t> timestamps_ms,
              int64_t now_ms) const;
  // For the collection of gauges.
  void Lag(const kafka::SourceSnapshot& source, const kafka::TransactionSnapshot& transaction,
           size_t worker, int64_t now_ms) const;

 private:
  friend class WorkerProbe;

  const engine::Pipeline& pipeline_;
  std::string contract_;
  telemetry::Counter clean_, quarantined_, suppressed_, unknown_fields_, in_;
  telemetry::Family<telemetry::Counter> violations_, repairs_, aborts_, recreations_;
  telemetry::Counter transactions_, recreation_failures_, output_records_, output_bytes_,
      dependency_waits_;
  telemetry::Family<telemetry::Gauge> lag_records_, lag_seconds_, queue_bytes_, state_;
  telemetry::Histogram stages_[kStages];
  telemetry::Histogram latency_, batch_bytes_;
};

// Of one worker.
class WorkerProbe final : public stream::DriverProbe {
 public:
  WorkerProbe(const Probe& probe, size_t worker);
  void Committed(const stream::TransactionFacts& facts) override;
  void Aborted(const stream::TransactionFacts& facts, std::string_view text) override;
  void Recreated(stream::RecreateCause cause, std::chrono::nanoseconds took) override;
  void RecreateFailed(std::string_view text) override;
  void Assigned(size_t partitions) override;
  void DependencyUnavailable(std::string_view text) override;
  void StateChanged(stream::DriverState state, std::string_view text) override;

 private:
  const Probe& probe_;
  const std::string worker_;
  stream::DriverState state_ = stream::DriverState::kStarting;
};

}  // namespace sluice::processor
