#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <map>

#include "absl/strings/numbers.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/client.h"
#include "common/kafka/handle.h"
#include "common/kafka/status.h"
#include "common/kafka/topic_id.h"
#include "common/stream/failpoint.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Kafka's protocol numbers.
constexpr int16_t kAddPartitionsToTxn = 24;
constexpr int16_t kAddOffsetsToTxn = 25;
constexpr int16_t kEndTxn = 26;
constexpr int16_t kTxnOffsetCommit = 28;

constexpr size_t kHeadersMax = 1'001;
constexpr int kQuestionTimeoutMs = 5'000;
// An abort or an end while partitions are still being added to the transaction poisons the producer
// (librdkafka #4849) or ends the process (an assertion in 2.8.0); a healthy broker is through with
// them in this time.
constexpr int kEndFlushMs = 200;
constexpr milliseconds kJoinMax(4'000);  // the others hear of a rebalance within a heartbeat, 3 s
constexpr milliseconds kLeaveMax(1'000);
// The only timeout whose end is the call's end: a shorter one returns while requests are on their
// way.
constexpr int kUntilDone = -1;
constexpr size_t kTraceparentBytesMax = 55;  // W3C Trace Context, version 00
constexpr uint32_t kGenerationMax = 1'000;

int Ms(milliseconds time) { return static_cast<int>(time.count()); }

// The two inbound headers that are read; anything malformed counts as absent.
void ReadHeaders(const rd_kafka_message_t& message, stream::InputRecord& record) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_header_get_last(headers, "traceparent", &value, &size) ==
          RD_KAFKA_RESP_ERR_NO_ERROR &&
      value != nullptr && size <= kTraceparentBytesMax) {
    std::string_view text(static_cast<const char*>(value), size);
    if (text.find_first_not_of("0123456789abcdef-") == text.npos) record.traceparent = text;
  }
  if (rd_kafka_header_get_last(headers, "sluice-generation", &value, &size) ==
          RD_KAFKA_RESP_ERR_NO_ERROR &&
      value != nullptr) {
    const char* text = static_cast<const char*>(value);
    uint32_t generation = 0;
    auto [end, error] = std::from_chars(text, text + size, generation);
    if (error == std::errc() && end == text + size && generation <= kGenerationMax) {
      record.generation = generation;
    }
  }
}

std::optional<std::string_view> Bytes(const void* data, size_t size) {
  if (data == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(data), size);
}

PartitionListPtr ToList(const PartitionOffsets& partitions) {
  PartitionListPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const PartitionOffset& partition : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.partition)
        ->offset = partition.offset;
  }
  return list;
}

// The list is in the order of `partitions`.
void FromList(const rd_kafka_topic_partition_list_t& list, PartitionOffsets& partitions) {
  for (size_t i = 0; i < partitions.size(); ++i) {
    partitions[i].offset = list.elems[i].offset;
    partitions[i].error = list.elems[i].err;
  }
}

class RdGroupMetadata final : public GroupMetadata {
 public:
  explicit RdGroupMetadata(GroupMetadataPtr metadata) : metadata_(std::move(metadata)) {}
  rd_kafka_consumer_group_metadata_t* get() const { return metadata_.get(); }

 private:
  GroupMetadataPtr metadata_;
};

class RdConsumer final : public ConsumerClient, private ClientContext {
 public:
  RdConsumer(LogFunction log_function, RebalanceListener& listener)
      : ClientContext(std::move(log_function)), listener_(listener) {
    Heard();
  }
  ~RdConsumer() override {
    closing_ = true;  // it may still be a member, and be told so
    log_offsets_.reset();
    topics_.reset();
    queue_.reset();
    client_.reset();
  }

