// The engine as a stream's Transform: outcomes become records of the pipeline's topics.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/engine.h"
#include "common/stream/failpoint.h"
#include "common/stream/transform.h"
#include "services/processor/deaths.h"
#include "services/processor/defect_gate.h"
#include "services/processor/edition.h"
#include "services/processor/pins.h"
#include "services/processor/positions.h"
#include "services/processor/probe.h"
#include "services/processor/shuffle.h"

namespace sluice::processor {

// The topics that a pipeline writes, in the order in which records number them: its streams', then
// the quarantine's.
std::vector<std::string> OutputTopics(const config::v1::Pipeline& pipeline);
inline std::vector<std::string> OutputTopics(const engine::Pipeline& pipeline) {
  return OutputTopics(pipeline.config());
}

// Of one worker. What is counted of a transaction is told to the probe when it is committed.
//
// With pins, each partition's events are joined to the versions that are pinned for their offsets:
// where these differ within a chunk, it is divided, each part is read and pseudonymised by an
// engine of its own, and only then is anything handed over. Without a difference it costs a
// comparison of an event's partition and offset.
//
// What it runs is taken from the slot, at the first chunk of a transaction only: without
// pins, no transaction holds the work of two editions. Where events wait for rows that are missing
// (`on_missing: wait`), it is unavailable until a newer edition has them or the wait is over, by
// the records' own times and no longer than the wait from when they were first held: no clock of a
// producer can stop the flow. Without an edition, or where the slot is blocked, it is unavailable,
// so that the worker holds its records and waits.
class EngineTransform final : public stream::Transform, private engine::OutcomeSink {
 public:
  // All outlive the transform. The topics that `config` names stay the same in every edition.
  // `pins`, `deaths`, `guard` and `recorder` may be null. Behind the quarantine's come the topics
  // of recorded positions and of pins. Without `deaths` nothing is noted when the process dies.
  EngineTransform(const config::v1::Pipeline& config, EditionSlot& slot, const base::Clock& clock,
                  Probe& probe, std::unique_ptr<Pins> pins = nullptr, Deaths* deaths = nullptr,
                  const PositionGuard* guard = nullptr, PositionRecorder* recorder = nullptr)
      : quarantine_topic_(static_cast<size_t>(config.streams_size())),
        slot_(slot),
        clock_(clock),
        probe_(probe),
        pins_(std::move(pins)),
        deaths_(deaths),
        guard_(guard),
        recorder_(recorder) {}

  absl::Status Process(std::span<const base::InputRecord> records, stream::Output& output) override;
  absl::Status Finish(stream::Output& output) override;
  absl::Status Committing(std::span<const stream::Position> next, stream::Output& output) override;
  void Assigned() override;
  bool Refused(const stream::Position& record, size_t output) override;
  void Committed() override;
  void Discarded() override;

 private:
  // Records of a chunk that are joined to the same versions, in their order.
  struct Part {
    WorkerEdition* edition = nullptr;
    std::shared_ptr<const VersionIds> ids;  // null without pins
    std::span<const base::InputRecord> records;
    std::vector<base::InputRecord> picked;  // where the chunk is divided
  };
  // Records of one partition that follow each other in a chunk.
  struct Run {
    std::shared_ptr<const VersionIds> ids;
    std::span<const base::InputRecord> records;
  };
  // An edition beside the newest.
  struct Older {
    std::unique_ptr<WorkerEdition> edition;
    VersionIds ids;
    int idle_transactions = 0;
  };
  // A record of the chunk that the process died at before.
  struct Suspect {
    std::string topic;
    int32_t partition = 0;
    int64_t offset = 0;
    bool condemned = false;
  };
  bool Judge(std::span<const base::InputRecord> records);
  std::span<const size_t> CondemnedOf(const Part& part);
  absl::Status TakeEdition();
  absl::Status Divide(std::span<const base::InputRecord> records);
  absl::Status AddPart(std::shared_ptr<const VersionIds> ids,
                       std::span<const base::InputRecord> records);
  void Clear();
  // kDataLoss: what would be published shows more than it may, and the worker halts.
  absl::Status CheckSelf();
  // kUnavailable as long as events at hand are to wait for rows that are missing.
  absl::Status WaitForRows(const base::InputRecord& first);
  absl::Status Clean(const base::InputRecord& record, const engine::CleanRecord& clean) override;
  absl::Status Quarantined(const base::InputRecord& record,
                           const engine::QuarantineRecord& quarantined) override;
  void Suppressed(const base::InputRecord&) override {}
  bool Fits(const engine::CleanRecord& clean) const override;
  bool Fits(const engine::QuarantineRecord& quarantined) const override;
  bool Refused(const base::InputRecord& record) const override;
  stream::OutputRecord ToOutput(const engine::CleanRecord& clean) const;
  stream::OutputRecord ToOutput(const engine::QuarantineRecord& quarantined) const;

  const size_t quarantine_topic_;
  EditionSlot& slot_;
  const base::Clock& clock_;
  Probe& probe_;
  const std::unique_ptr<Pins> pins_;
  Deaths* const deaths_;
  const PositionGuard* const guard_;
  PositionRecorder* const recorder_;
  engine::Engine::AtWork at_work_ = nullptr;
  const stream::EventFault fault_;
  DefectGate defects_;
  std::vector<Suspect> suspects_;  // of the chunk at hand
  std::vector<size_t> condemned_;  // of the part at hand
  std::vector<Suspect> passed_;    // in the open transaction
  std::unique_ptr<WorkerEdition> running_;
  Pins::Newest newest_;  // what running_ joins
  std::vector<Older> older_;
  std::vector<Run> runs_;  // of the chunk at hand, as parts_
  std::vector<Part> parts_;
  std::vector<WorkerEdition*> used_;  // in the open transaction
  bool open_ = false;                 // it has results
  stream::Output* output_ = nullptr;  // of the call at hand
  Shuffle shuffle_;                   // of the open transaction: what isn't internal
  int64_t now_ms_ = 0;                // of the call at hand
  // The chunk that is held for rows that are missing, by its first record, and since when.
  struct Held {
    int32_t partition = 0;
    int64_t offset = 0;
    std::chrono::steady_clock::time_point since;
  };
  std::optional<Held> held_;
  // Records, by partition and offset, that a stream's topic never takes.
  std::deque<std::pair<int32_t, int64_t>> refused_;
  std::vector<int64_t> timestamps_ms_;  // of the open transaction's input records
};

}  // namespace sluice::processor
