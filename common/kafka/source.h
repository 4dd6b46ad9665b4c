// stream::Source over a Kafka consumer: a member of a group, read_committed, that commits nothing
// by itself.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/kafka/client.h"
#include "common/kafka/connection.h"
#include "common/kafka/denials.h"
#include "common/stream/source.h"

namespace sluice::kafka {

// What a transaction needs of the consumer whose positions it commits.
class GroupMember {
 public:
  virtual ~GroupMember() = default;
  // Identity and generation as of now; the broker refuses a commit under an older generation. Null:
  // there is none.
  virtual std::unique_ptr<GroupMetadata> group_metadata() const = 0;
};

// What a group has committed of a partition. The views are valid during the call.
struct CommittedPosition {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = -1;        // of the next record; -1: nothing is committed
  std::string_view metadata;  // what was committed with it
};

// Whether a member may read on from these positions. nullopt: not known yet, it is asked again
// soon. An error halts the worker, and is asked about again at the next Rewind. Called on the
// worker's thread; must not block.
using PositionCheck =
    std::function<std::optional<absl::Status>(std::span<const CommittedPosition>)>;

struct SourceOptions {
  ConnectionOptions connection;
  std::string group;
  // Of a static member: stable across restarts, unique among the group's live members. One that
  // comes back under its name takes its own place again, and nobody else's partitions move. Empty:
  // a dynamic member, whose place stays empty until the session timeout if it dies.
  std::string instance;
  // In Leave(), tell the group, so that others get the partitions at once. A dynamic member always
  // does.
  bool leave = false;
  std::vector<std::string> topics;
  // Asked about the committed positions at each assignment and each Rewind. Empty: all will do.
  PositionCheck check_positions;
  int session_timeout_ms =
      30'000;  // 6,000 to 1,800,000: a silent member loses its partitions after it
  int poll_interval_max_ms = 120'000;  // the same for a worker that doesn't poll
  // Memory for records read ahead of the worker; when full, fetching pauses. 1,024 to 1,048,576.
  int read_ahead_kib = 16 * 1024;
  int fetch_partition_kib = 256;  // per partition and fetch; 16 to 65,536
  int fetch_wait_max_ms = 20;     // 0 to 1,000
  // How soon partitions that are added to a topic are read. 1,000 to 300,000.
  int metadata_age_max_ms = 10'000;
  // How to wait where there is no client to wait in; a test moves its clock instead.
  std::function<void(std::chrono::milliseconds)> sleep = [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
  };
};

// -1 is "not known", everywhere.
struct PartitionSnapshot {
  std::string topic;
  int32_t partition = 0;
  int64_t next_offset = -1;         // of the next record to hand out
  int64_t lag_records = -1;         // behind the end of the log
  int64_t lag_stable_records = -1;  // behind the first open transaction, or the end
  // Since when a transaction that somebody left open on the topic has kept this worker from going
  // on, and where it begins; -1: none does.
  int64_t blocked_since_ms = -1;
  int64_t blocked_offset = -1;
  int64_t last_timestamp_ms = -1;  // of the last record handed out since the assignment
  int64_t caught_up_ms = -1;       // when none was last seen to wait since the assignment
  int64_t seen_ms = -1;            // of the first snapshot since the assignment
};

struct SourceSnapshot {
  std::vector<PartitionSnapshot> partitions;  // assigned ones
  int64_t read_ahead_bytes = 0;
  // What keeps the member from the brokers; nullopt: nothing that it knows of.
  std::optional<BrokerFailure> failure;
};

// Life: Create, Start, Poll..., Leave. All on one thread but snapshot() and topic_id(), which are
// for any.
//
// Its states, and what enters and leaves each, are in docs/state-machines.md.
//
// Rebalances are queued by the client's callback, which assigns nothing: until the driver
// acknowledges, the group waits and the partitions stay this member's. librdkafka pauses the
// assignment before that callback, so whatever it hands out afterwards was read under the
// assignment that the driver knows.
//
// A topic is known by its id: one that is deleted, or another of the same name, is Unreadable.
// After that was told, a Rewind accepts the new topic if the group's offsets have been set anew:
// where `check_positions` is given, it judges that, else they must differ from the old ones.
class KafkaSource final : public stream::Source, public GroupMember, private RebalanceListener {
 public:
  // In the order of State's alternatives; docs/state-machines.md has a row for each.
  static constexpr std::array<std::string_view, 6> kStateNames = {
      "no_client", "unassigned", "positioning", "reading", "retiring", "left"};

  // `factory` and `clock` outlive the source.
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Create(SourceOptions options);
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Create(SourceOptions options,
                                                             ClientFactory& factory,
                                                             const base::Clock& clock);
  ~KafkaSource() override;

