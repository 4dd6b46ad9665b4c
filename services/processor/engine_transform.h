// The engine as a stream's Transform: outcomes become records of the pipeline's topics.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/engine.h"
#include "common/stream/transform.h"
#include "services/processor/edition.h"
#include "services/processor/probe.h"

namespace sluice::processor {

// The topics that a pipeline writes, in the order in which records number them: its streams', then
// the quarantine's.
std::vector<std::string> OutputTopics(const config::v1::Pipeline& pipeline);
inline std::vector<std::string> OutputTopics(const engine::Pipeline& pipeline) {
  return OutputTopics(pipeline.config());
}

// Of one worker. What is counted of a transaction is told to the probe when it is committed.
//
// What it runs is taken from the slot, at the first chunk of a transaction only: no transaction
// holds the work of two editions. Where events wait for rows that are missing (`on_missing: wait`),
// it is unavailable until a newer edition has them or the wait is over, by the records' own times
// and no longer than the wait from when they were first held: no clock of a producer can stop the
// flow. Without an edition, or where the slot is blocked, it is unavailable, so that the worker
// holds its records and waits.
class EngineTransform final : public stream::Transform, private engine::OutcomeSink {
 public:
  // All outlive the transform. The topics that `config` names stay the same in every edition.
  EngineTransform(const config::v1::Pipeline& config, EditionSlot& slot, const base::Clock& clock,
                  Probe& probe)
      : quarantine_topic_(static_cast<size_t>(config.streams_size())),
        slot_(slot),
        clock_(clock),
        probe_(probe) {}

  absl::Status Process(std::span<const base::InputRecord> records, stream::Output& output) override;
  void Committed() override;
  void Discarded() override;

 private:
  // kUnavailable as long as events at hand are to wait for rows that are missing.
  absl::Status WaitForRows();
  absl::Status Clean(const base::InputRecord& record, const engine::CleanRecord& clean) override;
  absl::Status Quarantined(const base::InputRecord& record,
                           const engine::QuarantineRecord& quarantined) override;
  void Suppressed(const base::InputRecord&) override {}
  bool Fits(const engine::CleanRecord& clean) const override;
  bool Fits(const engine::QuarantineRecord& quarantined) const override;
  stream::OutputRecord ToOutput(const engine::CleanRecord& clean) const;
  stream::OutputRecord ToOutput(const engine::QuarantineRecord& quarantined) const;

  const size_t quarantine_topic_;
  EditionSlot& slot_;
  const base::Clock& clock_;
  Probe& probe_;
  std::unique_ptr<WorkerEdition> running_;
  bool open_ = false;                 // results of this edition are in the open transaction
  stream::Output* output_ = nullptr;  // of the call at hand
  // Since when events are held for rows that are missing.
  std::optional<std::chrono::steady_clock::time_point> held_since_;
  std::vector<int64_t> timestamps_ms_;  // of the open transaction's input records
};

}  // namespace sluice::processor
