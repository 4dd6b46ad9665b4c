#include "services/pseudonymiser/audit_topic.h"

#include <utility>

#include "common/base/status.h"

namespace sluice::pseudonymiser {
namespace {

// Lines wait in the file, and are tried again from there.
constexpr int kDeliveryTimeoutMs = 10'000;

}  // namespace

absl::StatusOr<std::unique_ptr<AuditTopic>> AuditTopic::Create(Options options) {
  kafka::WriterOptions writer;
  writer.connection = std::move(options.connection);
  writer.delivery_timeout_ms = kDeliveryTimeoutMs;
  SLUICE_ASSIGN_OR_RETURN(auto made, kafka::TopicWriter::Create(std::move(writer)));
  return std::unique_ptr<AuditTopic>(new AuditTopic(std::move(options.topic), std::move(made)));
}

absl::Status AuditTopic::Publish(std::string_view writer, std::span<const std::string_view> lines) {
  absl::Status status;
  for (std::string_view line : lines)
    status.Update(writer_->Write({.topic = topic_, .key = writer, .value = line}));
  status.Update(writer_->Flush());
  return status;
}

}  // namespace sluice::pseudonymiser