  // kNotFound names input topics that don't exist.
  absl::Status Start() override;
  stream::SourceEvent Poll(size_t records_max, std::chrono::milliseconds wait) override;
  void Acknowledge() override;
  void Rewind() override;
  absl::StatusOr<std::vector<stream::Position>> Committed(
      std::span<const stream::Position> of) override;
  bool Owns(std::string_view topic, int32_t partition) const override;
  void Leave() override;
  std::string Trouble() const override;

  std::unique_ptr<GroupMetadata> group_metadata() const override;
  // At most two seconds old; what the brokers haven't said for half a minute is not known.
  SourceSnapshot snapshot() const;
  // What keeps it from the brokers or from what it asks them for; nullopt: nothing that it knows
  // of.
  std::optional<BrokerFailure> failure() const;
  // Of an input topic, as the brokers gave it; empty: not known yet. Thread-safe.
  std::string topic_id(std::string_view topic) const;

 private:
  using Time = std::chrono::steady_clock::time_point;

  // What the source is in, with all that holds only while it is.
  struct NoClient {  // none could be made
    Time retry_at;
    std::string reason;
  };
  struct Unassigned {};  // joins the group, or is to have no partition
  struct Positioning {   // where to read on is being asked for
    PartitionOffsets partitions;
    Time since;
    Time retry_at;
    std::string reason;
  };
  struct Reading {
    PartitionOffsets partitions;  // and where reading began
    Time since;
  };
  struct Retiring {};  // the client is replaced once its revocation is acknowledged
  struct Left {};
  using State = std::variant<NoClient, Unassigned, Positioning, Reading, Retiring, Left>;
  static_assert(std::variant_size_v<State> == kStateNames.size());

  struct Progress {
    LogOffsets log;
    Time heard{};
    int64_t timestamp_ms = -1;
    int64_t caught_up_ms = -1;
    int64_t seen_ms = -1;
    int64_t blocked_since_ms = -1;
    int64_t blocked_offset = -1;
  };
  struct Topic {
    std::string id;  // of the one that is read
    std::optional<Time> missing_since;
    std::string other;                 // id of another that has taken its place
    bool told = false;                 // so
    std::map<int32_t, int64_t> stale;  // what the group had committed then, for the old one
  };

  KafkaSource(SourceOptions options, ClientFactory& factory, const base::Clock& clock);

  void OnAssign(PartitionOffsets partitions) override;
  void OnRevoke(bool lost) override;

  absl::Status Connect();
  absl::Status Join();
  void Reconnect();
  void CheckFatal();
  void Renew();
  void TryPosition(Positioning& at);
  bool MayBegin(Positioning& at, const PartitionOffsets& committed);
  void Watch();
  void CheckTopics(const std::vector<TopicIdentity>& topics);
  void SetFlow(bool flow);
  void Fetch(size_t count_max, std::chrono::milliseconds wait);
  stream::SourceEvent TakeFault();
  // Whether what is committed is good for the topics that are there.
  absl::Status Accept(const PartitionOffsets& committed);
  void Refuse(Positioning& at, absl::Status why);
  // kPermissionDenied, remembered, of the error `text`.
  absl::Status Denied(Access access, std::string_view resource, std::string_view text);
  // An error in a record's place: where reading in sequence ends, fault_ says why.
  void Check(const Message& message);
  stream::Records View();
  void Trim();
  void Drop();
  void Free(size_t count);
  std::string_view Intern(std::string_view topic);
  Progress& ProgressOf(std::string_view topic, int32_t partition);
  const PartitionOffsets* partitions() const;
  void TakeSnapshot();
  void Log(int severity, std::string_view facility, std::string_view text);

  const SourceOptions options_;
  ClientFactory& factory_;
  const base::Clock& clock_;

  // The driver's thread, which also runs the callbacks.
  std::unique_ptr<ConsumerClient> client_;  // null in NoClient alone
  State state_ = Unassigned{};
  bool flowing_ = true;  // of the client's partitions: they aren't paused
  std::deque<stream::SourceEvent> events_;
  std::optional<Time> died_at_;
  std::vector<Message> messages_;  // [0, handed_out_) are the driver's, the others come next
  size_t handed_out_ = 0;
  std::optional<stream::SourceEvent> fault_;  // after the messages
  LastFailure denied_;                        // thread-safe
  std::vector<stream::InputRecord> records_;
  std::vector<stream::Header> headers_;  // of records_
  std::vector<size_t> header_ends_;      // in headers_, by record
  std::vector<stream::Position> next_;
  std::map<std::pair<std::string_view, int32_t>, Progress> progress_;
  std::set<std::string, std::less<>> topic_names_;
  std::pair<const char*, std::string_view> last_topic_;  // the client's view, and ours
  Time heard_;
  Time ask_at_{};
  std::optional<Time> identified_at_;  // when the brokers last said which topics there are
  Time snapshot_at_{};
  std::string logged_;
  std::string unheard_;  // which partition's log nothing is known of, as of the last snapshot
  Renewal renewal_;

  mutable base::Mutex mutex_;
  SourceSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Topic, std::less<>> topics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice::kafka
