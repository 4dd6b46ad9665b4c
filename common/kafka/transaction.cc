#include "common/kafka/transaction.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>

#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/status.h"
#include "common/stream/failpoint.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using stream::Result;
using stream::Verdict;

// Kafka's protocol numbers.
constexpr int16_t kAddPartitionsToTxn = 24;
constexpr int16_t kAddOffsetsToTxn = 25;
constexpr int16_t kEndTxn = 26;
constexpr int16_t kTxnOffsetCommit = 28;

// The batch's header (61 bytes), the record's own lengths, and the attempt header, rounded up.
constexpr int64_t kOverheadBytes = 256;
constexpr int64_t kBatchBytesMax = 1024 * 1024;
constexpr int64_t kRecordBytesLeast = 1024;
constexpr size_t kHeadersMax = 64;
constexpr int kInitTimeoutMs = 5'000;
constexpr int kLookUpTimeoutMs = 5'000;
// An abort or an end while partitions are still being added to the transaction poisons the producer
// (librdkafka #4849) or ends the process (an assertion in 2.8.0); a healthy broker is through with
// them in this time.
constexpr int kFlushMs = 200;
constexpr size_t kDyingProducersMax = 8;
// The only timeout whose end is the call's end: a shorter one returns while requests are on their
// way.
constexpr int kUntilDone = -1;
constexpr int kAbortSliceMs = 500;

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

absl::StatusOr<std::vector<int64_t>> DescribeTopics(Admin& admin,
                                                    const std::vector<std::string>& topics) {
  std::vector<int64_t> limits;
  std::string missing;
  for (const std::string& topic : topics) {
    auto config = admin.DescribeTopic(topic);
    if (absl::IsNotFound(config.status())) {
      base::StrAppend(missing, missing.empty() ? "" : ", ", topic);
      continue;
    }
    if (!config.ok()) return config.status();
    int64_t bytes = 0;
    auto entry = config->find("max.message.bytes");
    if (entry == config->end() || !absl::SimpleAtoi(entry->second, &bytes)) {
      return absl::FailedPreconditionError(
          base::StrCat("topic ", topic, ": max.message.bytes is unknown"));
    }
    limits.push_back(bytes);
  }
  if (!missing.empty()) {
    return absl::NotFoundError(base::StrCat("output topics are missing: ", missing,
                                            "; create them, or change the pipeline"));
  }
  return limits;
}

Verdict VerdictOf(rd_kafka_resp_err_t error) {
  switch (StatusCodeOf(error)) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return Verdict::kHalt;
    default:
      return Verdict::kAbort;
  }
}

bool IsFenced(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR__FENCED || error == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
         error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

}  // namespace

// One producer epoch. The interceptors run on librdkafka's threads, everything else on the
// worker's.
struct KafkaTransaction::Epoch : ClientContext {
  ~Epoch() {
    if (client != nullptr) rd_kafka_flush(client.get(), kFlushMs);
    topics.clear();
    client.reset();
  }

