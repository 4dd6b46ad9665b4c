// The calls of a Kafka client that this project uses, and no more: librdkafka is behind them in
// rdkafka_client.cc, a simulated client in tests/simulation.
//
// Errors are numbers of the Kafka protocol (0 and above) or of librdkafka's own (below), as in
// rdkafka.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/kafka/connection.h"
#include "common/stream/record.h"
#include "common/stream/source.h"

namespace sluice::kafka {

using ErrorCode = int;

// Not offsets of records; the numbers are librdkafka's.
inline constexpr int64_t kOffsetBeginning = -2;
inline constexpr int64_t kOffsetEnd = -1;
inline constexpr int64_t kOffsetUnknown = -1001;

struct PartitionOffset {
  std::string topic;
  int32_t partition = 0;
  int64_t offset = kOffsetUnknown;
  ErrorCode error = 0;
  std::string metadata;  // what was committed with the offset
};
using PartitionOffsets = std::vector<PartitionOffset>;

// A record, or an error in its place. Its views and `handle` are valid until Release().
struct Message {
  stream::InputRecord record;
  int32_t leader_epoch = -1;
  ErrorCode error = 0;
  bool of_partition = false;  // whether an error concerns a partition, which record names
  void* handle = nullptr;
};

// Of a member, as of a moment: what a transaction's offsets are committed under.
class GroupMetadata {
 public:
  virtual ~GroupMetadata() = default;
};

// Of a group that its offsets are committed to by no member of it.
std::unique_ptr<GroupMetadata> MetadataOfNoMember(const std::string& group);

// Where a partition's log begins and ends; -1: not known.
struct LogOffsets {
  std::string topic;
  int32_t partition = 0;
  int64_t begin = -1;
  int64_t stable = -1;  // where the first open transaction begins, or the end
  int64_t end = -1;
};

struct TopicIdentity {
  std::string topic;
  ErrorCode error = 0;
  std::string id;  // empty: the broker gives none
};

// Called within ConsumerClient::Fetch, on the caller's thread.
class RebalanceListener {
 public:
  virtual ~RebalanceListener() = default;
  // The group waits for Assign() of these.
  virtual void OnAssign(PartitionOffsets partitions) = 0;
  // The group waits for Assign() of none. `lost`: it doesn't, the partitions are others' already.
  virtual void OnRevoke(bool lost) = 0;
};

// One member of a group. Single-threaded, but for what says otherwise. Destroyed, it has left.
class ConsumerClient {
 public:
  virtual ~ConsumerClient() = default;

  // Whether a topic is there; waits for the answer.
  virtual ErrorCode LookUp(const std::string& topic, std::chrono::milliseconds timeout) = 0;
  virtual ErrorCode Subscribe(const std::vector<std::string>& topics) = 0;
  // Non-zero once the client is of no more use; `text` says why.
  virtual ErrorCode FatalError(std::string& text) const = 0;
  // Appends at most `count` messages; waits for the first one only. Runs the listener.
  virtual void Fetch(size_t count, std::chrono::milliseconds wait,
                     std::vector<Message>& messages) = 0;
  virtual std::string TextOf(const Message& message) const = 0;
  // Appends all headers of a record, in their order; their views are valid until its Release().
  virtual void Headers(const Message& message, std::vector<stream::Header>& headers) const = 0;
  virtual void Release(std::span<const Message> messages) = 0;
  // The only partitions to read, from these offsets; what is on its way of others, or from before,
  // isn't handed out any more.
  virtual ErrorCode Assign(const PartitionOffsets& partitions) = 0;
  // Stops and starts fetching; a partition stays paused through its next assignment.
  virtual void Pause(const PartitionOffsets& partitions) = 0;
  virtual void Resume(const PartitionOffsets& partitions) = 0;
  // Fills in what the group has committed; kOffsetUnknown: nothing.
  virtual ErrorCode Committed(PartitionOffsets& partitions, std::chrono::milliseconds timeout) = 0;
  // Fills in what comes behind the last record handed out; kOffsetUnknown: none was.
  virtual void Positions(PartitionOffsets& partitions) const = 0;
  virtual std::unique_ptr<GroupMetadata> Metadata() const = 0;
  // `leave`: the group is told, also of a static member, and gives its partitions to others at
  // once. A dynamic member always tells it. Waits for a second at most for that.
  virtual void Close(bool leave) = 0;

