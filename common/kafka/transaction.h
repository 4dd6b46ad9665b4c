// stream::Transaction over a Kafka producer: one idempotent producer per epoch, replaced as a
// whole.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/kafka/client.h"
#include "common/kafka/connection.h"
#include "common/kafka/denials.h"
#include "common/kafka/source.h"
#include "common/stream/transaction.h"

namespace sluice::kafka {

struct TransactionOptions {
  ConnectionOptions connection;
  // Stable across restarts, unique among live producers: it is how a restart ends what it left
  // open.
  std::string transactional_id;
  // OutputRecord::topic is an index into these. They must exist.
  std::vector<std::string> topics;
  int transaction_timeout_ms =
      12'000;                  // 1,000 to 900,000; the broker aborts what is open for longer
  int linger_ms = 5;           // 0 to 1,000
  int batch_records = 10'000;  // 1 to 1,000,000
  // Memory for records on their way; when full, Produce waits. 1,024 to 1,048,576.
  int write_queue_kib = 32 * 1024;
  std::string compression = "lz4";
  // For audits of tests: every record carries header `sluice-attempt`, unique to its transaction.
  bool attempt_header = false;
  // Whose offsets are committed, for errors.
  std::string group;
  // Committed with every position: whose it is. Empty: nothing.
  std::string position_metadata;
};

struct TransactionSnapshot {
  int64_t queue_records = 0;
  int64_t queue_bytes = 0;
};

// The calls behind rules R1 to R8; when to make them is the driver's part. Create() asks the
// brokers for what the promise rests on and what the topics take. All on one thread but snapshot()
// and failure().
class KafkaTransaction final : public stream::Transaction {
 public:
  // kFailedPrecondition: a broker has transaction.partition.verification.enable=false, without
  // which a late write of an old epoch is accepted. kNotFound: output topics are missing. `member`
  // must outlive the transaction.
  static absl::StatusOr<std::unique_ptr<KafkaTransaction>> Create(TransactionOptions options,
                                                                  const GroupMember& member);
  // With clients of `factory`, whose brokers aren't asked for rule R7.
  static absl::StatusOr<std::unique_ptr<KafkaTransaction>> Create(TransactionOptions options,
                                                                  const GroupMember& member,
                                                                  ClientFactory& factory,
                                                                  const base::Clock& clock);
  ~KafkaTransaction() override;

  stream::Result Begin() override;
  absl::Status Produce(const stream::OutputRecord& record) override;
  size_t record_bytes_max(size_t topic) const override { return record_bytes_max_[topic]; }
  stream::Result SendOffsets(std::span<const stream::Position> next) override;
  stream::Result Commit() override;
  stream::Result Cause() override;
  stream::Result Abort() override;
  stream::Result Recreate() override;
  bool tainted() const override;

  TransactionSnapshot snapshot() const;
  // What keeps this producer from what it asks for; nullopt: nothing that it knows of. Thread-safe.
  std::optional<BrokerFailure> failure() const { return failure_.get(); }
  // Value of the attempt header of the records produced since the last Begin().
  const std::string& attempt() const { return attempt_; }

 private:
  // Destroys producers in the background: it can take a second. Joins what is left at its end.
  class Undertaker {
   public:
    ~Undertaker();
    // Waits for the oldest when there are many.
    void Take(std::unique_ptr<ProducerClient> epoch);

   private:
    std::vector<std::thread> threads_;
  };
  // What is to be found out about the topics' limits before the next epoch.
  enum class Limits {
    kKnown,
    kAskAgain,  // a record is larger than a topic takes; it may take more by now
    kTooLarge,  // a broker took less than it said
  };

  KafkaTransaction(TransactionOptions options, const GroupMember& member, ClientFactory& factory,
                   const base::Clock& clock);
  void SetLimits(std::vector<int64_t> message_bytes_max);
  absl::Status RefreshLimits();
  absl::Status StartEpoch();
  stream::Result TakeEpoch();
  stream::Result Classify(const CallError& error, std::string_view call);
  stream::Result Classified(const CallError& error, std::string_view call);
  // Remembers why a call failed, or that what failed before doesn't any more.
  stream::Result Note(stream::Result result, bool passes);
  // Of an error that says that a permission is missing: which, on what. Asks the brokers where the
  // error names no topic.
  stream::Result Denied(ErrorCode error, std::string_view text);
  stream::Result Denied(Access access, std::string_view resource, std::string_view text);
  stream::Result LookUpTopics();
  // What the first record that couldn't be delivered means; kOk: there is none. Adds to `text`.
  stream::Result FromDelivery(std::string text);

  const TransactionOptions options_;
  const GroupMember& member_;
  ClientFactory& factory_;
  const base::Clock& clock_;
  std::vector<int64_t> described_bytes_max_;  // max.message.bytes of each topic, as the broker says
  std::vector<int64_t> message_bytes_max_;    // of each topic, as found true
  std::vector<size_t> record_bytes_max_;
  Limits limits_ = Limits::kKnown;
  LastFailure failure_;
  // Of the error that the call at hand ended with, if a permission is missing.
  std::optional<BrokerFailure> denied_;
  std::chrono::steady_clock::time_point limits_at_;  // when the brokers were last asked
  bool initialised_ = false;                         // epoch_ has done init_transactions
  bool used_ = false;                                // and has begun a transaction since
  std::string attempt_;                              // value of the attempt header
  std::string attempt_stem_;
  int64_t attempts_ = 0;
  std::unique_ptr<GroupMetadata> group_metadata_;  // of the open transaction: retries pass the same
  std::atomic<int64_t> queue_records_ = 0;
  std::atomic<int64_t> queue_bytes_ = 0;
  Undertaker undertaker_;
  std::unique_ptr<ProducerClient> epoch_;
  mutable Renewal renewal_;
};

}  // namespace sluice::kafka
