#include "common/kafka/end_offsets.h"

#include <librdkafka/rdkafka.h>

namespace sluice::kafka {

EndOffsets::EndOffsets(rd_kafka_t* client, int timeout_ms)
    : client_(client), timeout_ms_(timeout_ms), answers_(rd_kafka_queue_new(client)) {}

void EndOffsets::Refresh(const rd_kafka_topic_partition_list_t& partitions) {
  TakeAnswer();
  if (asked_ || partitions.cnt == 0) return;
  PartitionListPtr list(rd_kafka_topic_partition_list_copy(&partitions));
  for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = RD_KAFKA_OFFSET_SPEC_LATEST;
  rd_kafka_AdminOptions_t* options =
      rd_kafka_AdminOptions_new(client_, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
  char text[256];
  rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms_, text, sizeof(text));
  rd_kafka_ListOffsets(client_, list.get(), options, answers_.get());
  rd_kafka_AdminOptions_destroy(options);
  asked_ = true;
}

void EndOffsets::TakeAnswer() {
  rd_kafka_event_t* event = rd_kafka_queue_poll(answers_.get(), 0);
  if (event == nullptr) return;
  asked_ = false;
  if (const rd_kafka_ListOffsets_result_t* result = rd_kafka_event_ListOffsets_result(event)) {
    size_t count = 0;
    const rd_kafka_ListOffsetsResultInfo_t** infos =
        rd_kafka_ListOffsets_result_infos(result, &count);
    for (size_t i = 0; i < count; ++i) {
      const rd_kafka_topic_partition_t& partition =
          *rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
      if (partition.err == RD_KAFKA_RESP_ERR_NO_ERROR && partition.offset >= 0)
        ends_[{partition.topic, partition.partition}] = partition.offset;
    }
  }
  rd_kafka_event_destroy(event);
}

std::optional<int64_t> EndOffsets::Find(std::string_view topic, int32_t partition) const {
  auto found = ends_.find({std::string(topic), partition});
  if (found == ends_.end()) return std::nullopt;
  return found->second;
}

}  // namespace sluice::kafka
