#include "services/processor/engine_transform.h"

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::processor {

std::vector<std::string> OutputTopics(const config::v1::Pipeline& pipeline) {
  std::vector<std::string> topics;
  for (const config::v1::Stream& stream : pipeline.streams()) topics.push_back(stream.topic());
  topics.push_back(pipeline.quarantine().topic());
  return topics;
}

absl::Status EngineTransform::Process(std::span<const base::InputRecord> records,
                                      stream::Output& output) {
  auto start = clock_.Now();
  if (!open_) {
    if (std::optional<std::string> reason = slot_.blocked()) return absl::UnavailableError(*reason);
    if (slot_.Take(running_)) {
      auto swapped = clock_.Now();
      probe_.Swapped(swapped - start);
      start = swapped;
    }
    if (running_ == nullptr) return absl::UnavailableError("waits for its first edition");
  }
  output_ = &output;
  engine::Engine& engine = *running_->keyed.engine;
  engine.Read(records);
  if (absl::Status waited = WaitForRows(); !waited.ok()) return waited;
  auto read = clock_.Now();
  SLUICE_RETURN_IF_ERROR(engine.Pseudonymise());
  auto pseudonymised = clock_.Now();
  open_ = true;
  SLUICE_RETURN_IF_ERROR(engine.Write(*this));
  auto written = clock_.Now();
  for (const base::InputRecord& record : records) {
    if (record.timestamp_ms >= 0) timestamps_ms_.push_back(record.timestamp_ms);
  }
  probe_.Stage(Probe::kRead, read - start);
  probe_.Stage(Probe::kPseudonymise, pseudonymised - read);
  probe_.Stage(Probe::kWrite, written - pseudonymised);
  return absl::OkStatus();
}

absl::Status EngineTransform::WaitForRows() {
  const std::optional<engine::Engine::Wait>& wait = running_->keyed.engine->wait();
  if (wait && !held_since_) held_since_ = clock_.Now();
  if (!wait || clock_.UnixMillis() >= wait->until_ms ||
      clock_.Now() - *held_since_ >= std::chrono::milliseconds(wait->at_most_ms)) {
    held_since_.reset();
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      base::StrCat("waits for a row of the reference set '", wait->set, "'"));
}

void EngineTransform::Committed() {
  if (running_ != nullptr) {
    probe_.Events(running_->edition.pipeline->contract(), running_->keyed.engine->tally(),
                  timestamps_ms_, clock_.UnixMillis());
  }
  Discarded();
}

void EngineTransform::Discarded() {
  open_ = false;
  timestamps_ms_.clear();
  if (running_ == nullptr) return;
  running_->keyed.engine->tally().Clear();
  running_->keyed.engine->NewBatch();
}

absl::Status EngineTransform::Clean(const base::InputRecord&, const engine::CleanRecord& clean) {
  return output_->Produce(ToOutput(clean));
}

absl::Status EngineTransform::Quarantined(const base::InputRecord&,
                                          const engine::QuarantineRecord& quarantined) {
  return output_->Produce(ToOutput(quarantined));
}

bool EngineTransform::Fits(const engine::CleanRecord& clean) const {
  return stream::RecordBytes(ToOutput(clean)) <= output_->record_bytes_max(clean.stream);
}

bool EngineTransform::Fits(const engine::QuarantineRecord& quarantined) const {
  return stream::RecordBytes(ToOutput(quarantined)) <= output_->record_bytes_max(quarantine_topic_);
}

stream::OutputRecord EngineTransform::ToOutput(const engine::CleanRecord& clean) const {
  return {clean.stream, clean.key, clean.value, clean.headers, clean.timestamp_ms};
}

stream::OutputRecord EngineTransform::ToOutput(const engine::QuarantineRecord& quarantined) const {
  return {quarantine_topic_, quarantined.key, quarantined.value, quarantined.headers, std::nullopt};
}

}  // namespace sluice::processor
