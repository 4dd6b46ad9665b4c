// Where a pipeline is, recorded beside its results: a group whose offsets expired, were deleted or
// were set by somebody is noticed, and so is a group that two pipelines share.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
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
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/kafka/admin.h"
#include "common/kafka/source.h"
#include "common/stream/transform.h"
#include "services/processor/key_identities.h"
#include "sluice/config/v1/processor.pb.h"
#include "sluice/positions/v1/position.pb.h"

namespace sluice::processor {

// What the group's offsets, the recorded positions and the metrics know a pipeline by: its
// `name`, or else its quarantine topic's.
std::string PipelineName(const config::v1::Pipeline& pipeline);
// The compacted topic beside the quarantine.
std::string PositionsTopic(const config::v1::Pipeline& pipeline);
// Whether a configured `name` may stand in keys.
bool IsPipelineName(std::string_view name);

struct PositionKey {
  std::string topic_id;
  int32_t partition = 0;
  auto operator<=>(const PositionKey&) const = default;
};
std::string PositionKeyText(std::string_view pipeline, std::string_view topic_id,
                            int32_t partition);
// What says RecordedPositions::Begun: as if a version had begun where no record can be.
std::string BegunKeyText(std::string_view pipeline, std::string_view topic_id);
std::string EpochKeyText(std::string_view pipeline, std::string_view domain, uint32_t epoch);

// What the topic says of one pipeline.
class RecordedPositions {
 public:
  explicit RecordedPositions(std::string pipeline) : pipeline_(std::move(pipeline)) {}

  // A record of the topic, in its order. kDataLoss: it isn't a position.
  absl::Status Add(std::string_view key, std::optional<std::string_view> value);

  // nullptr: nothing is recorded.
  const positions::v1::Position* Find(std::string_view topic_id, int32_t partition) const;
  const std::map<PositionKey, positions::v1::Position>& all() const { return positions_; }
  // The epochs of keys whose pseudonyms are published.
  const KeyIdentities& keys() const { return keys_; }
  // By first offset, which version judged from there on.
  std::map<int64_t, std::string> Versions(std::string_view topic_id, int32_t partition) const;
  // An id under which this topic was read before, if it has been created again since; empty: none.
  std::string FormerId(std::string_view topic, std::string_view topic_id) const;
  // Whether it was once certain that every partition of the topic with this id that had been read
  // was recorded.
  bool Begun(std::string_view topic_id) const { return begun_.contains(std::string(topic_id)); }

 private:
  std::string pipeline_;
  std::map<PositionKey, positions::v1::Position> positions_;
  std::map<PositionKey, std::map<int64_t, std::string>> versions_;
  std::set<std::string> begun_;  // by topic id
  KeyIdentities keys_;
};

// Reads on in the topic, behind what is read already. Single-threaded.
class PositionReader {
 public:
  struct Options {
    kafka::ConnectionOptions connection;
    std::string topic, pipeline;
    int idle_timeout_ms = 30'000;  // for an open transaction's end
  };
  explicit PositionReader(Options options)
      : options_(std::move(options)), recorded_(options_.pipeline) {}

  // To where the topic ends now, past open transactions: whatever was written before the call is in
  // recorded(). kNotFound: there is no such topic.
  absl::Status ReadOn(kafka::Admin& admin);
  const RecordedPositions& recorded() const { return recorded_; }

 private:
  const Options options_;
  RecordedPositions recorded_;
  std::vector<int64_t> next_;  // by partition
  std::string topic_id_;
};

// Whose group, of which topic.
struct PositionSite {
  std::string pipeline, group, topic, topic_id;
};

// Whether a worker may read on from what is committed, by what is recorded (nullptr: nothing is).
// kFailedPrecondition says what doesn't agree, with both figures, and what to do. OK also where
// neither is known, and where offsets without metadata are taken over from before positions were
// recorded.
absl::Status ComparePosition(const PositionSite& site, const kafka::CommittedPosition& committed,
                             const positions::v1::Position* recorded);

// The partitions that nobody can say of how far they were read: neither recorded nor committed.
// `committed` and `ends`, of the log, are by partition; -1: nothing is committed. A partition that
// never held a record was read by nobody, if anything is known of others. None where `recorded`
// says Begun, or has another topic of the same name, which was created again since: what has no
// record then was never read, such as a partition that was added.
std::vector<int32_t> UnknownPartitions(const PositionSite& site, const RecordedPositions& recorded,
                                       std::span<const int64_t> committed,
                                       std::span<const int64_t> ends);
// `partition 3`, `partitions 0, 2, 5`; not all of very many.
std::string PartitionsText(std::span<const int32_t> partitions);

// Of one worker: writes where it is into its transactions. Single-threaded, like the worker.
class PositionRecorder {
 public:
  // `topic`: the index of the positions topic among the transaction's.
  PositionRecorder(PositionSite site, size_t topic) : site_(std::move(site)), topic_(topic) {}

  // Partitions of the topic with this id were given to the worker, from these positions on, after
  // what is recorded of them.
  void Begin(std::span<const kafka::CommittedPosition> from, const RecordedPositions& recorded,
             std::string topic_id);
  // After a transaction whose end may not be known: whether the worker's own transactions have left
  // these positions. If so it goes on from them.
  bool Resume(std::span<const kafka::CommittedPosition> positions);
  // In the open transaction: `version` judged what lies before `next`, with these keys (null: they
  // aren't known here).
  absl::Status Write(std::span<const stream::Position> next, std::string_view version,
                     const std::shared_ptr<const HeldKeys>& keys, stream::Output& output);
  void Committed();

