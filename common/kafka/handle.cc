#include "common/kafka/handle.h"

#include <librdkafka/rdkafka.h>

namespace sluice::kafka {

void Deleter::operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
void Deleter::operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
void Deleter::operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
void Deleter::operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
void Deleter::operator()(rd_kafka_error_t* error) const { rd_kafka_error_destroy(error); }
void Deleter::operator()(rd_kafka_topic_partition_list_t* list) const {
  rd_kafka_topic_partition_list_destroy(list);
}
void Deleter::operator()(rd_kafka_consumer_group_metadata_t* metadata) const {
  rd_kafka_consumer_group_metadata_destroy(metadata);
}

}  // namespace sluice::kafka