  absl::Status Connect(const ConnectionOptions& connection, const Settings& settings) {
    SLUICE_ASSIGN_OR_RETURN(ConfPtr conf, MakeConf(connection, settings, this));
    rd_kafka_conf_set_rebalance_cb(conf.get(), OnRebalance);
    rd_kafka_conf_set_stats_cb(conf.get(), OnStatistics);
    rd_kafka_conf_interceptor_add_on_new(conf.get(), "sluice", OnNew, this);
    SLUICE_ASSIGN_OR_RETURN(client_, MakeClient(ClientKind::kConsumer, std::move(conf)));
    rd_kafka_poll_set_consumer(client_.get());
    queue_.reset(rd_kafka_queue_get_consumer(client_.get()));
    log_offsets_.reset(rd_kafka_queue_new(client_.get()));
    topics_.reset(rd_kafka_queue_new(client_.get()));
    return absl::OkStatus();
  }

  ErrorCode LookUp(const std::string& name, milliseconds timeout) override {
    TopicPtr topic(rd_kafka_topic_new(client_.get(), name.c_str(), nullptr));
    const rd_kafka_metadata_t* metadata = nullptr;
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(client_.get(), 0, topic.get(), &metadata, Ms(timeout));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return error;
    error = metadata->topics[0].err;
    rd_kafka_metadata_destroy(metadata);
    return error;
  }

