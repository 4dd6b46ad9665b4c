// stream::Source over a librdkafka consumer: a member of a group, read_committed, that
// commits nothing by itself.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/kafka/connection.h"
#include "common/kafka/end_offsets.h"
#include "common/stream/source.h"

namespace sluice::kafka {

// What a transaction needs of the consumer whose positions it commits.
class GroupMember {
 public:
  virtual ~GroupMember() = default;
  // Identity and generation as of now; the broker refuses a commit under an older generation.
  virtual GroupMetadataPtr group_metadata() const = 0;
};

struct SourceOptions {
  ConnectionOptions connection;
  std::string group;
  // Of a static member: stable across restarts, unique among the group's live members. Empty: a
  // dynamic member, which leaves the group in Leave().
  std::string instance;
  std::vector<std::string> topics;
  int session_timeout_ms =
      30'000;  // 6,000 to 1,800,000: a silent member loses its partitions after it
  int poll_interval_max_ms = 120'000;  // the same for a worker that doesn't poll
  // Memory for records read ahead of the worker; when full, fetching pauses. 1,024 to 1,048,576.
  int read_ahead_kib = 16 * 1024;
  int fetch_partition_kib = 256;  // per partition and fetch; 16 to 65,536
  int fetch_wait_max_ms = 20;     // 0 to 1,000
};

struct PartitionSnapshot {
  std::string topic;
  int32_t partition = 0;
  int64_t next_offset = -1;        // of the next record to hand out; -1: not known yet
  int64_t lag_records = -1;        // behind the end of the log; -1: not known yet
  int64_t last_timestamp_ms = -1;  // of the last record handed out; -1: none since the assignment
  int64_t caught_up_ms = -1;  // when none was last seen to wait; -1: never since the assignment
  int64_t seen_ms = -1;       // of the first snapshot since the assignment
};

struct SourceSnapshot {
  std::vector<PartitionSnapshot> partitions;  // assigned ones
  int64_t read_ahead_bytes = 0;
};

// Life: Create, Start, Poll..., Leave. All on one thread but snapshot(), which is for any.
//
// Rebalances are queued by librdkafka's callback, which assigns nothing: until the driver
// acknowledges, the group waits and the partitions stay this member's. librdkafka pauses the
// assignment before that callback, so whatever it hands out afterwards was read under the
// assignment that the driver knows.
class KafkaSource final : public stream::Source, public GroupMember {
 public:
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Create(SourceOptions options);
  ~KafkaSource() override;

  // kNotFound names input topics that don't exist.
  absl::Status Start() override;
  stream::SourceEvent Poll(size_t records_max, std::chrono::milliseconds wait) override;
  void Acknowledge() override;
  void Rewind() override;
  absl::StatusOr<std::vector<stream::Position>> Committed(
      std::span<const stream::Position> of) override;
  void Leave() override;

  GroupMetadataPtr group_metadata() const override;
  // At most a second old; of a partition that isn't fetched from, as old as the brokers' last
  // answer.
  SourceSnapshot snapshot() const;

 private:
  struct Callbacks;
  struct Context : ClientContext {
    KafkaSource* source = nullptr;
  };
  struct Progress {
    std::string_view topic;
    int32_t partition = 0;
    int64_t timestamp_ms = -1;
    int64_t caught_up_ms = -1;
    int64_t seen_ms = -1;
  };

  explicit KafkaSource(SourceOptions options);

  absl::Status Connect();
  absl::Status Subscribe();
  void CheckFatal();
  void Renew();
  void Replace();
  void TryPosition();
  void SetFlow(bool flow);
  void Fetch(size_t count_max, std::chrono::milliseconds wait);
  // Returns false where reading in sequence ends; fault_ says why.
  bool Check(const rd_kafka_message_s& message);
  stream::Records View();
  void Free(size_t count);
  std::string_view TopicName(const rd_kafka_topic_s* topic);
  Progress& ProgressOf(std::string_view topic, int32_t partition);
  void TakeSnapshot();
  int64_t LagOf(const PartitionSnapshot& partition) const;

  const SourceOptions options_;
  Context context_;
  ClientPtr client_;
  QueuePtr queue_;
  std::optional<EndOffsets> ends_;  // told while fetching stands still

  // The driver's thread, which also runs the callbacks.
  std::deque<stream::SourceEvent> events_;
  PartitionListPtr assignment_;
  bool assign_pending_ = false;  // the group waits for rd_kafka_assign
  bool rewind_pending_ = false;
  bool flowing_ = true;
  bool leaving_ = false;
  bool renewing_ = false;  // the client is replaced once the revocation is acknowledged
  bool dead_ = false;      // the client is of no more use; replaced once that is acknowledged
  std::optional<std::chrono::steady_clock::time_point> died_at_;
  std::chrono::steady_clock::time_point position_retry_at_{};
  std::vector<rd_kafka_message_s*>
      messages_;  // [0, handed_out_) are the driver's, the others come next
  size_t handed_out_ = 0;
  std::optional<stream::SourceEvent> fault_;  // after the messages
  std::vector<stream::InputRecord> records_;
  std::vector<stream::Position> next_;
  std::vector<Progress> progress_;
  std::set<std::string, std::less<>> topic_names_;
  const rd_kafka_topic_s* last_topic_ = nullptr;
  std::string_view last_topic_name_;
  std::chrono::steady_clock::time_point snapshot_at_{};
  Renewal renewal_;

  mutable base::Mutex mutex_;
  SourceSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::kafka
