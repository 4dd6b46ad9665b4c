#include "services/pseudonymiser/audit_topic.h"

#include <utility>

#include "common/base/status.h"

namespace sluice::pseudonymiser {
namespace {

// Lines wait in the file, and are tried again from there.
constexpr int kDeliveryTimeoutMs = 10'000;

}  // namespace

absl::StatusOr<std::unique_ptr<AuditTopic>> AuditTopic::Create(Options options) {
  auto topic = std::unique_ptr<AuditTopic>(new AuditTopic(std::move(options)));
  SLUICE_RETURN_IF_ERROR(topic->Connect());
  return topic;
}

absl::Status AuditTopic::Connect() {
  kafka::WriterOptions writer;
  writer.connection = options_.connection;
  writer.delivery_timeout_ms = kDeliveryTimeoutMs;
  SLUICE_ASSIGN_OR_RETURN(writer_, kafka::TopicWriter::Create(std::move(writer)));
  renewal_.Done();
  return absl::OkStatus();
}

absl::Status AuditTopic::Publish(std::string_view writer, std::span<const std::string_view> lines) {
  // Every line of the one before is there, or will come again.
  if (renewal_.Due()) SLUICE_RETURN_IF_ERROR(Connect());
  absl::Status status;
  for (std::string_view line : lines)
    status.Update(writer_->Write({.topic = options_.topic, .key = writer, .value = line}));
  status.Update(writer_->Flush());
  return status;
}

}  // namespace sluice::pseudonymiser