  ErrorCode Subscribe(const std::vector<std::string>& topics) override {
    PartitionListPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())));
    for (const std::string& name : topics) {
      rd_kafka_topic_partition_list_add(list.get(), name.c_str(), RD_KAFKA_PARTITION_UA);
    }
    return rd_kafka_subscribe(client_.get(), list.get());
  }

  ErrorCode FatalError(std::string& text) const override {
    char buffer[512];
    rd_kafka_resp_err_t error = rd_kafka_fatal_error(client_.get(), buffer, sizeof(buffer));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) text = buffer;
    return error;
  }

  void Fetch(size_t count, milliseconds wait, std::vector<Message>& messages) override {
    // librdkafka waits until the batch is full, so only the first message is waited for.
    if (batch_.size() < count) batch_.resize(count);
    ssize_t got = rd_kafka_consume_batch_queue(queue_.get(), Ms(wait), batch_.data(), 1);
    if (got == 1 && count > 1) {
      ssize_t more = rd_kafka_consume_batch_queue(queue_.get(), 0, batch_.data() + 1, count - 1);
      got += std::max<ssize_t>(more, 0);
    }
    for (ssize_t i = 0; i < got; ++i) {
      rd_kafka_message_t& from = *batch_[static_cast<size_t>(i)];
      Message& message = messages.emplace_back();
      message.handle = &from;
      message.error = from.err;
      message.of_partition = from.rkt != nullptr;
      message.record.partition = from.partition;
      if (from.rkt != nullptr) message.record.topic = TopicName(from.rkt);
      if (from.err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      message.record.offset = from.offset;
      message.record.key = Bytes(from.key, from.key_len);
      message.record.value = Bytes(from.payload, from.len);
      rd_kafka_timestamp_type_t type;
      message.record.timestamp_ms = rd_kafka_message_timestamp(&from, &type);
      message.leader_epoch = rd_kafka_message_leader_epoch(&from);
      ReadHeaders(from, message.record);
    }
  }

  std::string TextOf(const Message& message) const override {
    auto& from = *static_cast<const rd_kafka_message_t*>(message.handle);
    // Only of an error is it text, and librdkafka's.
    if (from.err == RD_KAFKA_RESP_ERR_NO_ERROR || from.payload == nullptr)
      return rd_kafka_err2str(from.err);
    return std::string(static_cast<const char*>(from.payload), from.len);
  }

  void Headers(const Message& message, std::vector<stream::Header>& all) const override {
    auto& from = *static_cast<const rd_kafka_message_t*>(message.handle);
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&from, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++i) {
      all.push_back({name, {static_cast<const char*>(value), value == nullptr ? 0 : size}});
    }
  }

  void Release(std::span<const Message> messages) override {
    for (const Message& message : messages)
      rd_kafka_message_destroy(static_cast<rd_kafka_message_t*>(message.handle));
  }

  ErrorCode Assign(const PartitionOffsets& partitions) override {
    if (partitions.empty()) return rd_kafka_assign(client_.get(), nullptr);
    return rd_kafka_assign(client_.get(), ToList(partitions).get());
  }
  void Pause(const PartitionOffsets& partitions) override {
    rd_kafka_pause_partitions(client_.get(), ToList(partitions).get());
  }
  void Resume(const PartitionOffsets& partitions) override {
    rd_kafka_resume_partitions(client_.get(), ToList(partitions).get());
  }

  ErrorCode Committed(PartitionOffsets& partitions, milliseconds timeout) override {
    if (partitions.empty()) return 0;
    PartitionListPtr list = ToList(partitions);
    rd_kafka_resp_err_t error = rd_kafka_committed(client_.get(), list.get(), Ms(timeout));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return error;
    FromList(*list, partitions);
    for (size_t i = 0; i < partitions.size(); ++i) {
      const rd_kafka_topic_partition_t& at = list->elems[i];
      partitions[i].metadata.clear();
      if (at.metadata != nullptr)
        partitions[i].metadata.assign(static_cast<const char*>(at.metadata), at.metadata_size);
    }
    return error;
  }

  void Positions(PartitionOffsets& partitions) const override {
    PartitionListPtr list = ToList(partitions);
    rd_kafka_position(client_.get(), list.get());
    FromList(*list, partitions);
  }

  std::unique_ptr<GroupMetadata> Metadata() const override {
    GroupMetadataPtr metadata(rd_kafka_consumer_group_metadata(client_.get()));
    if (metadata == nullptr) return nullptr;
    return std::make_unique<RdGroupMetadata>(std::move(metadata));
  }

  void Close(bool leave) override {
    closing_ = true;
    if (leave) Leave();
    rd_kafka_consumer_close(client_.get());
  }

  // Three questions, since each answers for one kind of offset.
  void AskLogOffsets(const PartitionOffsets& partitions) override {
    if (asked_ > 0 || partitions.empty()) return;
    answer_.clear();
    for (const PartitionOffset& partition : partitions)
      answer_.push_back({partition.topic, partition.partition});
    Ask(partitions, RD_KAFKA_OFFSET_SPEC_LATEST, RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED, kEnd);
    Ask(partitions, RD_KAFKA_OFFSET_SPEC_LATEST, RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED, kStable);
    Ask(partitions, RD_KAFKA_OFFSET_SPEC_EARLIEST, RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        kBegin);
  }

  std::optional<std::vector<LogOffsets>> TakeLogOffsets() override {
    while (asked_ > 0) {
      rd_kafka_event_t* event = rd_kafka_queue_poll(log_offsets_.get(), 0);
      if (event == nullptr) break;
      --asked_;
      auto kind = static_cast<Kind>(reinterpret_cast<intptr_t>(rd_kafka_event_opaque(event)));
      if (const rd_kafka_ListOffsets_result_t* result = rd_kafka_event_ListOffsets_result(event)) {
        size_t count = 0;
        const rd_kafka_ListOffsetsResultInfo_t** infos =
            rd_kafka_ListOffsets_result_infos(result, &count);
        for (size_t i = 0; i < count; ++i) {
          const rd_kafka_topic_partition_t& at =
              *rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
          if (at.err != RD_KAFKA_RESP_ERR_NO_ERROR || at.offset < 0) continue;
          for (LogOffsets& offsets : answer_) {
            if (offsets.partition != at.partition || offsets.topic != at.topic) continue;
            (kind == kBegin ? offsets.begin
             : kind == kEnd ? offsets.end
                            : offsets.stable) = at.offset;
          }
        }
      }
      rd_kafka_event_destroy(event);
      if (asked_ == 0) return std::move(answer_);
    }
    return std::nullopt;
  }

  void AskTopics(const std::vector<std::string>& topics) override {
    if (topics_asked_) return;
    std::vector<const char*> names;
    for (const std::string& topic : topics) names.push_back(topic.c_str());
    rd_kafka_TopicCollection_t* collection =
        rd_kafka_TopicCollection_of_topic_names(names.data(), names.size());
    rd_kafka_AdminOptions_t* options =
        rd_kafka_AdminOptions_new(client_.get(), RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    char text[256];
    rd_kafka_AdminOptions_set_request_timeout(options, kQuestionTimeoutMs, text, sizeof(text));
    rd_kafka_DescribeTopics(client_.get(), collection, options, topics_.get());
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_TopicCollection_destroy(collection);
    topics_asked_ = true;
  }

  std::optional<std::vector<TopicIdentity>> TakeTopics() override {
    rd_kafka_event_t* event = topics_asked_ ? rd_kafka_queue_poll(topics_.get(), 0) : nullptr;
    if (event == nullptr) return std::nullopt;
    topics_asked_ = false;
    std::vector<TopicIdentity> topics;
    if (const rd_kafka_DescribeTopics_result_t* result =
            rd_kafka_event_DescribeTopics_result(event)) {
      size_t count = 0;
      const rd_kafka_TopicDescription_t** descriptions =
          rd_kafka_DescribeTopics_result_topics(result, &count);
      for (size_t i = 0; i < count; ++i) {
        TopicIdentity& topic = topics.emplace_back();
        topic.topic = rd_kafka_TopicDescription_name(descriptions[i]);
        if (const rd_kafka_error_t* error = rd_kafka_TopicDescription_error(descriptions[i]))
          topic.error = rd_kafka_error_code(error);
        topic.id = TopicIdText(rd_kafka_TopicDescription_topic_id(descriptions[i]));
      }
    }
    rd_kafka_event_destroy(event);
    return topics;
  }

  std::string Refusal() const override { return ClientContext::Refusal(); }
  std::optional<BrokerFailure> failure() const override { return ClientContext::failure(); }
  steady_clock::time_point last_heard() const override {
    return steady_clock::time_point(steady_clock::duration(heard_.load()));
  }
  int64_t read_ahead_bytes() const override { return read_ahead_bytes_; }

 private:
  enum Kind : intptr_t { kBegin = 1, kStable, kEnd };

  // Closing tells the group nothing of a static member; unsubscribing does. The member has no id
  // any more once that is on its way, and closing waits for the answer.
  void Leave() {
    // One that still joins can't leave, and the group would wait for it until the session timeout.
    if (!assigned_)
      rd_kafka_assign(client_.get(), nullptr);  // a revocation may wait for its answer
    leaving_ = true;
    ServeUntil([this] { return assigned_; }, kJoinMax);
    leaving_ = false;
    // What was offered and not taken yet is to be answered first: taking none is an answer, giving
    // all back isn't.
    PartitionListPtr none(rd_kafka_topic_partition_list_new(0));
    rd_kafka_assign(client_.get(), none.get());
    if (rd_kafka_unsubscribe(client_.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    ServeUntil([this] { return !IsMember(); }, kLeaveMax);
  }

  // Runs the callbacks; what has been read ahead is for the next member.
  template <typename Done>
  void ServeUntil(Done done, milliseconds timeout) {
    const auto deadline = steady_clock::now() + timeout;
    while (!done() && steady_clock::now() < deadline) {
      rd_kafka_message_t* message = nullptr;
      if (rd_kafka_consume_batch_queue(queue_.get(), 10, &message, 1) == 1)
        rd_kafka_message_destroy(message);
    }
  }

  bool IsMember() const {
    char* id = rd_kafka_memberid(client_.get());
    const bool member = id != nullptr && *id != '\0';
    if (id != nullptr) rd_kafka_mem_free(client_.get(), id);
    return member;
  }

  static void OnRebalance(rd_kafka_t* client, rd_kafka_resp_err_t what,
                          rd_kafka_topic_partition_list_t* list, void* opaque) {
    auto& self = *static_cast<RdConsumer*>(static_cast<ClientContext*>(opaque));
    self.assigned_ = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    if (self.leaving_ && self.assigned_) return;  // Leave answers
    if (self.closing_ || (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
                          what != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
      rd_kafka_assign(client, nullptr);
      return;
    }
    if (what == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
      return self.listener_.OnRevoke(rd_kafka_assignment_lost(client) != 0);
    PartitionOffsets partitions;
    for (int i = 0; i < list->cnt; ++i)
      partitions.push_back({list->elems[i].topic, list->elems[i].partition});
    self.listener_.OnAssign(std::move(partitions));
  }

  static int OnStatistics(rd_kafka_t*, char* json, size_t size, void* opaque) {
    auto& self = *static_cast<RdConsumer*>(static_cast<ClientContext*>(opaque));
    self.Reached({json, size});
    self.read_ahead_bytes_ = SumStatistic(std::string_view(json, size), "fetchq_size");
    return 0;  // librdkafka frees the document
  }

  static rd_kafka_resp_err_t OnNew(rd_kafka_t* client, const rd_kafka_conf_t*, void* opaque, char*,
                                   size_t) {
    rd_kafka_interceptor_add_on_response_received(client, "sluice", OnResponse, opaque);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  // On librdkafka's threads. Its own errors are below zero: there was no answer.
  static rd_kafka_resp_err_t OnResponse(rd_kafka_t*, int, const char*, int32_t, int16_t, int16_t,
                                        int32_t, size_t, int64_t, rd_kafka_resp_err_t error,
                                        void* opaque) {
    if (error >= 0) static_cast<RdConsumer*>(opaque)->Heard();
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }

  void Heard() { heard_ = steady_clock::now().time_since_epoch().count(); }

  std::string_view TopicName(const rd_kafka_topic_t* topic) {
    if (topic != last_topic_) {
      last_topic_ = topic;
      last_topic_name_ = rd_kafka_topic_name(topic);
    }
    return last_topic_name_;
  }

  void Ask(const PartitionOffsets& partitions, int64_t spec, rd_kafka_IsolationLevel_t isolation,
           Kind kind) {
    PartitionListPtr list = ToList(partitions);
    for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = spec;
    rd_kafka_AdminOptions_t* options =
        rd_kafka_AdminOptions_new(client_.get(), RD_KAFKA_ADMIN_OP_LISTOFFSETS);
    char text[256];
    rd_kafka_AdminOptions_set_request_timeout(options, kQuestionTimeoutMs, text, sizeof(text));
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_isolation_level(options, isolation));
    rd_kafka_AdminOptions_set_opaque(options, reinterpret_cast<void*>(kind));
    rd_kafka_ListOffsets(client_.get(), list.get(), options, log_offsets_.get());
    rd_kafka_AdminOptions_destroy(options);
    ++asked_;
  }

  RebalanceListener& listener_;
  bool closing_ = false;
  bool leaving_ = false;
  bool assigned_ = false;  // since the last revocation
  std::atomic<steady_clock::rep> heard_ = 0;
  std::atomic<int64_t> read_ahead_bytes_ = 0;
  ClientPtr client_;
  QueuePtr queue_, log_offsets_, topics_;
  int asked_ = 0;
  bool topics_asked_ = false;
  std::vector<LogOffsets> answer_;
  std::vector<rd_kafka_message_t*> batch_;
  const rd_kafka_topic_t* last_topic_ = nullptr;
  std::string_view last_topic_name_;
};

// The interceptors run on librdkafka's threads, everything else on the worker's.
class RdProducer final : public ProducerClient, private ClientContext {
 public:
  explicit RdProducer(LogFunction log_function) : ClientContext(std::move(log_function)) {}
  ~RdProducer() override {
    if (client_ != nullptr) rd_kafka_flush(client_.get(), kEndFlushMs);
    topics_.clear();
    client_.reset();
  }

  absl::Status Connect(const ConnectionOptions& connection, const Settings& settings,
                       const std::vector<std::string>& topics) {
    SLUICE_ASSIGN_OR_RETURN(ConfPtr conf, MakeConf(connection, settings, this));
    rd_kafka_conf_set_dr_msg_cb(conf.get(), OnDelivery);
    rd_kafka_conf_set_stats_cb(conf.get(), OnStatistics);
    rd_kafka_conf_interceptor_add_on_new(conf.get(), "sluice", OnNew, this);
    SLUICE_ASSIGN_OR_RETURN(client_, MakeClient(ClientKind::kProducer, std::move(conf)));
    for (const std::string& topic : topics) {
      topics_.emplace_back(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
    }
    return absl::OkStatus();
  }

  CallError InitTransactions(milliseconds timeout) override {
    return ToError(rd_kafka_init_transactions(client_.get(), Ms(timeout)));
  }

  ErrorCode LookUp(size_t topic, milliseconds timeout) override {
    const rd_kafka_metadata_t* metadata = nullptr;
    rd_kafka_resp_err_t error =
        rd_kafka_metadata(client_.get(), 0, topics_[topic].get(), &metadata, Ms(timeout));
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return error;
    error = metadata->topics[0].err;
    rd_kafka_metadata_destroy(metadata);
    return error;
  }

  CallError Begin() override {
    delivery_error_ = {};
    return ToError(rd_kafka_begin_transaction(client_.get()));
  }

  ErrorCode Produce(const stream::OutputRecord& record, const stream::Header& extra) override {
    if (record.headers.size() >= kHeadersMax) return RD_KAFKA_RESP_ERR__INVALID_ARG;
    std::array<rd_kafka_vu_t, 7> arguments;
    size_t count = 0;
    arguments[count].vtype = RD_KAFKA_VTYPE_RKT;
    arguments[count++].u.rkt = topics_[record.topic].get();
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
    if (record.partition) {
      arguments[count].vtype = RD_KAFKA_VTYPE_PARTITION;
      arguments[count++].u.i32 = *record.partition;
    }
    if (record.timestamp_ms) {
      arguments[count].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
      arguments[count++].u.i64 = *record.timestamp_ms;
    }
    rd_kafka_headers_t* headers = nullptr;
    if (!record.headers.empty() || !extra.name.empty()) {
      headers = rd_kafka_headers_new(record.headers.size() + 1);
      for (const stream::Header& header : record.headers) Add(*headers, header);
      if (!extra.name.empty()) Add(*headers, extra);
      arguments[count].vtype = RD_KAFKA_VTYPE_HEADERS;
      arguments[count++].u.headers = headers;
    }
    ErrorPtr error(rd_kafka_produceva(client_.get(), arguments.data(), count));
    if (error == nullptr) [[likely]]
      return 0;
    if (headers != nullptr) rd_kafka_headers_destroy(headers);  // taken on success only
    return rd_kafka_error_code(error.get());
  }

  CallError SendOffsets(std::span<const stream::Position> next, const GroupMetadata& member,
                        std::string_view metadata) override {
    PartitionListPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(next.size())));
    for (const stream::Position& position : next) {
      rd_kafka_topic_partition_t* partition = rd_kafka_topic_partition_list_add(
          list.get(), std::string(position.topic).c_str(), position.partition);
      partition->offset = position.offset;
      rd_kafka_topic_partition_set_leader_epoch(partition, position.leader_epoch);
      SetMetadata(metadata, *partition);
    }
    return ToError(rd_kafka_send_offsets_to_transaction(
        client_.get(), list.get(), static_cast<const RdGroupMetadata&>(member).get(), kUntilDone));
  }

  CallError Commit() override {
    return ToError(rd_kafka_commit_transaction(client_.get(), kUntilDone));
  }
  CallError Abort(std::optional<milliseconds> timeout) override {
    return ToError(rd_kafka_abort_transaction(client_.get(), timeout ? Ms(*timeout) : kUntilDone));
  }
  void Flush(milliseconds timeout) override { rd_kafka_flush(client_.get(), Ms(timeout)); }
  void Poll(milliseconds wait) override { rd_kafka_poll(client_.get(), Ms(wait)); }

  ErrorCode FatalError() const override {
    char text[512];
    return rd_kafka_fatal_error(client_.get(), text, sizeof(text));
  }
  // Nothing can begin now; what refuses it is why.
  CallError Why() override {
    CallError why = ToError(rd_kafka_begin_transaction(client_.get()));
    if (!why.requires_abort || why.code == RD_KAFKA_RESP_ERR__STATE) return {};
    return why;
  }
  DeliveryError delivery_error() const override { return delivery_error_; }
  std::string Refusal() const override { return ClientContext::Refusal(); }
  std::optional<BrokerFailure> failure() const override { return ClientContext::failure(); }
  bool tainted() const override { return tainted_; }
  int64_t queue_records() const override { return rd_kafka_outq_len(client_.get()); }
  int64_t queue_bytes() const override { return queue_bytes_; }

 private:
  static void Add(rd_kafka_headers_t& headers, const stream::Header& header) {
    rd_kafka_header_add(&headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                        header.value.data(), static_cast<ssize_t>(header.value.size()));
  }

  static CallError ToError(rd_kafka_error_t* owned) {
    ErrorPtr error(owned);
    if (error == nullptr) return {};
    return {rd_kafka_error_code(owned), rd_kafka_error_is_fatal(owned) != 0,
            rd_kafka_error_txn_requires_abort(owned) != 0, rd_kafka_error_is_retriable(owned) != 0,
            rd_kafka_error_string(owned)};
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
    if (transactional && unanswered) static_cast<RdProducer*>(opaque)->tainted_ = true;
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
    auto& self = *static_cast<RdProducer*>(static_cast<ClientContext*>(opaque));
    if (self.delivery_error_.code != 0) return;
    self.delivery_error_.code = message->err;
    std::string_view name = rd_kafka_topic_name(message->rkt);
    for (size_t i = 0; i < self.topics_.size(); ++i) {
      if (rd_kafka_topic_name(self.topics_[i].get()) == name) self.delivery_error_.topic = i;
    }
  }

  static int OnStatistics(rd_kafka_t*, char* json, size_t size, void* opaque) {
    auto& self = *static_cast<RdProducer*>(static_cast<ClientContext*>(opaque));
    self.Reached({json, size});
    self.queue_bytes_ = SumStatistic(std::string_view(json, size), "msg_size");
    return 0;
  }

  std::atomic<bool> tainted_ = false;
  std::atomic<int64_t> queue_bytes_ = 0;
  DeliveryError delivery_error_;
  ClientPtr client_;
  std::vector<TopicPtr> topics_;
};

class RdFactory final : public ClientFactory {
 public:
  absl::StatusOr<std::unique_ptr<ConsumerClient>> MakeConsumer(
      const ConnectionOptions& connection, const Settings& settings,
      RebalanceListener& listener) override {
    auto client = std::make_unique<RdConsumer>(connection.log, listener);
    SLUICE_RETURN_IF_ERROR(client->Connect(connection, settings));
    return client;
  }

  absl::StatusOr<std::unique_ptr<ProducerClient>> MakeProducer(
      const ConnectionOptions& connection, const Settings& settings,
      const std::vector<std::string>& topics) override {
    auto client = std::make_unique<RdProducer>(connection.log);
    SLUICE_RETURN_IF_ERROR(client->Connect(connection, settings, topics));
    return client;
  }

  absl::StatusOr<std::vector<int64_t>> MessageBytesMax(
      const ConnectionOptions& connection, const std::vector<std::string>& topics) override {
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Admin> admin, Admin::Create(connection));
    std::vector<int64_t> limits;
    std::string missing;
    for (const std::string& topic : topics) {
      auto config = admin->DescribeTopic(topic);
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

  std::vector<std::string> NotWritable(const ConnectionOptions& connection,
                                       const std::vector<std::string>& topics) override {
    auto admin = Admin::Create(connection, kQuestionTimeoutMs);
    if (!admin.ok()) return {};
    return (*admin)->NotWritable(topics).value_or(std::vector<std::string>());
  }
};

}  // namespace

std::unique_ptr<GroupMetadata> MetadataOfNoMember(const std::string& group) {
  return std::make_unique<RdGroupMetadata>(
      GroupMetadataPtr(rd_kafka_consumer_group_metadata_new(group.c_str())));
}

ClientFactory& RdKafka() {
  static RdFactory factory;
  return factory;
}

}  // namespace sluice::kafka