  // Ask and go on; the answer is taken later, nullopt until it is there. One question of a kind at
  // a time; one that isn't answered is given up after some seconds and has an empty answer.
  virtual void AskLogOffsets(const PartitionOffsets& partitions) = 0;
  virtual std::optional<std::vector<LogOffsets>> TakeLogOffsets() = 0;
  virtual void AskTopics(const std::vector<std::string>& topics) = 0;
  virtual std::optional<std::vector<TopicIdentity>> TakeTopics() = 0;

  // Why a broker turns this client away, and what to do; empty: it doesn't. Thread-safe.
  virtual std::string Refusal() const = 0;
  // What keeps this client from the brokers; nullopt: nothing that it knows of. Thread-safe.
  virtual std::optional<BrokerFailure> failure() const { return std::nullopt; }
  // When a broker last answered anything; thread-safe.
  virtual std::chrono::steady_clock::time_point last_heard() const = 0;
  // Bytes read ahead; thread-safe.
  virtual int64_t read_ahead_bytes() const = 0;
};

// How a transactional call ended. The order to look in: fatal, requires_abort, retriable.
struct CallError {
  ErrorCode code = 0;
  bool fatal = false;  // the producer is of no more use
  bool requires_abort = false;
  bool retriable = false;
  std::string text;

  bool ok() const { return code == 0; }
};

struct DeliveryError {
  ErrorCode code = 0;
  size_t topic = 0;
};

// One producer epoch. Single-threaded, but for what says otherwise.
class ProducerClient {
 public:
  virtual ~ProducerClient() = default;

  virtual CallError InitTransactions(std::chrono::milliseconds timeout) = 0;
  virtual ErrorCode LookUp(size_t topic, std::chrono::milliseconds timeout) = 0;
  virtual CallError Begin() = 0;
  // Copies the record. `extra`, if its name isn't empty, is one header more.
  virtual ErrorCode Produce(const stream::OutputRecord& record, const stream::Header& extra) = 0;
  // These three return once every request of theirs has ended; Abort at `timeout`, if it is given.
  // `metadata` is committed with every position.
  virtual CallError SendOffsets(std::span<const stream::Position> next, const GroupMetadata& member,
                                std::string_view metadata) = 0;
  virtual CallError Commit() = 0;
  virtual CallError Abort(std::optional<std::chrono::milliseconds> timeout) = 0;
  virtual void Flush(std::chrono::milliseconds timeout) = 0;
  // Serves what has been delivered, or not.
  virtual void Poll(std::chrono::milliseconds wait) = 0;
  virtual ErrorCode FatalError() const = 0;
  // Why the open transaction must be aborted: a call that fails because it must says only that.
  // ok(): it needn't, or that isn't known.
  virtual CallError Why() = 0;
  // Of the first record of the transaction that couldn't be delivered; the others' follow from it.
  virtual DeliveryError delivery_error() const = 0;
  // Why a broker turns this client away, and what to do; empty: it doesn't.
  virtual std::string Refusal() const = 0;
  // What keeps this client from the brokers; nullopt: nothing that it knows of. Thread-safe.
  virtual std::optional<BrokerFailure> failure() const { return std::nullopt; }
  // Whether a request of a transaction ended without an answer.
  virtual bool tainted() const = 0;
  virtual int64_t queue_records() const = 0;
  virtual int64_t queue_bytes() const = 0;
};

// Makes clients, and asks what isn't a client's. The settings are librdkafka's properties.
class ClientFactory {
 public:
  virtual ~ClientFactory() = default;
  virtual absl::StatusOr<std::unique_ptr<ConsumerClient>> MakeConsumer(
      const ConnectionOptions& connection, const Settings& settings,
      RebalanceListener& listener) = 0;
  // Records name topics by their place in `topics`.
  virtual absl::StatusOr<std::unique_ptr<ProducerClient>> MakeProducer(
      const ConnectionOptions& connection, const Settings& settings,
      const std::vector<std::string>& topics) = 0;
  // By topic, the size of the largest batch it takes, as it is configured now. kNotFound names
  // topics that are missing.
  virtual absl::StatusOr<std::vector<int64_t>> MessageBytesMax(
      const ConnectionOptions& connection, const std::vector<std::string>& topics) = 0;
  // Of these topics, those that the brokers don't let this principal write; none where nobody
  // knows. Waits for the answer.
  virtual std::vector<std::string> NotWritable(const ConnectionOptions& /*connection*/,
                                               const std::vector<std::string>& /*topics*/) {
    return {};
  }
};

// librdkafka's.
ClientFactory& RdKafka();

}  // namespace sluice::kafka
