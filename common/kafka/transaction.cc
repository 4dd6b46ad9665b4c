#include "common/kafka/transaction.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <random>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/status.h"
#include "common/stream/mutant.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using stream::Result;
using stream::Verdict;

// The batch's header (61 bytes), the record's own lengths, and the attempt header, rounded up.
constexpr int64_t kOverheadBytes = 256;
constexpr int64_t kBatchBytesMax = 1024 * 1024;
constexpr int64_t kRecordBytesLeast = 1024;
constexpr size_t kHeadersMax = 1'000;
constexpr milliseconds kInitTimeout(5'000);
constexpr milliseconds kLookUpTimeout(5'000);
// An abort while partitions are still being added to the transaction poisons the producer
// (librdkafka #4849); a healthy broker is through with them in this time.
constexpr milliseconds kFlush(200);
constexpr size_t kDyingProducersMax = 8;
constexpr milliseconds kAbortSlice(500);
constexpr milliseconds kLimitsAge(10'000);

rd_kafka_resp_err_t Rd(ErrorCode error) { return static_cast<rd_kafka_resp_err_t>(error); }

absl::Status CheckOptions(const TransactionOptions& options) {
  struct Range {
    const char* name;
    int value, low, high;
  };
  for (const Range& range : {
           Range{"transaction_timeout_ms", options.transaction_timeout_ms, 1'000, 900'000},
           Range{"linger_ms", options.linger_ms, 0, 1'000},
           Range{"batch_records", options.batch_records, 1, 1'000'000},
           Range{"write_queue_kib", options.write_queue_kib, 1'024, 1'048'576},
       }) {
    if (range.value >= range.low && range.value <= range.high) continue;
    return absl::InvalidArgumentError(base::StrCat(
        range.name, " is ", range.value, "; it must be between ", range.low, " and ", range.high));
  }
  if (options.transactional_id.empty() || options.topics.empty()) {
    return absl::InvalidArgumentError(
        "a transaction needs a transactional id and at least one topic");
  }
  return absl::OkStatus();
}

// R7.
absl::Status CheckVerification(Admin& admin) {
  SLUICE_ASSIGN_OR_RETURN(std::vector<int32_t> brokers, admin.Brokers());
  absl::Status last = absl::UnavailableError("no broker is known");
  bool seen = false;
  for (int32_t broker : brokers) {
    auto config = admin.DescribeBroker(broker);
    if (absl::IsPermissionDenied(config.status())) {
      return absl::PermissionDeniedError(
          "exactly-once needs to know the brokers' transaction.partition.verification.enable: "
          "grant "
          "DescribeConfigs on the cluster to this principal");
    }
    if (!config.ok()) {  // a broker that is down is asked by no one
      last = config.status();
      continue;
    }
    auto entry = config->find("transaction.partition.verification.enable");
    if (entry == config->end() || entry->second != "true") {
      return absl::FailedPreconditionError(
          base::StrCat("broker ", broker, ": transaction.partition.verification.enable is ",
                       entry == config->end() ? "unknown" : entry->second,
                       "; without it a late write can double or lose records: set it to true "
                       "(Kafka's default)"));
    }
    seen = true;
  }
  return seen ? absl::OkStatus() : last;
}

Verdict VerdictOf(ErrorCode error) {
  switch (StatusCodeOf(Rd(error))) {
    case absl::StatusCode::kNotFound:
      return Verdict::kHalt;
    case absl::StatusCode::kPermissionDenied:
      return Verdict::kDenied;
    default:
      return Verdict::kAbort;
  }
}

// Whether an error of a record's delivery says that the topic never takes it.
bool IsRefused(ErrorCode error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
      return true;
    default:
      return false;
  }
}

bool IsFenced(ErrorCode error) {
  return error == RD_KAFKA_RESP_ERR__FENCED || error == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
         error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

const base::Clock& SystemTime() {
  static const base::SystemClock clock;
  return clock;
}

}  // namespace

KafkaTransaction::Undertaker::~Undertaker() {
  for (std::thread& thread : threads_) thread.join();
}

void KafkaTransaction::Undertaker::Take(std::unique_ptr<ProducerClient> epoch) {
  if (epoch == nullptr) return;
  if (threads_.size() >= kDyingProducersMax) {
    threads_.front().join();
    threads_.erase(threads_.begin());
  }
  threads_.emplace_back([dying = std::move(epoch)]() mutable { dying.reset(); });
}

KafkaTransaction::KafkaTransaction(TransactionOptions options, const GroupMember& member,
                                   ClientFactory& factory, const base::Clock& clock)
    : options_(std::move(options)),
      member_(member),
      factory_(factory),
      clock_(clock),
      limits_at_(clock.Now()),
      renewal_(options_.connection) {
  std::random_device random;
  attempt_stem_ = base::StrCat(options_.transactional_id, "-", random(), "-");
}

KafkaTransaction::~KafkaTransaction() { undertaker_.Take(std::move(epoch_)); }

absl::StatusOr<std::unique_ptr<KafkaTransaction>> KafkaTransaction::Create(
    TransactionOptions options, const GroupMember& member) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Admin> admin, Admin::Create(options.connection));
  SLUICE_RETURN_IF_ERROR(CheckVerification(*admin));
  return Create(std::move(options), member, RdKafka(), SystemTime());
}

absl::StatusOr<std::unique_ptr<KafkaTransaction>> KafkaTransaction::Create(
    TransactionOptions options, const GroupMember& member, ClientFactory& factory,
    const base::Clock& clock) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options));
  SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> limits,
                          factory.MessageBytesMax(options.connection, options.topics));
  std::unique_ptr<KafkaTransaction> transaction(
      new KafkaTransaction(std::move(options), member, factory, clock));
  transaction->described_bytes_max_ = limits;
  transaction->SetLimits(std::move(limits));
  return transaction;
}