  static rd_kafka_resp_err_t OnNew(rd_kafka_t* client, const rd_kafka_conf_t*, void* opaque, char*,
                                   size_t) {
    rd_kafka_interceptor_add_on_response_received(client, "sluice", OnResponse, opaque);
    rd_kafka_interceptor_add_on_request_sent(client, "sluice", OnSent, opaque);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  // R1, R3: the library retries behind its caller's back and reports success; the first attempt,
  // which went without an answer, can still be executed, in a later transaction.
  static rd_kafka_resp_err_t OnResponse(rd_kafka_t*, int, const char*, int32_t, int16_t api,
                                        int16_t, int32_t, size_t, int64_t,
                                        rd_kafka_resp_err_t error, void* opaque) {
    bool transactional = api == kAddPartitionsToTxn || api == kAddOffsetsToTxn || api == kEndTxn ||
                         api == kTxnOffsetCommit;
    bool unanswered =
        error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__TRANSPORT;
    if (transactional && unanswered) static_cast<Epoch*>(opaque)->tainted = true;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  static rd_kafka_resp_err_t OnSent(rd_kafka_t*, int, const char*, int32_t, int16_t api, int16_t,
                                    int32_t, size_t, void*) {
    static stream::Failpoint during_commit("during_commit");
    if (api == kEndTxn) during_commit.Pass();
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  // Failures only. The first one names the cause; those that follow are its purged companions.
  static void OnDelivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto* self = static_cast<Epoch*>(static_cast<ClientContext*>(opaque));
    if (self->delivery_error == RD_KAFKA_RESP_ERR_NO_ERROR) self->delivery_error = message->err;
  }

  static int OnStatistics(rd_kafka_t*, char* json, size_t size, void* opaque) {
    auto* self = static_cast<Epoch*>(static_cast<ClientContext*>(opaque));
    *self->queue_bytes = SumStatistic(std::string_view(json, size), "msg_size");
    return 0;
  }

  std::atomic<bool> tainted = false;
  rd_kafka_resp_err_t delivery_error = RD_KAFKA_RESP_ERR_NO_ERROR;  // of the open transaction
  std::atomic<int64_t>* queue_bytes = nullptr;  // outlives this: the undertaker is joined before it
  ClientPtr client;
  std::vector<TopicPtr> topics;
};

KafkaTransaction::Undertaker::~Undertaker() {
  for (std::thread& thread : threads_) thread.join();
}

void KafkaTransaction::Undertaker::Take(std::unique_ptr<Epoch> epoch) {
  if (epoch == nullptr) return;
  if (threads_.size() >= kDyingProducersMax) {
    threads_.front().join();
    threads_.erase(threads_.begin());
  }
  threads_.emplace_back([dying = std::move(epoch)]() mutable { dying.reset(); });
}

KafkaTransaction::KafkaTransaction(TransactionOptions options, const GroupMember& member)
    : options_(std::move(options)), member_(member), renewal_(options_.connection) {
  std::random_device random;
  attempt_stem_ = base::StrCat(options_.transactional_id, "-", random(), "-");
}

KafkaTransaction::~KafkaTransaction() { undertaker_.Take(std::move(epoch_)); }

absl::StatusOr<std::unique_ptr<KafkaTransaction>> KafkaTransaction::Create(
    TransactionOptions options, const GroupMember& member) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Admin> admin, Admin::Create(options.connection));
  SLUICE_RETURN_IF_ERROR(CheckVerification(*admin));
  SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> limits, DescribeTopics(*admin, options.topics));
  std::unique_ptr<KafkaTransaction> transaction(new KafkaTransaction(std::move(options), member));
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

// A topic's limit was lowered, or the broker takes less than it says. Asking again settles the
// first; halving the second, so that the same record isn't tried for ever.
absl::Status KafkaTransaction::RefreshLimits() {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Admin> admin, Admin::Create(options_.connection));
  SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> limits, DescribeTopics(*admin, options_.topics));
  if (limits == described_bytes_max_) {
    limits = message_bytes_max_;
    for (int64_t& bytes : limits) bytes = std::max(bytes / 2, kRecordBytesLeast);
  } else {
    described_bytes_max_ = limits;
  }
  SetLimits(std::move(limits));
  too_large_ = false;
  return absl::OkStatus();
}

absl::Status KafkaTransaction::StartEpoch() {
  auto [smallest, largest] =
      std::minmax_element(message_bytes_max_.begin(), message_bytes_max_.end());
  auto epoch = std::make_unique<Epoch>();
  epoch->log = options_.connection.log;
  epoch->queue_bytes = &queue_bytes_;
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
  SLUICE_ASSIGN_OR_RETURN(ConfPtr conf, MakeConf(options_.connection, settings, epoch.get()));
  rd_kafka_conf_set_dr_msg_cb(conf.get(), Epoch::OnDelivery);
  rd_kafka_conf_set_stats_cb(conf.get(), Epoch::OnStatistics);
  rd_kafka_conf_interceptor_add_on_new(conf.get(), "sluice", Epoch::OnNew, epoch.get());
  SLUICE_ASSIGN_OR_RETURN(epoch->client, MakeClient(ClientKind::kProducer, std::move(conf)));
  for (const std::string& topic : options_.topics) {
    epoch->topics.emplace_back(rd_kafka_topic_new(epoch->client.get(), topic.c_str(), nullptr));
  }
  epoch_ = std::move(epoch);
  renewal_.Done();
  return absl::OkStatus();
}

