// Looks at and changes topics.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/connection.h"

namespace sluice::kafka {

struct NewTopic {
  std::string name;
  int partitions = 1;
  int replication_factor = 1;
  std::map<std::string, std::string> config;
};

// Offsets [begin, end) that a read_committed reader can see now.
struct PartitionRange {
  int32_t partition = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

// What a group has committed.
struct GroupOffset {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = 0;
  std::string metadata;
};

// Every call waits at most `timeout_ms`. kUnavailable: no broker answered; kNotFound: no such
// topic; kPermissionDenied: an ACL is missing. Single-threaded.
class Admin {
 public:
  static absl::StatusOr<std::unique_ptr<Admin>> Create(ConnectionOptions options,
                                                       int timeout_ms = 10'000);

  absl::Status CreateTopics(std::span<const NewTopic> topics);
  // Everything of the partition below `before`.
  absl::Status DeleteRecords(const std::string& topic, int32_t partition, int64_t before);
  absl::Status DeleteTopics(const std::vector<std::string>& topics);
  absl::StatusOr<std::vector<int32_t>> Brokers();
  absl::StatusOr<std::map<std::string, std::string>> DescribeTopic(const std::string& topic);
  absl::StatusOr<std::map<std::string, std::string>> DescribeBroker(int32_t broker);
  absl::Status AlterTopic(const std::string& topic, const std::string& name,
                          const std::string& value);
  // In order of partition.
  absl::StatusOr<std::vector<PartitionRange>> Ranges(const std::string& topic);
  absl::StatusOr<int> PartitionCount(const std::string& topic);
  // Another for each topic that is made, also under a name that was another's; empty: the brokers
  // are older than topics' ids (Kafka 2.8).
  absl::StatusOr<std::string> TopicId(const std::string& topic);
  // Of these topics, those that this principal may not write, as the brokers judge it now.
  absl::StatusOr<std::vector<std::string>> NotWritable(const std::vector<std::string>& topics);
  // By partition, where the log ends, also behind open transactions.
  absl::StatusOr<std::vector<int64_t>> LogEnds(const std::string& topic);
  // By partition, what the group has committed, without what a transaction holds pending; -1:
  // nothing.
  absl::StatusOr<std::vector<int64_t>> Committed(const std::string& group,
                                                 const std::string& topic);
  // Of all topics, as far as this principal may see them.
  absl::StatusOr<std::vector<GroupOffset>> GroupOffsets(const std::string& group);
  // kFailedPrecondition: the group has live members.
  absl::Status SetGroupOffsets(const std::string& group, std::span<const GroupOffset> offsets);
  // Its offsets go with it. kFailedPrecondition: it has live members.
  absl::Status DeleteGroup(const std::string& group);
  // Its live members, each as instance or client id and host; none: the group is empty or isn't
  // there.
  absl::StatusOr<std::vector<std::string>> GroupMembers(const std::string& group);

 private:
  absl::StatusOr<rd_kafka_s*> GroupClient(const std::string& group);
  Admin(ConnectionOptions options, int timeout_ms);
  absl::StatusOr<std::map<std::string, std::string>> Describe(int resource,
                                                              const std::string& name);

  const int timeout_ms_;
  ClientContext context_;
  ConnectionOptions options_;
  ClientPtr client_;
  // Without a group a client of librdkafka 2.8 crashes when a coordinator answers that it isn't the
  // one any more (rd_kafka_handle_OffsetFetch). It never joins.
  std::string group_;
  ClientPtr group_client_;
};

}  // namespace sluice::kafka
