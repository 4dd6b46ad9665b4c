// Owners of librdkafka's objects, so that no other header of this folder needs rdkafka.h.
#pragma once

#include <memory>

struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_queue_s;
struct rd_kafka_topic_s;
struct rd_kafka_error_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_partition_list_s;
struct rd_kafka_consumer_group_metadata_s;

namespace sluice::kafka {

struct Deleter {
  void operator()(rd_kafka_s* client) const;
  void operator()(rd_kafka_conf_s* conf) const;
  void operator()(rd_kafka_queue_s* queue) const;
  void operator()(rd_kafka_topic_s* topic) const;
  void operator()(rd_kafka_error_s* error) const;
  void operator()(rd_kafka_topic_partition_list_s* list) const;
  void operator()(rd_kafka_consumer_group_metadata_s* metadata) const;
};

using ClientPtr = std::unique_ptr<rd_kafka_s, Deleter>;
using ConfPtr = std::unique_ptr<rd_kafka_conf_s, Deleter>;
using QueuePtr = std::unique_ptr<rd_kafka_queue_s, Deleter>;
using TopicPtr = std::unique_ptr<rd_kafka_topic_s, Deleter>;
using ErrorPtr = std::unique_ptr<rd_kafka_error_s, Deleter>;
using PartitionListPtr = std::unique_ptr<rd_kafka_topic_partition_list_s, Deleter>;
using GroupMetadataPtr = std::unique_ptr<rd_kafka_consumer_group_metadata_s, Deleter>;

}  // namespace sluice::kafka
