// Where partitions end, asked for without waiting for the answer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/kafka/handle.h"

namespace sluice::kafka {

// For who doesn't fetch: librdkafka itself knows only the end that its last fetch saw. One request
// at a time, given up by librdkafka after `timeout_ms`. Must go before the client. Single-threaded.
class EndOffsets {
 public:
  // The client outlives it.
  EndOffsets(rd_kafka_s* client, int timeout_ms);

  // Takes the answer to the last request, if there is one, and asks again unless one is under way.
  void Refresh(const rd_kafka_topic_partition_list_s& partitions);
  // The end that was last heard of; nullopt: none.
  std::optional<int64_t> Find(std::string_view topic, int32_t partition) const;
  // What was heard is no longer to be told: fetching knows better.
  void Forget() { ends_.clear(); }

 private:
  void TakeAnswer();

  rd_kafka_s* const client_;
  const int timeout_ms_;
  QueuePtr answers_;
  bool asked_ = false;
  std::map<std::pair<std::string, int32_t>, int64_t> ends_;
};

}  // namespace sluice::kafka
