// The audit topic: where whoever rewrites the trail's file can't reach.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/kafka/writer.h"
#include "common/trail/publisher.h"

namespace sluice::pseudonymiser {

// A record for each line, keyed by the writer, so that a writer's lines stay in order. Certificates
// and passwords that were renewed are taken between two Publish.
class AuditTopic final : public trail::Publisher {
 public:
  struct Options {
    kafka::ConnectionOptions connection;
    std::string topic;
  };
  // Doesn't wait for the brokers.
  static absl::StatusOr<std::unique_ptr<AuditTopic>> Create(Options options);

  absl::Status Publish(std::string_view writer, std::span<const std::string_view> lines) override;

 private:
  explicit AuditTopic(Options options)
      : options_(std::move(options)), renewal_(options_.connection) {}
  absl::Status Connect();

  const Options options_;
  kafka::Renewal renewal_;
  std::unique_ptr<kafka::TopicWriter> writer_;
};

}  // namespace sluice::pseudonymiser