Result KafkaTransaction::Recreate() {
  if (too_large_) {
    absl::Status refreshed = RefreshLimits();
    if (!refreshed.ok()) return {Verdict::kRetry, std::string(base::View(refreshed.message()))};
  }
  // One that waits for its initialisation is asked again, not replaced.
  if (epoch_ == nullptr || initialised_ || renewal_.Due()) {
    undertaker_.Take(std::move(epoch_));
    initialised_ = false;
    absl::Status started = StartEpoch();
    // The options were good once, so it is a file that is being renewed.
    if (!started.ok()) return {Verdict::kRetry, std::string(base::View(started.message()))};
  }
  ErrorPtr error(rd_kafka_init_transactions(epoch_->client.get(), kInitTimeoutMs));
  Result result = Classify(error.get(), "init_transactions");
  if (result.verdict == Verdict::kRetry) {
    rd_kafka_poll(epoch_->client.get(), 0);
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
  for (const TopicPtr& topic : epoch_->topics) {
    const rd_kafka_metadata_t* metadata = nullptr;
    if (rd_kafka_metadata(epoch_->client.get(), 0, topic.get(), &metadata, kLookUpTimeoutMs) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
      continue;  // slower, not wrong
    }
    rd_kafka_resp_err_t error = metadata->topics[0].err;
    rd_kafka_metadata_destroy(metadata);
    if (VerdictOf(error) == Verdict::kHalt) {
      return {Verdict::kHalt, base::StrCat("output topic ", rd_kafka_topic_name(topic.get()), ": ",
                                           rd_kafka_err2str(error), AclAdvice(error))};
    }
  }
  return {};
}

Result KafkaTransaction::Classify(rd_kafka_error_t* error, std::string_view call) {
  if (error == nullptr) return {};
  rd_kafka_resp_err_t code = rd_kafka_error_code(error);
  std::string text = base::StrCat(call, ": ", rd_kafka_error_string(error), AclAdvice(code));
  if (rd_kafka_error_is_fatal(error)) {
    char fatal[512];
    rd_kafka_resp_err_t cause = rd_kafka_fatal_error(epoch_->client.get(), fatal, sizeof(fatal));
    Verdict verdict = IsFenced(code) || IsFenced(cause) ? Verdict::kFenced : Verdict::kRecreate;
    if (VerdictOf(cause) == Verdict::kHalt) verdict = Verdict::kHalt;
    return {verdict, std::move(text)};
  }
  if (rd_kafka_error_txn_requires_abort(error)) {
    // A call that the transaction failed under says only that it did. Nothing can begin now; what
    // refuses it is why.
    if (code == RD_KAFKA_RESP_ERR__STATE) {
      ErrorPtr why(rd_kafka_begin_transaction(epoch_->client.get()));
      if (why != nullptr && rd_kafka_error_txn_requires_abort(why.get()) &&
          rd_kafka_error_code(why.get()) != code)
        return Classify(why.get(), call);
    }
    rd_kafka_poll(epoch_->client.get(), 0);
    rd_kafka_resp_err_t delivery = epoch_->delivery_error;
    if (delivery != RD_KAFKA_RESP_ERR_NO_ERROR) {
      base::StrAppend(text, "; first failed record: ", rd_kafka_err2str(delivery),
                      AclAdvice(delivery));
      too_large_ |= delivery == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
      if (VerdictOf(delivery) == Verdict::kHalt) return {Verdict::kHalt, std::move(text)};
    }
    return {VerdictOf(code), std::move(text)};
  }
  if (rd_kafka_error_is_retriable(error)) return {Verdict::kRetry, std::move(text)};
  if (StatusCodeOf(code) == absl::StatusCode::kPermissionDenied)
    return {Verdict::kHalt, std::move(text)};
  return {Verdict::kRecreate, std::move(text)};
}

Result KafkaTransaction::Begin() {
  if (epoch_ == nullptr) return {Verdict::kRecreate, "no producer"};
  rd_kafka_poll(epoch_->client.get(), 0);
  epoch_->delivery_error = RD_KAFKA_RESP_ERR_NO_ERROR;
  group_metadata_.reset();
  if (options_.attempt_header) attempt_ = base::StrCat(attempt_stem_, ++attempts_);
  ErrorPtr error(rd_kafka_begin_transaction(epoch_->client.get()));
  return Classify(error.get(), "begin_transaction");
}

absl::Status KafkaTransaction::Produce(const stream::OutputRecord& record) {
  if (stream::RecordBytes(record) > record_bytes_max_[record.topic]) [[unlikely]] {
    return absl::InvalidArgumentError(base::StrCat("a record is larger than topic ",
                                                   options_.topics[record.topic], " takes (",
                                                   record_bytes_max_[record.topic], " bytes)"));
  }
  if (record.headers.size() >= kHeadersMax) [[unlikely]] {
    return absl::InvalidArgumentError(
        base::StrCat("a record has more than ", kHeadersMax, " headers"));
  }
  rd_kafka_t* client = epoch_->client.get();
  std::array<rd_kafka_vu_t, kHeadersMax + 6> arguments;
  size_t count = 0;
  arguments[count].vtype = RD_KAFKA_VTYPE_RKT;
  arguments[count++].u.rkt = epoch_->topics[record.topic].get();
  arguments[count].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  arguments[count++].u.i = RD_KAFKA_MSG_F_COPY;
  if (record.key) {
    arguments[count].vtype = RD_KAFKA_VTYPE_KEY;
    // An empty key isn't a null one, to librdkafka, by its pointer.
    arguments[count].u.mem.ptr = const_cast<char*>(record.key->empty() ? "" : record.key->data());
    arguments[count++].u.mem.size = record.key->size();
  }
  if (record.value) {
    arguments[count].vtype = RD_KAFKA_VTYPE_VALUE;
    arguments[count].u.mem.ptr =
        const_cast<char*>(record.value->empty() ? "" : record.value->data());
    arguments[count++].u.mem.size = record.value->size();
  }
  if (record.timestamp_ms) {
    arguments[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    arguments[count++].u.i64 = *record.timestamp_ms;
  }
  if (!record.headers.empty() || options_.attempt_header) {
    rd_kafka_headers_t* headers = rd_kafka_headers_new(record.headers.size() + 1);
    for (const stream::Header& header : record.headers) {
      rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                          header.value.data(), static_cast<ssize_t>(header.value.size()));
    }
    if (options_.attempt_header) {
      rd_kafka_header_add(headers, "sluice-attempt", -1, attempt_.data(),
                          static_cast<ssize_t>(attempt_.size()));
    }
    arguments[count].vtype = RD_KAFKA_VTYPE_HEADERS;
    arguments[count++].u.headers = headers;
  }

  ErrorPtr error(rd_kafka_produceva(client, arguments.data(), count));
  if (error == nullptr) [[likely]]
    return absl::OkStatus();
  auto until = steady_clock::now() + milliseconds(options_.transaction_timeout_ms);
  while (error != nullptr && rd_kafka_error_code(error.get()) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
         steady_clock::now() < until) {
    // Serves delivery failures; the room itself is made by librdkafka's threads.
    rd_kafka_poll(client, 1);
    error.reset(rd_kafka_produceva(client, arguments.data(), count));
  }
  if (error == nullptr) return absl::OkStatus();
  if (arguments[count - 1].vtype == RD_KAFKA_VTYPE_HEADERS) {
    rd_kafka_headers_destroy(arguments[count - 1].u.headers);  // taken on success only
  }
  rd_kafka_resp_err_t code = rd_kafka_error_code(error.get());
  if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
    // Within the limit that Output gave, so not the Transform's fault.
    too_large_ = true;
    return absl::ResourceExhaustedError("librdkafka refuses a record as too large");
  }
  return ToStatus(code, base::StrCat("produce to ", options_.topics[record.topic]));
}