  // Where a person wants to read on in the topic with this id, and who and why.
  struct Set {
    std::string topic_id, set_by, reason;
    std::vector<std::pair<int32_t, int64_t>> offsets;  // by partition
  };
  // Likewise in a transaction of its own.
  absl::Status Write(const Set& set, stream::Output& output);

 private:
  friend class PositionGuard;
  struct At {
    int32_t partition = 0;
    int64_t next = -1, written = -1;       // committed; of the open or the last transaction
    std::string version, written_version;  // likewise
  };
  At* Find(int32_t partition);

  PositionSite site_;  // its topic_id is of what the worker reads
  const size_t topic_;
  absl::Status WriteKeys(const std::shared_ptr<const HeldKeys>& keys, stream::Output& output);

  std::vector<At> at_;
  // Of keys, what is recorded; of the open or the last transaction, what it adds; and the keys that
  // are all recorded.
  KeyIdentities epochs_, news_;
  std::shared_ptr<const HeldKeys> keys_, written_keys_;
  std::string key_, value_;
  positions::v1::Position position_;
  // The question that PositionGuard was asked, 0: none; and the committed offsets it was asked
  // about, by partition.
  uint64_t ticket_ = 0;
  std::vector<std::pair<int32_t, int64_t>> asked_;
};

// Compares what is committed with what is recorded, for all workers of a process. Questions to the
// brokers are asked on a thread of its own: a worker that waits for an answer keeps polling.
class PositionGuard {
 public:
  struct Options {
    kafka::ConnectionOptions connection;
    PositionSite site;
    std::string positions_topic;
    std::vector<std::string> outputs;  // clean topics and quarantine
    int idle_timeout_ms = 30'000;
    // With remote keys: asks the service which it has. Waits for the answer. Empty: none is asked.
    std::function<absl::StatusOr<std::shared_ptr<const HeldKeys>>()> ask_keys;
    // The newest epoch of a domain that the service was seen to use; 0: none was.
    std::function<uint32_t(std::string_view domain)> epoch_seen;
    // How often the group's offsets are looked at for another pipeline's name.
    std::chrono::milliseconds interval{5'000};
  };
  explicit PositionGuard(Options options);
  ~PositionGuard();

  // Before the group is joined; both wait for the brokers. kFailedPrecondition: this pipeline must
  // not join, and what to do. CheckGroup asks for what is committed alone, so that what is another
  // pipeline's is left alone; CheckAtStart reads what is recorded, and is held up by transactions
  // that are open on it: this process's own are ended before.
  absl::Status CheckGroup();
  // The same by a client of the caller's, for any thread.
  absl::Status CheckGroup(kafka::Admin& admin) const { return Foreign(admin); }
  absl::Status CheckAtStart();
  void Start();
  // Asks nothing any more; what is known stays.
  void Stop();

  // Whether keys go with what is published, by what was last read of the record.
  // kFailedPrecondition as CompareKeys.
  absl::Status CheckKeys(const HeldKeys& held) const;
  // Of the raw topic that positions are recorded of now: it changes where that was deleted and
  // created again, and a person has said where to begin in the new one.
  std::string topic_id() const;

  // What the key service has; null: it hasn't said, or it doesn't go with what is published.
  std::shared_ptr<const HeldKeys> service_keys() const;

  // PositionCheck of the worker with this recorder.
  std::optional<absl::Status> Check(std::span<const kafka::CommittedPosition> positions,
                                    PositionRecorder& recorder);
  // Why no worker may go on; OK: nothing is known against it. Costs a branch as long as it is OK.
  absl::Status refusal() const;

 private:
  void Run();
  // What the brokers say now, into recorded_ and refusal_.
  absl::Status Ask(bool read);
  // Where the raw topic has another id than the one that was read: goes over to it if positions are
  // recorded of it, which only a person does. kFailedPrecondition: none are.
  absl::Status Follow(const std::string& topic_id);
  absl::Status RecordBegin() const;
  absl::Status Foreign(kafka::Admin& admin) const;
  void Refuse(absl::Status why);
  // Asks the key service where something is to be learnt. The error is a refusal: what it has
  // doesn't go with what is published.
  absl::Status AskForKeys();

  const Options options_;
  PositionReader reader_;                // of whoever asks: start-up, then the thread
  std::unique_ptr<kafka::Admin> admin_;  // likewise; null after a failure
  std::atomic<bool> refused_ = false;
  mutable base::Mutex mutex_;
  std::condition_variable changed_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const RecordedPositions> recorded_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const HeldKeys> answered_keys_ ABSL_GUARDED_BY(mutex_);
  bool keys_agree_ ABSL_GUARDED_BY(mutex_) = false;
  std::string topic_id_ ABSL_GUARDED_BY(mutex_);
  // Of whoever asks: when the key service is asked again, if it didn't answer.
  std::chrono::steady_clock::time_point keys_at_{};
  std::thread thread_;
};

}  // namespace sluice::processor