void KafkaTransaction::SetLimits(std::vector<int64_t> message_bytes_max) {
  message_bytes_max_ = std::move(message_bytes_max);
  record_bytes_max_.clear();
  for (int64_t bytes : message_bytes_max_) {
    record_bytes_max_.push_back(static_cast<size_t>(std::max<int64_t>(bytes - kOverheadBytes, 0)));
  }
}

// A topic's limit was changed, or the broker takes less than it says. Asking again settles the
// first; halving the second, so that the same record isn't tried for ever.
absl::Status KafkaTransaction::RefreshLimits() {
  SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> limits,
                          factory_.MessageBytesMax(options_.connection, options_.topics));
  if (limits_ == Limits::kTooLarge && limits == described_bytes_max_) {
    limits = message_bytes_max_;
    for (int64_t& bytes : limits) bytes = std::max(bytes / 2, kRecordBytesLeast);
  } else {
    described_bytes_max_ = limits;
  }
  SetLimits(std::move(limits));
  limits_ = Limits::kKnown;
  limits_at_ = clock_.Now();
  return absl::OkStatus();
}

absl::Status KafkaTransaction::StartEpoch() {
  auto [smallest, largest] =
      std::minmax_element(message_bytes_max_.begin(), message_bytes_max_.end());
  Settings settings = {
      {"transactional.id", options_.transactional_id},
      {"transaction.timeout.ms", std::to_string(options_.transaction_timeout_ms)},
      {"message.timeout.ms", std::to_string(options_.transaction_timeout_ms)},
      // Two attempts fit into a transaction.
      {"socket.timeout.ms", std::to_string(std::max(1'000, options_.transaction_timeout_ms / 2))},
      {"delivery.report.only.error", "true"},
      {"linger.ms", std::to_string(options_.linger_ms)},
      {"batch.num.messages", std::to_string(options_.batch_records)},
      {"batch.size", std::to_string(std::min(*smallest, kBatchBytesMax))},
      {"message.max.bytes", std::to_string(std::clamp<int64_t>(*largest, 1'000, 1'000'000'000))},
      {"queue.buffering.max.kbytes", std::to_string(options_.write_queue_kib)},
      {"queue.buffering.max.messages", "1000000"},
      {"compression.codec", options_.compression},
      // As the Java client: equal keys of two producers meet in one partition.
      {"partitioner", "murmur2_random"},
      {"statistics.interval.ms", "1000"},
  };
  SLUICE_ASSIGN_OR_RETURN(epoch_,
                          factory_.MakeProducer(options_.connection, settings, options_.topics));
  renewal_.Done();
  return absl::OkStatus();
}

Result KafkaTransaction::Recreate() { return Note(TakeEpoch(), /*passes=*/true); }

Result KafkaTransaction::TakeEpoch() {
  const bool limits_known = limits_ == Limits::kKnown;
  if (limits_ != Limits::kKnown && !SLUICE_MUTANT("limits_remembered")) {
    absl::Status refreshed = RefreshLimits();
    if (!refreshed.ok()) return {Verdict::kRetry, std::string(base::View(refreshed.message()))};
    initialised_ |= epoch_ != nullptr;  // a client keeps the limits that it was made with
  }
  // One that has begun nothing has left nothing: it is as good as a new one.
  const bool due = renewal_.Due();
  if (epoch_ != nullptr && initialised_ && !used_ && !due && !epoch_->tainted() &&
      epoch_->FatalError() == 0 && limits_known)
    return {};
  // One that waits for its initialisation is asked again, not replaced.
  if (epoch_ == nullptr || (initialised_ && !SLUICE_MUTANT("dead_producer")) || due) {
    undertaker_.Take(std::move(epoch_));
    initialised_ = used_ = false;
    absl::Status started = StartEpoch();
    // The options were good once, so it is a file that is being renewed.
    if (!started.ok()) return {Verdict::kRetry, std::string(base::View(started.message()))};
  }
  Result result = Classified(epoch_->InitTransactions(kInitTimeout), "init_transactions");
  if (result.verdict == Verdict::kRetry) {
    epoch_->Poll(milliseconds(0));
    if (std::string refusal = epoch_->Refusal(); !refusal.empty())
      base::StrAppend(result.text, ": ", refusal);
    return result;
  }
  if (result.ok()) {
    initialised_ = true;
    result = LookUpTopics();
  }
  if (!result.ok()) undertaker_.Take(std::move(epoch_));
  return result;
}

// Without this the first record of a new producer waits a second for its topic's metadata.
Result KafkaTransaction::LookUpTopics() {
  for (size_t topic = 0; topic < options_.topics.size(); ++topic) {
    ErrorCode error = epoch_->LookUp(topic, kLookUpTimeout);
    Verdict verdict = VerdictOf(error);
    if (verdict == Verdict::kAbort) continue;  // slower, not wrong
    if (verdict == Verdict::kDenied)
      return Denied(Access::kLookUpOutput, options_.topics[topic], rd_kafka_err2str(Rd(error)));
    return {verdict, base::StrCat("output topic ", options_.topics[topic], ": ",
                                  rd_kafka_err2str(Rd(error)))};
  }
  return {};
}

Result KafkaTransaction::Note(Result result, bool passes) {
  if (result.ok() && passes) failure_.Passed(clock_.Now());
  if (result.verdict == Verdict::kDenied && denied_) {
    if (options_.connection.log) options_.connection.log(3, "DENIED", result.text);
    failure_.Met(*std::exchange(denied_, std::nullopt), clock_.Now());
  } else if (!result.ok() && epoch_ != nullptr) {
    if (std::optional<BrokerFailure> failure = epoch_->failure())
      failure_.Met(*std::move(failure), clock_.Now());
  }
  denied_.reset();
  return result;
}

Result KafkaTransaction::Denied(Access access, std::string_view resource, std::string_view text) {
  denied_ = PermissionFailure(access, resource);
  return {Verdict::kDenied, base::StrCat(denied_->text, " (", text, ")")};
}

Result KafkaTransaction::Denied(ErrorCode error, std::string_view text) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return Denied(Access::kTakeTransactionalId, options_.transactional_id, text);
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return Denied(Access::kCommitOffsets, options_.group, text);
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return Denied(Access::kWriteIdempotently, "", text);
    default:
      break;
  }
  // The error of a transaction names no topic, and its records' says that they were purged.
  std::vector<std::string> topics = factory_.NotWritable(options_.connection, options_.topics);
  if (topics.empty()) topics = options_.topics;
  std::string names;
  for (const std::string& topic : topics) base::StrAppend(names, names.empty() ? "" : ", ", topic);
  return Denied(Access::kWriteOutput, names, text);
}

Result KafkaTransaction::Classify(const CallError& error, std::string_view call) {
  return Note(Classified(error, call), /*passes=*/false);
}

Result KafkaTransaction::Classified(const CallError& error, std::string_view call) {
  if (error.ok()) return {};
  std::string text = base::StrCat(call, ": ", error.text);
  if (error.fatal) {
    ErrorCode cause = epoch_->FatalError();
    Verdict verdict =
        IsFenced(error.code) || IsFenced(cause) ? Verdict::kFenced : Verdict::kRecreate;
    if (VerdictOf(cause) == Verdict::kDenied) return Denied(cause, text);
    if (Verdict of_cause = VerdictOf(cause); of_cause != Verdict::kAbort) verdict = of_cause;
    return {verdict, std::move(text)};
  }
  if (error.requires_abort) {
    if (error.code == RD_KAFKA_RESP_ERR__STATE) {
      CallError why = epoch_->Why();
      if (!why.ok() && why.code != error.code) return Classified(why, call);
    }
    Result delivery = FromDelivery(text);
    if (!delivery.ok() && delivery.verdict != Verdict::kAbort) return delivery;
    if (!delivery.ok()) text = std::move(delivery.text);
    if (VerdictOf(error.code) == Verdict::kDenied) return Denied(error.code, text);
    return {VerdictOf(error.code), std::move(text)};
  }
  if (error.retriable) return {Verdict::kRetry, std::move(text)};
  if (VerdictOf(error.code) == Verdict::kDenied) return Denied(error.code, text);
  return {Verdict::kRecreate, std::move(text)};
}

Result KafkaTransaction::FromDelivery(std::string text) {
  epoch_->Poll(milliseconds(0));
  DeliveryError delivery = epoch_->delivery_error();
  // Purged: it follows from what made the transaction fail, and says nothing of it.
  if (delivery.code == 0 || delivery.code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
      delivery.code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
    return {};
  base::StrAppend(text, text.empty() ? "" : "; ", "the first failed record, of topic ",
                  options_.topics[delivery.topic], ": ", rd_kafka_err2str(Rd(delivery.code)));
  if (VerdictOf(delivery.code) == Verdict::kDenied)
    return Denied(Access::kWriteOutput, options_.topics[delivery.topic], text);
  if (delivery.code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) limits_ = Limits::kTooLarge;
  if (IsRefused(delivery.code)) return {Verdict::kRefused, std::move(text), delivery.topic};
  return {VerdictOf(delivery.code), std::move(text)};
}

// A client in whose transaction a delivery has failed refuses further records without saying why.
Result KafkaTransaction::Cause() {
  if (epoch_ == nullptr) return {};
  Result delivery = FromDelivery("");
  if (!delivery.ok() && delivery.verdict != Verdict::kAbort)
    return Note(std::move(delivery), /*passes=*/false);
  CallError why = epoch_->Why();
  return why.ok() ? Note(std::move(delivery), /*passes=*/false) : Classify(why, "produce");
}

Result KafkaTransaction::Begin() {
  if (epoch_ == nullptr) return {Verdict::kRecreate, "no producer"};
  epoch_->Poll(milliseconds(0));
  used_ = true;
  if (!SLUICE_MUTANT("stale_generation")) group_metadata_.reset();
  if (options_.attempt_header) attempt_ = base::StrCat(attempt_stem_, ++attempts_);
  return Classify(epoch_->Begin(), "begin_transaction");
}

absl::Status KafkaTransaction::Produce(const stream::OutputRecord& record) {
  if (stream::RecordBytes(record) > record_bytes_max_[record.topic]) [[unlikely]] {
    // Before the next epoch, that is also after a person has raised the limit and resumed.
    if (limits_ == Limits::kKnown) limits_ = Limits::kAskAgain;
    // A limit that was heard of long ago may be another by now: that is found out first.
    auto code = clock_.Now() - limits_at_ > kLimitsAge ? absl::StatusCode::kResourceExhausted
                                                       : absl::StatusCode::kInvalidArgument;
    return absl::Status(
        code,
        base::StrCat("a record of ", stream::RecordBytes(record), " bytes is larger than topic ",
                     options_.topics[record.topic], " takes (", record_bytes_max_[record.topic],
                     "): raise its max.message.bytes, then resume"));
  }
  if (record.headers.size() > kHeadersMax) [[unlikely]] {
    return absl::InvalidArgumentError(
        base::StrCat("a record has more than ", kHeadersMax, " headers"));
  }
  stream::Header attempt;
  if (options_.attempt_header) attempt = {"sluice-attempt", attempt_};
  ErrorCode error = epoch_->Produce(record, attempt);
  if (error == 0) [[likely]]
    return absl::OkStatus();
  auto until = clock_.Now() + milliseconds(options_.transaction_timeout_ms);
  while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL && clock_.Now() < until) {
    // Serves delivery failures; the room itself is made by the client's own threads.
    epoch_->Poll(milliseconds(1));
    error = epoch_->Produce(record, attempt);
  }
  if (error == 0) return absl::OkStatus();
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
    // Within the limit that Output gave, so not the Transform's fault.
    limits_ = Limits::kTooLarge;
    return absl::ResourceExhaustedError("the client refuses a record as too large");
  }
  return ToStatus(Rd(error), base::StrCat("produce to ", options_.topics[record.topic]));
}

