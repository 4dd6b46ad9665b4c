#include "common/kafka/source.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <charconv>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/status.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using stream::InputRecord;
using stream::Position;
using stream::SourceEvent;

constexpr int kStartTimeoutMs = 30'000;
// Short, so that a rebalance is seen in between.
constexpr int kPositionTimeoutMs = 2'000;
constexpr milliseconds kPositionRetry(100);
constexpr milliseconds kSnapshotInterval(1'000);
constexpr int kEndsTimeoutMs = 5'000;
constexpr std::chrono::minutes kTwinWindow(1);
constexpr size_t kTraceparentBytesMax = 55;  // W3C Trace Context, version 00
constexpr uint32_t kGenerationMax = 1'000;

absl::Status CheckOptions(const SourceOptions& options) {
  struct Range {
    const char* name;
    int value, low, high;
  };
  for (const Range& range : {
           Range{"session_timeout_ms", options.session_timeout_ms, 6'000, 1'800'000},
           Range{"poll_interval_max_ms", options.poll_interval_max_ms, options.session_timeout_ms,
                 86'400'000},
           Range{"read_ahead_kib", options.read_ahead_kib, 1'024, 1'048'576},
           Range{"fetch_partition_kib", options.fetch_partition_kib, 16, 65'536},
           Range{"fetch_wait_max_ms", options.fetch_wait_max_ms, 0, 1'000},
       }) {
    if (range.value >= range.low && range.value <= range.high) continue;
    return absl::InvalidArgumentError(base::StrCat(
        range.name, " is ", range.value, "; it must be between ", range.low, " and ", range.high));
  }
  if (options.group.empty() || options.topics.empty()) {
    return absl::InvalidArgumentError("a source needs a group and at least one topic");
  }
  return absl::OkStatus();
}

// The two inbound headers that are read; anything malformed counts as absent.
void ReadHeaders(const rd_kafka_message_t& message, InputRecord& record) {
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

PartitionListPtr ListOf(std::span<const Position> positions) {
  PartitionListPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const Position& position : positions) {
    rd_kafka_topic_partition_list_add(list.get(), std::string(position.topic).c_str(),
                                      position.partition);
  }
  return list;
}

}  // namespace

struct KafkaSource::Callbacks {
  static void Rebalance(rd_kafka_t* client, rd_kafka_resp_err_t what,
                        rd_kafka_topic_partition_list_t* partitions, void* opaque) {
    KafkaSource& self = *static_cast<Context*>(static_cast<ClientContext*>(opaque))->source;
    if (self.leaving_ || (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
                          what != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
      rd_kafka_assign(client, nullptr);
      return;
    }
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      self.assignment_.reset(rd_kafka_topic_partition_list_copy(partitions));
      self.assign_pending_ = true;
      self.position_retry_at_ = {};
      self.events_.push_back(stream::Assigned{static_cast<size_t>(partitions->cnt)});
    } else {
      self.events_.push_back(stream::Revoked{rd_kafka_assignment_lost(client) != 0});
    }
  }

  static int Statistics(rd_kafka_t*, char* json, size_t size, void* opaque) {
    KafkaSource& self = *static_cast<Context*>(static_cast<ClientContext*>(opaque))->source;
    int64_t bytes = SumStatistic(std::string_view(json, size), "fetchq_size");
    base::MutexLock lock(self.mutex_);
    self.snapshot_.read_ahead_bytes = bytes;
    return 0;  // librdkafka frees the document
  }
};

KafkaSource::KafkaSource(SourceOptions options)
    : options_(std::move(options)), renewal_(options_.connection) {
  context_.log = options_.connection.log;
  context_.source = this;
}

KafkaSource::~KafkaSource() {
  Leave();
  ends_.reset();
  queue_.reset();
}

absl::StatusOr<std::unique_ptr<KafkaSource>> KafkaSource::Create(SourceOptions options) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<KafkaSource> source(new KafkaSource(std::move(options)));
  SLUICE_RETURN_IF_ERROR(source->Connect());
  return source;
}

absl::Status KafkaSource::Connect() {
  const SourceOptions& o = options_;
  Settings settings = {
      {"group.id", o.group},
      // Eager: a cooperative rebalance with open transactions loses the assignment before 2.10.
      {"partition.assignment.strategy", "range,roundrobin"},
      {"session.timeout.ms", std::to_string(o.session_timeout_ms)},
      {"heartbeat.interval.ms", std::to_string(std::min(3'000, o.session_timeout_ms / 6))},
      {"max.poll.interval.ms", std::to_string(o.poll_interval_max_ms)},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"isolation.level", "read_committed"},
      {"check.crcs", "true"},
      {"auto.offset.reset", "error"},
      {"allow.auto.create.topics", "false"},
      {"enable.partition.eof", "false"},
      {"queued.max.messages.kbytes", std::to_string(o.read_ahead_kib)},
      {"queued.min.messages", "100000"},
      {"fetch.message.max.bytes", std::to_string(o.fetch_partition_kib * 1024)},
      {"fetch.max.bytes",
       std::to_string(std::max(o.read_ahead_kib / 8, o.fetch_partition_kib) * 1024)},
      {"fetch.wait.max.ms", std::to_string(o.fetch_wait_max_ms)},
      {"fetch.queue.backoff.ms", "5"},
      {"fetch.error.backoff.ms", "100"},
      {"statistics.interval.ms", "1000"},
  };
  if (!o.instance.empty()) settings.emplace_back("group.instance.id", o.instance);
  SLUICE_ASSIGN_OR_RETURN(ConfPtr conf, MakeConf(o.connection, settings, &context_));
  rd_kafka_conf_set_rebalance_cb(conf.get(), Callbacks::Rebalance);
  rd_kafka_conf_set_stats_cb(conf.get(), Callbacks::Statistics);
  SLUICE_ASSIGN_OR_RETURN(client_, MakeClient(ClientKind::kConsumer, std::move(conf)));
  rd_kafka_poll_set_consumer(client_.get());
  queue_.reset(rd_kafka_queue_get_consumer(client_.get()));
  ends_.emplace(client_.get(), kEndsTimeoutMs);
  return absl::OkStatus();
}

absl::Status KafkaSource::Start() {
  for (const std::string& name : options_.topics) {
    TopicPtr topic(rd_kafka_topic_new(client_.get(), name.c_str(), nullptr));
    const rd_kafka_metadata_t* metadata = nullptr;
    SLUICE_RETURN_IF_ERROR(
        ToStatus(rd_kafka_metadata(client_.get(), 0, topic.get(), &metadata, kStartTimeoutMs),
                 "kafka.brokers: look up the input topic"));
    rd_kafka_resp_err_t error = metadata->topics[0].err;
    rd_kafka_metadata_destroy(metadata);
    SLUICE_RETURN_IF_ERROR(ToStatus(error, base::StrCat("input topic ", name)));
  }
  return Subscribe();
}

absl::Status KafkaSource::Subscribe() {
  PartitionListPtr topics(
      rd_kafka_topic_partition_list_new(static_cast<int>(options_.topics.size())));
  for (const std::string& name : options_.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), name.c_str(), RD_KAFKA_PARTITION_UA);
  }
  return ToStatus(rd_kafka_subscribe(client_.get(), topics.get()), "subscribe");
}

// A static member whose join the broker carried out after it had been given up (a broker that
// froze) is fenced by itself, and librdkafka's consumer is dead from then on. So the first time it
// is replaced; a second time soon after means a live twin.
void KafkaSource::CheckFatal() {
  char text[512];
  rd_kafka_resp_err_t error = rd_kafka_fatal_error(client_.get(), text, sizeof(text));
  if (dead_ || error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
  dead_ = true;
  auto now = steady_clock::now();
  if (error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && died_at_ && now - *died_at_ < kTwinWindow) {
    fault_ = stream::Unreadable{absl::AlreadyExistsError(base::StrCat(
        "another live member of the group has this instance name; give every replica its own: ",
        text))};
  }
  died_at_ = now;
  // What it has read is no longer its own.
  events_.clear();
  events_.push_back(stream::Revoked{.lost = true});
}

// As a rebalance: what is under way is committed first.
void KafkaSource::Renew() {
  if (renewing_ || dead_ || !events_.empty() || !renewal_.Due()) return;
  renewing_ = true;
  events_.push_back(stream::Revoked{.lost = false});
}

void KafkaSource::Replace() {
  dead_ = renewing_ = false;
  ends_.reset();
  queue_.reset();
  leaving_ = true;  // it may still be a member, and be told so
  client_.reset();
  leaving_ = false;
  events_.clear();
  renewal_.Done();
  absl::Status joined = Connect();
  if (joined.ok()) joined = Subscribe();
  if (!joined.ok()) fault_ = stream::Unreadable{joined};
}

SourceEvent KafkaSource::Poll(size_t records_max, milliseconds wait) {
  // A revocation that waits to be handed out has overtaken them.
  if ((assign_pending_ || rewind_pending_) && events_.empty() && !dead_) TryPosition();
  CheckFatal();
  Renew();
  bool positioned = !assign_pending_ && !rewind_pending_;
  if (!dead_) SetFlow(records_max > 0);
  if (records_max > 0) Free(std::exchange(handed_out_, 0));

  if (!dead_ && !renewing_ && (messages_.empty() || records_max == 0)) {
    if (!events_.empty() || fault_) wait = milliseconds(0);
    Fetch(std::max<size_t>(records_max, 1), positioned ? wait : std::min(wait, kPositionRetry));
    // Read before the rewind: not what comes next.
    if (rewind_pending_) Free(messages_.size());
  }
  if (steady_clock::now() >= snapshot_at_ && !dead_) TakeSnapshot();

  if (records_max > 0 && !messages_.empty() && !dead_ && !renewing_) {
    handed_out_ = std::min(records_max, messages_.size());
    return View();
  }
  if (fault_ && dead_) return *std::exchange(fault_, std::nullopt);
  if (!events_.empty()) {
    SourceEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  if (fault_) return *std::exchange(fault_, std::nullopt);
  return stream::Nothing{};
}

void KafkaSource::Fetch(size_t count_max, milliseconds wait) {
  // librdkafka waits until the batch is full, so only the first message is waited for.
  size_t old = messages_.size();
  messages_.resize(old + count_max);
  ssize_t got = rd_kafka_consume_batch_queue(queue_.get(), static_cast<int>(wait.count()),
                                             messages_.data() + old, 1);
  if (got == 1 && count_max > 1) {
    ssize_t more =
        rd_kafka_consume_batch_queue(queue_.get(), 0, messages_.data() + old + 1, count_max - 1);
    got += std::max<ssize_t>(more, 0);
  }
  size_t end = old + static_cast<size_t>(std::max<ssize_t>(got, 0));
  size_t good = old;
  while (good < end && (fault_ == std::nullopt)) {
    if (messages_[good]->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++good;
    } else if (Check(*messages_[good])) {
      rd_kafka_message_destroy(messages_[good]);
      messages_.erase(messages_.begin() + static_cast<ptrdiff_t>(good));
      --end;
    }
  }
  // What lies behind a fault must not be processed: there is a gap before it.
  for (size_t i = good; i < end; ++i) rd_kafka_message_destroy(messages_[i]);
  messages_.resize(good);
}

bool KafkaSource::Check(const rd_kafka_message_t& message) {
  rd_kafka_resp_err_t error = message.err;
  std::string text = message.payload == nullptr
                         ? rd_kafka_err2str(error)
                         : std::string(static_cast<const char*>(message.payload), message.len);
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
      fault_ = stream::Unreadable{
          absl::DataLossError(base::StrCat("the log no longer holds the next record (truncated, or "
                                           "aged out); decide where to go on and "
                                           "set the group's offset: ",
                                           text))};
      return false;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      fault_ = stream::Unreadable{
          absl::Status(StatusCodeOf(error), base::StrCat(text, AclAdvice(error)))};
      return false;
    default:
      break;
  }
  // An error of a partition (bad checksum, unknown compression) has skipped a batch; any other is a
  // connection's, which librdkafka mends, or the group's, which a rebalance follows.
  if (message.rkt == nullptr || error == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) return true;
  fault_ = stream::Interrupted{std::move(text)};
  return false;
}

stream::Records KafkaSource::View() {
  records_.clear();
  next_.clear();
  Position* next = nullptr;
  for (size_t i = 0; i < handed_out_; ++i) {
    const rd_kafka_message_t& message = *messages_[i];
    InputRecord& record = records_.emplace_back();
    record.topic = TopicName(message.rkt);
    record.partition = message.partition;
    record.offset = message.offset;
    record.key = Bytes(message.key, message.key_len);
    record.value = Bytes(message.payload, message.len);
    rd_kafka_timestamp_type_t type;
    record.timestamp_ms = rd_kafka_message_timestamp(&message, &type);
    ReadHeaders(message, record);

    if (next == nullptr || next->partition != record.partition || next->topic != record.topic) {
      auto same = std::find_if(next_.begin(), next_.end(), [&](const Position& other) {
        return other.partition == record.partition && other.topic == record.topic;
      });
      next = same != next_.end() ? &*same
                                 : &next_.emplace_back(Position{record.topic, record.partition});
    }
    next->offset = record.offset + 1;
    // The chunk's last record of the partition decides.
    bool last = i + 1 == handed_out_ || messages_[i + 1]->partition != message.partition ||
                messages_[i + 1]->rkt != message.rkt;
    if (last) {
      next->leader_epoch = rd_kafka_message_leader_epoch(&message);
      ProgressOf(record.topic, record.partition).timestamp_ms = record.timestamp_ms;
    }
  }
  return {records_, next_};
}

KafkaSource::Progress& KafkaSource::ProgressOf(std::string_view topic, int32_t partition) {
  for (Progress& progress : progress_) {
    if (progress.partition == partition && progress.topic == topic) return progress;
  }
  return progress_.emplace_back(
      Progress{*topic_names_.insert(std::string(topic)).first, partition});
}

std::string_view KafkaSource::TopicName(const rd_kafka_topic_t* topic) {
  if (topic != last_topic_) {
    last_topic_ = topic;
    last_topic_name_ = *topic_names_.insert(rd_kafka_topic_name(topic)).first;
  }
  return last_topic_name_;
}

void KafkaSource::Free(size_t count) {
  for (size_t i = 0; i < count; ++i) rd_kafka_message_destroy(messages_[i]);
  messages_.erase(messages_.begin(), messages_.begin() + static_cast<ptrdiff_t>(count));
}

void KafkaSource::SetFlow(bool flow) {
  if (flow == flowing_ || assignment_ == nullptr || assign_pending_) return;
  PartitionListPtr list(rd_kafka_topic_partition_list_copy(assignment_.get()));
  if (flow) {
    rd_kafka_resume_partitions(client_.get(), list.get());
  } else {
    rd_kafka_pause_partitions(client_.get(), list.get());
  }
  flowing_ = flow;
}

void KafkaSource::Acknowledge() {
  handed_out_ = 0;
  Free(messages_.size());
  if (!dead_) SetFlow(true);  // librdkafka keeps a partition paused through its next assignment
  fault_.reset();
  assignment_.reset();
  flowing_ = true;
  assign_pending_ = rewind_pending_ = false;
  progress_.clear();
  last_topic_ = nullptr;
  ends_->Forget();
  if (dead_ || renewing_) return Replace();
  rd_kafka_assign(client_.get(), nullptr);
}

void KafkaSource::Rewind() {
  handed_out_ = 0;
  Free(messages_.size());
  fault_.reset();
  progress_.clear();
  rewind_pending_ = assignment_ != nullptr && assignment_->cnt > 0 && !dead_;
  position_retry_at_ = {};
}

// Positions are read from the group's coordinator: what a transaction holds pending makes it wait.
void KafkaSource::TryPosition() {
  if (steady_clock::now() < position_retry_at_) return;
  position_retry_at_ = steady_clock::now() + kPositionRetry;
  PartitionListPtr list(rd_kafka_topic_partition_list_copy(assignment_.get()));
  rd_kafka_resp_err_t error =
      list->cnt == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR
                     : rd_kafka_committed(client_.get(), list.get(), kPositionTimeoutMs);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (context_.log) context_.log(4, "POSITION", rd_kafka_err2str(error));
    return;
  }
  for (int i = 0; i < list->cnt; ++i) {
    rd_kafka_topic_partition_t& partition = list->elems[i];
    if (partition.err != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    if (partition.offset < 0) partition.offset = RD_KAFKA_OFFSET_BEGINNING;
  }
  if (assign_pending_) {
    if (rd_kafka_assign(client_.get(), list.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) return;
  } else {
    ErrorPtr failed(rd_kafka_seek_partitions(client_.get(), list.get(), kPositionTimeoutMs));
    if (failed != nullptr) return;
    for (int i = 0; i < list->cnt; ++i) {
      if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    }
  }
  assign_pending_ = rewind_pending_ = false;
  for (int i = 0; i < list->cnt; ++i) assignment_->elems[i].offset = list->elems[i].offset;
}

absl::StatusOr<std::vector<Position>> KafkaSource::Committed(std::span<const Position> of) {
  PartitionListPtr list = ListOf(of);
  SLUICE_RETURN_IF_ERROR(ToStatus(rd_kafka_committed(client_.get(), list.get(), kPositionTimeoutMs),
                                  "read committed positions"));
  std::vector<Position> positions;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& partition = list->elems[i];
    SLUICE_RETURN_IF_ERROR(ToStatus(partition.err, "read committed positions"));
    positions.push_back(
        {of[i].topic, partition.partition, std::max<int64_t>(partition.offset, -1)});
  }
  return positions;
}

void KafkaSource::Leave() {
  if (std::exchange(leaving_, true) || client_ == nullptr) return;
  handed_out_ = 0;
  Free(messages_.size());
  rd_kafka_consumer_close(client_.get());
  base::MutexLock lock(mutex_);
  snapshot_ = {};
}

GroupMetadataPtr KafkaSource::group_metadata() const {
  return GroupMetadataPtr(rd_kafka_consumer_group_metadata(client_.get()));
}

void KafkaSource::TakeSnapshot() {
  snapshot_at_ = steady_clock::now() + kSnapshotInterval;
  int64_t now_ms = base::SystemClock().UnixMillis();
  std::vector<PartitionSnapshot> partitions;
  if (assignment_ != nullptr && !assign_pending_) {
    if (flowing_) {
      ends_->Forget();
    } else {
      ends_->Refresh(*assignment_);
    }
    // The client's position, because it also counts the markers of the input's own transactions.
    PartitionListPtr list(rd_kafka_topic_partition_list_copy(assignment_.get()));
    rd_kafka_position(client_.get(), list.get());
    for (int i = 0; i < list->cnt; ++i) {
      const rd_kafka_topic_partition_t& elem = list->elems[i];
      PartitionSnapshot& partition = partitions.emplace_back();
      partition.topic = elem.topic;
      partition.partition = elem.partition;
      // Before the first record it has no position: what is committed is where it will begin.
      int64_t offset = elem.offset >= 0 ? elem.offset : assignment_->elems[i].offset;
      partition.next_offset = std::max<int64_t>(offset, -1);
      partition.lag_records = LagOf(partition);
      Progress& progress = ProgressOf(elem.topic, elem.partition);
      if (progress.seen_ms < 0) progress.seen_ms = now_ms;
      if (partition.lag_records == 0) progress.caught_up_ms = now_ms;
      partition.last_timestamp_ms = progress.timestamp_ms;
      partition.caught_up_ms = progress.caught_up_ms;
      partition.seen_ms = progress.seen_ms;
    }
  }
  base::MutexLock lock(mutex_);
  snapshot_.partitions = std::move(partitions);
}

int64_t KafkaSource::LagOf(const PartitionSnapshot& partition) const {
  int64_t low = 0;
  int64_t end = 0;  // what the last fetch saw
  if (rd_kafka_get_watermark_offsets(client_.get(), partition.topic.c_str(), partition.partition,
                                     &low, &end) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    end = -1;
  }
  end = std::max(end, ends_->Find(partition.topic, partition.partition).value_or(-1));
  if (end < 0 || partition.next_offset < 0) return -1;
  return std::max<int64_t>(end - partition.next_offset, 0);
}

SourceSnapshot KafkaSource::snapshot() const {
  base::MutexLock lock(mutex_);
  return snapshot_;
}

}  // namespace sluice::kafka