Result KafkaTransaction::SendOffsets(std::span<const stream::Position> next) {
  if (group_metadata_ == nullptr) group_metadata_ = member_.group_metadata();
  if (group_metadata_ == nullptr) return {Verdict::kAbort, "this worker is no member of the group"};
  PartitionListPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(next.size())));
  for (const stream::Position& position : next) {
    rd_kafka_topic_partition_t* partition = rd_kafka_topic_partition_list_add(
        list.get(), std::string(position.topic).c_str(), position.partition);
    partition->offset = position.offset;
    rd_kafka_topic_partition_set_leader_epoch(partition, position.leader_epoch);
  }
  ErrorPtr error(rd_kafka_send_offsets_to_transaction(epoch_->client.get(), list.get(),
                                                      group_metadata_.get(), kUntilDone));
  return Classify(error.get(), "send_offsets_to_transaction");
}

Result KafkaTransaction::Commit() {
  queue_records_ = rd_kafka_outq_len(epoch_->client.get());
  ErrorPtr error(rd_kafka_commit_transaction(epoch_->client.get(), kUntilDone));
  queue_records_ = rd_kafka_outq_len(epoch_->client.get());
  return Classify(error.get(), "commit_transaction");
}

Result KafkaTransaction::Abort() {
  if (epoch_ == nullptr) return {Verdict::kRecreate, "no producer"};
  rd_kafka_flush(epoch_->client.get(), kFlushMs);
  // Also finds out why, where the driver's own reason is a full queue or the like.
  too_large_ |= epoch_->delivery_error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
  // A broker that turns this epoch's certificate or password away lets it wait for ever: so renewed
  // ones are looked for meanwhile.
  ErrorPtr error;
  do {
    error.reset(rd_kafka_abort_transaction(epoch_->client.get(),
                                           renewal_.watches() ? kAbortSliceMs : kUntilDone));
    if (renewal_.Due()) return {Verdict::kRecreate, "certificates or passwords were renewed"};
  } while (error != nullptr && rd_kafka_error_code(error.get()) == RD_KAFKA_RESP_ERR__TIMED_OUT);
  return Classify(error.get(), "abort_transaction");
}

bool KafkaTransaction::tainted() const {
  return epoch_ != nullptr && (epoch_->tainted || renewal_.Due());
}

TransactionSnapshot KafkaTransaction::snapshot() const { return {queue_records_, queue_bytes_}; }

}  // namespace sluice::kafka
