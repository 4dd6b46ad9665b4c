#include "services/processor/engine_transform.h"

#include "common/base/status.h"

namespace sluice::processor {

std::vector<std::string> OutputTopics(const engine::Pipeline& pipeline) {
  std::vector<std::string> topics;
  for (const engine::StreamPlan& stream : pipeline.streams()) topics.push_back(stream.topic);
  topics.push_back(pipeline.config().quarantine().topic());
  return topics;
}

absl::Status EngineTransform::Process(std::span<const base::InputRecord> records,
                                      stream::Output& output) {
  output_ = &output;
  auto start = clock_.Now();
  engine_.Read(records);
  auto read = clock_.Now();
  SLUICE_RETURN_IF_ERROR(engine_.Pseudonymise());
  auto pseudonymised = clock_.Now();
  SLUICE_RETURN_IF_ERROR(engine_.Write(*this));
  auto written = clock_.Now();
  for (const base::InputRecord& record : records) {
    if (record.timestamp_ms >= 0) timestamps_ms_.push_back(record.timestamp_ms);
  }
  probe_.Stage(Probe::kRead, read - start);
  probe_.Stage(Probe::kPseudonymise, pseudonymised - read);
  probe_.Stage(Probe::kWrite, written - pseudonymised);
  return absl::OkStatus();
}

void EngineTransform::Committed() {
  probe_.Events(engine_.tally(), timestamps_ms_, clock_.UnixMillis());
  Discarded();
}

void EngineTransform::Discarded() {
  engine_.tally().Clear();
  timestamps_ms_.clear();
  engine_.NewBatch();
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
