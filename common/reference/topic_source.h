// A set that is a compacted topic.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "common/reference/source.h"

namespace sluice::reference {

// Keeps every key's last value, and reads only what is new. A topic that was made anew, or that has
// lost records which were never seen, is read from its beginning.
class TopicSource final : public Source {
 public:
  // Of all keys and values together; a larger topic is refused.
  static constexpr size_t kBytesMax = size_t{1} << 30;

  TopicSource(const config::v1::CompactedTopic& config,
              std::shared_ptr<const enrichment::Schema> schema, kafka::ConnectionOptions connection)
      : config_(config), schema_(std::move(schema)), connection_(std::move(connection)) {}

  // Of the partitions' ends.
  absl::StatusOr<std::string> Mark() override;
  absl::StatusOr<RowsPtr> Read() override;
  std::chrono::milliseconds look_interval() const override {
    return std::chrono::milliseconds(config_.look_interval_ms() == 0 ? 1000
                                                                     : config_.look_interval_ms());
  }

 private:
  struct Row {
    int64_t offset = 0;
    std::string value;
  };
  absl::Status Follow();

  const config::v1::CompactedTopic config_;
  const std::shared_ptr<const enrichment::Schema> schema_;
  const kafka::ConnectionOptions connection_;
  std::map<int32_t, int64_t> next_;  // by partition, the offset that is to be read next
  std::map<std::pair<int32_t, std::string>, Row> rows_;
  size_t bytes_ = 0;
};

}  // namespace sluice::reference
