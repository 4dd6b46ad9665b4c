// Who may do what on a KafkaBroker with security: what its administrator does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct rd_kafka_s;

namespace sluice::test_support {

// Over the broker's direct() listener, where everyone is its administrator. Single-threaded.
class KafkaAccess {
 public:
  static absl::StatusOr<std::unique_ptr<KafkaAccess>> Create(const std::string& brokers);
  ~KafkaAccess();

  enum class Resource { kTopic, kGroup, kCluster, kTransactionalIdPrefix };
  enum class Operation { kRead, kWrite, kDescribe, kDescribeConfigs };
  // `principal`: `User:alice`, or `User:CN=alice`. A cluster's name isn't looked at. When it and
  // Revoke() return, the broker judges by what has changed.
  absl::Status Grant(const std::string& principal, Resource resource, const std::string& name,
                     const std::vector<Operation>& operations);
  // Takes back all that was granted on this resource.
  absl::Status Revoke(const std::string& principal, Resource resource, const std::string& name);
  // Takes back one operation of those.
  absl::Status Revoke(const std::string& principal, Resource resource, const std::string& name,
                      Operation operation);
  // SCRAM-SHA-512, from now on; connections that are there stay.
  absl::Status SetPassword(const std::string& user, const std::string& password);

 private:
  explicit KafkaAccess(rd_kafka_s* client) : client_(client) {}

  rd_kafka_s* const client_;
};

}  // namespace sluice::test_support
