// A set that is a compacted topic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/reference/source.h"
#include "common/reference/topic_rows.h"

namespace sluice::reference {

// Keeps every key's last value, and reads only what is new. A topic is known by its id: one that is
// made again under its name, or has lost records that were never seen, is read from its beginning,
// and nothing of the one before is left.
//
// Refused, by name: a record without a key, and a key that has a row on two partitions: which of
// the records is the newer can't be known. A tombstone counts on its own partition only.
class TopicSource final : public Source {
 public:
  // Of all keys and values together; a larger topic is refused.
  static constexpr size_t kBytesMax = size_t{1} << 30;
  // How long one answer is waited for.
  static constexpr int kAnswerMs = 4'000;
  // How long the next record is waited for.
  static constexpr int kIdleMs = 10'000;

  TopicSource(const config::v1::CompactedTopic& config,
              std::shared_ptr<const enrichment::Schema> schema, kafka::ConnectionOptions connection,
              Store store, std::shared_ptr<const Interrupt> interrupt);
  ~TopicSource() override;

  // Of the topic's id and its partitions' ends.
  absl::StatusOr<std::string> Mark() override;
  absl::StatusOr<RowsPtr> Read() override;
  void Forget() override;
  std::chrono::milliseconds look_interval() const override {
    return std::chrono::milliseconds(config_.look_interval_ms() == 0 ? 1000
                                                                     : config_.look_interval_ms());
  }

 private:
  struct Place {
    int32_t partition = 0;
    int64_t offset = 0;
  };
  struct State {
    std::string id;
    std::vector<kafka::PartitionRange> ranges;
  };
  absl::StatusOr<State> Look();
  absl::Status Follow();
  absl::Status Take(const kafka::ReadRecord& record);
  absl::Status CheckRows() const;
  absl::Status Wrong(std::string_view what) const;
  std::string Named(const Place& place) const;

  const config::v1::CompactedTopic config_;
  const std::shared_ptr<const enrichment::Schema> schema_;
  const kafka::ConnectionOptions connection_;
  const Store store_;
  const std::shared_ptr<const Interrupt> interrupt_;
  std::unique_ptr<kafka::Admin> admin_;  // null: none yet, or none after an error
  std::string admin_id_;                 // of the topic that admin_ knows
  std::string id_;                       // of what was read
  std::map<int32_t, int64_t> next_;      // by partition, the offset that is to be read next
  TopicRows rows_;
  std::optional<Place> keyless_;  // a record without a key
};

}  // namespace sluice::reference