Result KafkaTransaction::SendOffsets(std::span<const stream::Position> next) {
  if (group_metadata_ == nullptr) group_metadata_ = member_.group_metadata();
  if (group_metadata_ == nullptr) return {Verdict::kAbort, "this worker is no member of the group"};
  if (SLUICE_MUTANT("one_partition")) next = next.first(1);
  return Classify(epoch_->SendOffsets(next, *group_metadata_, options_.position_metadata),
                  "send_offsets_to_transaction");
}

Result KafkaTransaction::Commit() {
  queue_records_ = epoch_->queue_records();
  CallError error = epoch_->Commit();
  queue_records_ = epoch_->queue_records();
  queue_bytes_ = epoch_->queue_bytes();
  return Note(Classified(error, "commit_transaction"), /*passes=*/true);
}

Result KafkaTransaction::Abort() {
  if (epoch_ == nullptr) return {Verdict::kRecreate, "no producer"};
  epoch_->Flush(kFlush);
  // Also finds out why, where the driver's own reason is a full queue or the like.
  if (epoch_->delivery_error().code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
    limits_ = Limits::kTooLarge;
  // A broker that turns this epoch's certificate or password away lets it wait for ever: so renewed
  // ones are looked for meanwhile.
  CallError error;
  do {
    error = epoch_->Abort(renewal_.watches() ? std::optional(kAbortSlice) : std::nullopt);
    if (renewal_.Due()) return {Verdict::kRecreate, "certificates or passwords were renewed"};
  } while (error.code == RD_KAFKA_RESP_ERR__TIMED_OUT);
  return Classify(error, "abort_transaction");
}

bool KafkaTransaction::tainted() const {
  return epoch_ != nullptr && (epoch_->tainted() || renewal_.Due());
}

TransactionSnapshot KafkaTransaction::snapshot() const { return {queue_records_, queue_bytes_}; }

}  // namespace sluice::kafka
