#include "common/kafka/source.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/status.h"
#include "common/stream/mutant.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using stream::InputRecord;
using stream::Position;
using stream::SourceEvent;

constexpr milliseconds kStartTimeout(15'000);
// Short, so that a rebalance is seen in between.
constexpr milliseconds kPositionTimeout(2'000);
constexpr milliseconds kPositionRetry(100);
constexpr milliseconds kReconnectRetry(1'000);
constexpr milliseconds kAskInterval(1'000);
// A snapshot that waits for an answer for longer does without.
constexpr milliseconds kSnapshotInterval(2'000);
constexpr milliseconds kLogAgeMax(30'000);
constexpr milliseconds kSilenceMax(15'000);
// A broker that has just started may not know each topic yet.
constexpr milliseconds kMissingMin(5'000);
// Nothing is handed out while it isn't known for longer whether the topic is still the one: after
// an outage it may be another.
constexpr milliseconds kIdentityAgeMax(10'000);
constexpr std::chrono::minutes kTwinWindow(1);
// Who reads for so long without being refused may.
constexpr milliseconds kReadsMin(3'000);

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
           Range{"metadata_age_max_ms", options.metadata_age_max_ms, 1'000, 300'000},
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

const base::Clock& SystemTime() {
  static const base::SystemClock clock;
  return clock;
}

rd_kafka_resp_err_t Rd(ErrorCode error) { return static_cast<rd_kafka_resp_err_t>(error); }

bool IsMissing(ErrorCode error) { return absl::StatusCode::kNotFound == StatusCodeOf(Rd(error)); }

// What waiting and asking again doesn't mend.
bool NeedsAPerson(ErrorCode error) {
  return StatusCodeOf(Rd(error)) == absl::StatusCode::kPermissionDenied;
}

}  // namespace

KafkaSource::KafkaSource(SourceOptions options, ClientFactory& factory, const base::Clock& clock)
    : options_(std::move(options)),
      factory_(factory),
      clock_(clock),
      heard_(clock.Now()),
      renewal_(options_.connection) {}

KafkaSource::~KafkaSource() { Leave(); }

absl::StatusOr<std::unique_ptr<KafkaSource>> KafkaSource::Create(SourceOptions options) {
  return Create(std::move(options), RdKafka(), SystemTime());
}

absl::StatusOr<std::unique_ptr<KafkaSource>> KafkaSource::Create(SourceOptions options,
                                                                 ClientFactory& factory,
                                                                 const base::Clock& clock) {
  SLUICE_RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<KafkaSource> source(new KafkaSource(std::move(options), factory, clock));
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
  if (!options_.connection.properties.contains("topic.metadata.refresh.interval.ms")) {
    settings.emplace_back(
        "topic.metadata.refresh.interval.ms",
        SLUICE_MUTANT("old_metadata") ? "300000" : std::to_string(o.metadata_age_max_ms));
  }
  if (!o.instance.empty()) settings.emplace_back("group.instance.id", o.instance);
  SLUICE_ASSIGN_OR_RETURN(client_, factory_.MakeConsumer(o.connection, settings, *this));
  flowing_ = true;
  return absl::OkStatus();
}

absl::Status KafkaSource::Start() {
  for (const std::string& name : options_.topics) {
    SLUICE_RETURN_IF_ERROR(ToStatus(Rd(client_->LookUp(name, kStartTimeout)),
                                    base::StrCat("kafka.brokers: look up input topic ", name)));
  }
  return Join();
}

absl::Status KafkaSource::Join() {
  return ToStatus(Rd(client_->Subscribe(options_.topics)), "subscribe");
}

void KafkaSource::OnAssign(PartitionOffsets partitions) {
  size_t count = partitions.size();
  state_ = Positioning{std::move(partitions), clock_.Now(), {}, ""};
  events_.push_back(stream::Assigned{count});
}

void KafkaSource::OnRevoke(bool lost) { events_.push_back(stream::Revoked{lost}); }

// A static member whose join the broker carried out after it had been given up (a broker that
// froze) is fenced by itself, and librdkafka's consumer is dead from then on. So the first time it
// is replaced; a second time soon after means a live twin.
void KafkaSource::CheckFatal() {
  if (std::holds_alternative<Retiring>(state_)) return;
  std::string text;
  ErrorCode error = client_->FatalError(text);
  if (error == 0) return;
  Time now = clock_.Now();
  fault_.reset();
  if (error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && died_at_ && now - *died_at_ < kTwinWindow) {
    fault_ = stream::Unreadable{absl::AlreadyExistsError(base::StrCat(
        "another live member of the group has this instance name; give every replica its own: ",
        text))};
  }
  died_at_ = now;
  Trim();
  state_ = Retiring{};
  // What it has read is no longer its own.
  events_.clear();
  events_.push_back(stream::Revoked{.lost = true});
}

// As a rebalance: what is under way is committed first.
void KafkaSource::Renew() {
  if (std::holds_alternative<Retiring>(state_) || !events_.empty() || !renewal_.Due()) return;
  state_ = Retiring{};
  events_.push_back(stream::Revoked{.lost = false});
}

// A client in place of one that is of no more use.
void KafkaSource::Reconnect() {
  client_.reset();
  events_.clear();
  absl::Status joined = Connect();
  if (joined.ok()) {
    renewal_.Done();
    joined = Join();
  }
  if (joined.ok()) {
    state_ = Unassigned{};
    return;
  }
  client_.reset();
  state_ = NoClient{
      clock_.Now() + (SLUICE_MUTANT("client_once") ? milliseconds(1'000'000'000) : kReconnectRetry),
      std::string(base::View(joined.message()))};
  Log(4, "CLIENT", base::View(joined.message()));
}

SourceEvent KafkaSource::Poll(size_t records_max, milliseconds wait) {
  if (std::holds_alternative<Left>(state_)) return stream::Nothing{};
  if (auto* none = std::get_if<NoClient>(&state_)) {
    if (clock_.Now() < none->retry_at) options_.sleep(std::min(wait, kPositionRetry));
    if (clock_.Now() >= none->retry_at) Reconnect();
    return stream::Nothing{};
  }
  if (identified_at_ && clock_.Now() - *identified_at_ > kIdentityAgeMax &&
      !SLUICE_MUTANT("topic_by_name"))
    records_max = 0;
  // A revocation that waits to be handed out has overtaken the positions.
  if (auto* at = std::get_if<Positioning>(&state_); at != nullptr && events_.empty() && !fault_)
    TryPosition(*at);
  CheckFatal();
  Renew();
  if (records_max > 0) Free(std::exchange(handed_out_, 0));
  if (!std::holds_alternative<Retiring>(state_)) {
    SetFlow(records_max > 0);
    if (messages_.empty() || records_max == 0) {
      if (!events_.empty() || fault_) wait = milliseconds(0);
      if (!std::holds_alternative<Reading>(state_)) wait = std::min(wait, kPositionRetry);
      Fetch(std::max<size_t>(records_max, 1), wait);
      // Read before the rewind: not what comes next.
      if (!std::holds_alternative<Reading>(state_)) Trim();
    }
    Watch();
  }

  if (auto* reading = std::get_if<Reading>(&state_);
      reading != nullptr && !fault_ && clock_.Now() - reading->since > kReadsMin)
    denied_.Passed(clock_.Now());
  if (records_max > 0 && !messages_.empty() && std::holds_alternative<Reading>(state_)) {
    handed_out_ = std::min(records_max, messages_.size());
    return View();
  }
  if (fault_ && std::holds_alternative<Retiring>(state_)) return TakeFault();
  if (!events_.empty()) {
    SourceEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  if (fault_) return TakeFault();
  return stream::Nothing{};
}

SourceEvent KafkaSource::TakeFault() {
  PartitionOffsets committed;
  if (const PartitionOffsets* mine = partitions()) committed = *mine;
  {
    base::MutexLock lock(mutex_);
    std::erase_if(committed, [this](const PartitionOffset& partition) {
      const Topic& topic = topics_[partition.topic];
      return topic.other.empty() || topic.told;
    });
  }
  // Without these a resume couldn't tell whether they have been set anew: it is told a little
  // later.
  if (!committed.empty() && client_->Committed(committed, kPositionTimeout) != 0)
    return stream::Nothing{};
  base::MutexLock lock(mutex_);
  for (const PartitionOffset& partition : committed)
    topics_[partition.topic].stale[partition.partition] = partition.offset;
  for (auto& [name, topic] : topics_) topic.told = !topic.other.empty();
  return *std::exchange(fault_, {});
}

// The offsets of a topic that is gone say nothing of the one that has its name now.
absl::Status KafkaSource::Accept(const PartitionOffsets& committed) {
  base::MutexLock lock(mutex_);
  for (const PartitionOffset& at : committed) {
    Topic& topic = topics_[at.topic];
    auto stale = topic.stale.find(at.partition);
    if (options_.check_positions || !topic.told || stale == topic.stale.end() ||
        at.offset != stale->second || at.offset <= 0)
      continue;
    return absl::DataLossError(base::StrCat(
        "topic ", at.topic, " was deleted and made again, and the group still stands at ",
        at.offset, " of partition ", at.partition,
        ", which is the old one's: set its offsets, then resume"));
  }
  for (const PartitionOffset& at : committed) {
    Topic& topic = topics_[at.topic];
    if (!std::exchange(topic.told, false)) continue;
    topic.id = std::exchange(topic.other, "");
    topic.stale.clear();
  }
  return absl::OkStatus();
}

void KafkaSource::Fetch(size_t count_max, milliseconds wait) {
  size_t good = messages_.size();
  client_->Fetch(count_max, wait, messages_);
  for (size_t i = good; i < messages_.size(); ++i) {
    // What lies behind a fault must not be processed: there is a gap before it.
    bool fit = messages_[i].error == 0 && (!fault_ || SLUICE_MUTANT("read_behind_a_fault"));
    if (messages_[i].error != 0 && !fault_) Check(messages_[i]);
    if (fit) std::swap(messages_[good++], messages_[i]);
  }
  client_->Release(std::span(messages_).subspan(good));
  messages_.resize(good);
}

void KafkaSource::Check(const Message& message) {
  auto error = Rd(message.error);
  std::string where;
  if (message.of_partition) {
    where = base::StrCat("topic ", message.record.topic, ", partition ", message.record.partition,
                         ": ");
  } else {
    for (const std::string& topic : options_.topics)
      base::StrAppend(where, where.empty() ? "topic " : ", ", topic);
    where += ": ";
  }
  std::string text = base::StrCat(where, client_->TextOf(message));
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
      fault_ = stream::Unreadable{absl::DataLossError(
          base::StrCat("the log no longer holds the next record (truncated, or aged out); decide "
                       "where to go on, set the group's offset, then resume: ",
                       text))};
      return;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      fault_ = stream::Unreadable{absl::Status(StatusCodeOf(error), text)};
      return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      fault_ = stream::Unreadable{
          Denied(Access::kReadInput,
                 message.of_partition ? std::string(message.record.topic) : options_.topics.front(),
                 text)};
      return;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      fault_ = stream::Unreadable{Denied(Access::kJoinGroup, options_.group, text)};
      return;
    default:
      break;
  }
  // An error of a partition (bad checksum, unknown compression) has skipped a batch; any other is a
  // connection's, which librdkafka mends, or the group's, which a rebalance follows.
  if (!message.of_partition || error == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) return;
  fault_ = stream::Interrupted{std::move(text)};
}

stream::Records KafkaSource::View() {
  records_.clear();
  headers_.clear();
  header_ends_.clear();
  next_.clear();
  Position* next = nullptr;
  std::string_view id;
  for (size_t i = 0; i < handed_out_; ++i) {
    const Message& message = messages_[i];
    InputRecord& record = records_.emplace_back(message.record);
    record.topic = Intern(message.record.topic);
    if (i == 0 || records_[i - 1].topic.data() != record.topic.data()) {
      // Changed by this thread alone.
      base::MutexLock lock(mutex_);
      auto topic = topics_.find(record.topic);
      id = topic == topics_.end() ? std::string_view() : topic->second.id;
    }
    record.topic_id = id;
    client_->Headers(message, headers_);
    header_ends_.push_back(headers_.size());

    if (next == nullptr || next->partition != record.partition ||
        next->topic.data() != record.topic.data()) {
      auto same = std::find_if(next_.begin(), next_.end(), [&](const Position& other) {
        return other.partition == record.partition && other.topic.data() == record.topic.data();
      });
      next = same != next_.end() ? &*same
                                 : &next_.emplace_back(Position{record.topic, record.partition});
    }
    next->offset = record.offset + (SLUICE_MUTANT("off_by_one") ? 0 : 1);
    // The chunk's last record of the partition decides.
    bool last = i + 1 == handed_out_ || messages_[i + 1].record.partition != record.partition ||
                messages_[i + 1].record.topic.data() != message.record.topic.data();
    if (last) {
      next->leader_epoch = message.leader_epoch;
      ProgressOf(record.topic, record.partition).timestamp_ms = record.timestamp_ms;
    }
  }
  // Only now: the headers move while they are read.
  std::span<const stream::Header> headers = headers_;
  for (size_t i = 0, begin = 0; i < records_.size(); begin = header_ends_[i++])
    records_[i].headers = headers.subspan(begin, header_ends_[i] - begin);
  return {records_, next_};
}

KafkaSource::Progress& KafkaSource::ProgressOf(std::string_view topic, int32_t partition) {
  auto found = progress_.find({topic, partition});
  if (found == progress_.end())
    found = progress_.emplace(std::pair(Intern(topic), partition), Progress{}).first;
  return found->second;
}

std::string_view KafkaSource::Intern(std::string_view topic) {
  if (topic.data() == last_topic_.first && topic.size() == last_topic_.second.size()) [[likely]]
    return last_topic_.second;
  auto found = topic_names_.find(topic);
  if (found == topic_names_.end()) found = topic_names_.emplace(topic).first;
  last_topic_ = {topic.data(), *found};
  return *found;
}

void KafkaSource::Free(size_t count) {
  client_->Release(std::span(messages_).first(count));
  messages_.erase(messages_.begin(), messages_.begin() + static_cast<ptrdiff_t>(count));
}

// What has been read and isn't to be handed out any more; what has been stays.
void KafkaSource::Trim() {
  client_->Release(std::span(messages_).subspan(handed_out_));
  messages_.resize(handed_out_);
}

void KafkaSource::Drop() {
  handed_out_ = 0;
  if (client_ != nullptr && !SLUICE_MUTANT("read_ahead_survives_rewind")) Free(messages_.size());
  fault_.reset();
  last_topic_ = {};
}

const PartitionOffsets* KafkaSource::partitions() const {
  if (auto* at = std::get_if<Positioning>(&state_)) return &at->partitions;
  if (auto* reading = std::get_if<Reading>(&state_)) return &reading->partitions;
  return nullptr;
}

void KafkaSource::SetFlow(bool flow) {
  auto* reading = std::get_if<Reading>(&state_);
  if (flow == flowing_ || reading == nullptr) return;
  if (flow) {
    if (!SLUICE_MUTANT("flow_stays_off")) client_->Resume(reading->partitions);
  } else {
    client_->Pause(reading->partitions);
  }
  flowing_ = flow;
}

void KafkaSource::Acknowledge() {
  Drop();
  progress_.clear();
  if (std::holds_alternative<Retiring>(state_)) return Reconnect();
  if (client_ == nullptr) return;
  // A partition stays paused through its next assignment.
  if (const PartitionOffsets* mine = partitions(); mine != nullptr && !flowing_)
    client_->Resume(*mine);
  flowing_ = true;
  state_ = Unassigned{};
  if (!SLUICE_MUTANT("never_acknowledged")) client_->Assign({});
}

void KafkaSource::Rewind() {
  Drop();
  {
    base::MutexLock lock(mutex_);
    for (auto& [name, topic] : topics_) topic.missing_since.reset();
  }
  const PartitionOffsets* mine = partitions();
  if (mine == nullptr || SLUICE_MUTANT("no_rewind")) return;
  state_ = Positioning{*mine, clock_.Now(), {}, ""};
}

// Positions are read from the group's coordinator: what a transaction holds pending makes it wait.
// Reading begins with an assignment also where the partitions stay the same: it works in whatever
// state their fetching is in, and a seek doesn't once an offset was out of range.
void KafkaSource::TryPosition(Positioning& at) {
  if (clock_.Now() < at.retry_at) return;
  at.retry_at = clock_.Now() + kPositionRetry;
  PartitionOffsets positions = at.partitions;
  ErrorCode error = client_->Committed(positions, kPositionTimeout);
  for (const PartitionOffset& partition : positions)
    if (error == 0) error = partition.error;
  if (error == 0) {
    if (absl::Status accepted = Accept(positions); !accepted.ok())
      return Refuse(at, std::move(accepted));
    if (!MayBegin(at, positions)) return;
  }
  for (PartitionOffset& partition : positions)
    if (partition.offset < 0) partition.offset = kOffsetBeginning;
  if (error == 0) error = client_->Assign(positions);
  if (error != 0) {
    at.reason = base::StrCat("the group's positions can't be read: ", rd_kafka_err2str(Rd(error)));
    Log(4, "POSITION", at.reason);
    if (NeedsAPerson(error)) {
      const bool group = error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
      Refuse(at, Denied(group ? Access::kJoinGroup : Access::kLookUpInput,
                        group ? options_.group : options_.topics.front(), at.reason));
    }
    return;
  }
  state_ = Reading{std::move(positions), clock_.Now()};
}

absl::Status KafkaSource::Denied(Access access, std::string_view resource, std::string_view text) {
  BrokerFailure failure = PermissionFailure(access, resource);
  std::string reason = base::StrCat(failure.text, " (", text, ")");
  failure.text = reason;
  denied_.Met(std::move(failure), clock_.Now());
  if (options_.connection.log) options_.connection.log(3, "DENIED", reason);
  return absl::PermissionDeniedError(reason);
}

std::optional<BrokerFailure> KafkaSource::failure() const {
  std::optional<BrokerFailure> denied = denied_.get();
  return denied ? denied : snapshot().failure;
}

// Not before a Rewind. The group must not wait for this member meanwhile: the partitions are
// assigned to it all the same, at their ends, and nothing of them is handed out.
void KafkaSource::Refuse(Positioning& at, absl::Status why) {
  at.reason = std::string(base::View(why.message()));
  at.retry_at = Time::max();
  PartitionOffsets ends = at.partitions;
  for (PartitionOffset& partition : ends) partition.offset = kOffsetEnd;
  client_->Assign(ends);
  fault_ = stream::Unreadable{std::move(why)};
}

bool KafkaSource::MayBegin(Positioning& at, const PartitionOffsets& committed) {
  if (!options_.check_positions) return true;
  std::vector<CommittedPosition> positions;
  for (const PartitionOffset& partition : committed) {
    positions.push_back({partition.topic, partition.partition,
                         std::max<int64_t>(partition.offset, -1), partition.metadata});
  }
  std::optional<absl::Status> checked = options_.check_positions(positions);
  if (!checked) {
    at.reason = "what is recorded beside the results isn't known yet";
    return false;
  }
  if (absl::IsPermissionDenied(*checked)) {
    Refuse(at, Denied(Access::kReadPositions, "", base::View(checked->message())));
  } else if (!checked->ok()) {
    Refuse(at, *checked);
  }
  return checked->ok();
}

absl::StatusOr<std::vector<Position>> KafkaSource::Committed(std::span<const Position> of) {
  if (client_ == nullptr) return absl::UnavailableError("read committed positions: no client");
  PartitionOffsets partitions;
  for (const Position& position : of)
    partitions.push_back({std::string(position.topic), position.partition});
  SLUICE_RETURN_IF_ERROR(
      ToStatus(Rd(client_->Committed(partitions, kPositionTimeout)), "read committed positions"));
  std::vector<Position> positions;
  for (size_t i = 0; i < partitions.size(); ++i) {
    SLUICE_RETURN_IF_ERROR(ToStatus(Rd(partitions[i].error), "read committed positions"));
    positions.push_back(
        {of[i].topic, of[i].partition, std::max<int64_t>(partitions[i].offset, -1)});
  }
  return positions;
}

bool KafkaSource::Owns(std::string_view topic, int32_t partition) const {
  const PartitionOffsets* mine = partitions();
  return mine != nullptr && std::any_of(mine->begin(), mine->end(), [&](const auto& at) {
           return at.partition == partition && at.topic == topic;
         });
}

void KafkaSource::Leave() {
  if (std::holds_alternative<Left>(state_)) return;
  Drop();
  state_ = Left{};
  if (client_ != nullptr) client_->Close(options_.leave);
  base::MutexLock lock(mutex_);
  snapshot_ = {};
}

std::unique_ptr<GroupMetadata> KafkaSource::group_metadata() const {
  return client_ == nullptr ? nullptr : client_->Metadata();
}

std::string KafkaSource::Trouble() const {
  Time now = clock_.Now();
  if (auto* none = std::get_if<NoClient>(&state_))
    return base::StrCat("no Kafka client can be made, it is tried again: ", none->reason);
  if (now - heard_ >= kSilenceMax) {
    std::string refusal = client_ == nullptr ? "" : client_->Refusal();
    return base::StrCat("no broker answers", refusal.empty() ? "" : ": ", refusal);
  }
  if (identified_at_ && now - *identified_at_ >= kSilenceMax)
    return "no broker says whether the input topic is still the one that was read";
  auto* at = std::get_if<Positioning>(&state_);
  if (at != nullptr && now - at->since >= kSilenceMax) {
    return at->reason.empty() ? "the group's positions can't be read" : at->reason;
  }
  return std::holds_alternative<Reading>(state_) ? unheard_ : "";
}

// What is asked in the background.
void KafkaSource::Watch() {
  heard_ = std::max(heard_, client_->last_heard());
  Time now = clock_.Now();
  if (now >= ask_at_) {
    ask_at_ = now + kAskInterval;
    client_->AskTopics(options_.topics);
    if (const PartitionOffsets* mine = partitions()) client_->AskLogOffsets(*mine);
  }
  if (auto topics = client_->TakeTopics()) CheckTopics(*topics);
  if (auto logs = client_->TakeLogOffsets()) {
    for (LogOffsets& log : *logs) {
      if (log.end < 0) continue;
      Progress& progress = ProgressOf(log.topic, log.partition);
      progress.heard = now;
      progress.log = std::move(log);
    }
    // Now, so that what has been read and where the log ends are of one moment.
    snapshot_at_ = now;
  }
  if (now >= snapshot_at_) TakeSnapshot();
}

void KafkaSource::CheckTopics(const std::vector<TopicIdentity>& answer) {
  if (!answer.empty()) identified_at_ = clock_.Now();
  base::MutexLock lock(mutex_);
  for (const TopicIdentity& found : answer) {
    Topic& topic = topics_[found.topic];
    if (IsMissing(found.error)) {
      if (!topic.missing_since) topic.missing_since = clock_.Now();
      if (clock_.Now() - *topic.missing_since < kMissingMin || fault_) continue;
      fault_ = stream::Unreadable{absl::NotFoundError(
          base::StrCat("topic ", found.topic,
                       " has been deleted; what it still held is lost: make it again and resume"))};
      Trim();
    }
    if (found.error != 0 || found.id.empty()) continue;
    topic.missing_since.reset();
    if (topic.id.empty() || SLUICE_MUTANT("topic_by_name")) topic.id = found.id;
    if (topic.id == found.id || topic.other == found.id) {
      if (topic.id == found.id || topic.told) continue;
    }
    topic.other = found.id;
    topic.told = false;
    // What has been read since the last look may be the other's.
    Trim();
    Log(3, "TOPIC", base::StrCat(found.topic, " is another topic of this name"));
    fault_ = stream::Unreadable{absl::DataLossError(base::StrCat(
        "topic ", found.topic, " has been deleted and made again (id ", topic.id, ", now ",
        found.id,
        "): the group's offsets are the old one's; set them to where to begin in the new one, then "
        "resume"))};
  }
}

void KafkaSource::TakeSnapshot() {
  Time now = clock_.Now();
  snapshot_at_ = now + kSnapshotInterval;
  int64_t now_ms = clock_.UnixMillis();
  unheard_.clear();
  std::vector<PartitionSnapshot> snapshots;
  if (const PartitionOffsets* mine = partitions()) {
    // The client's position, because it also counts the markers of the input's own transactions.
    PartitionOffsets positions = *mine;
    client_->Positions(positions);
    for (size_t i = 0; i < positions.size(); ++i) {
      const PartitionOffset& at = positions[i];
      PartitionSnapshot& partition = snapshots.emplace_back();
      partition.topic = at.topic;
      partition.partition = at.partition;
      Progress& progress = ProgressOf(at.topic, at.partition);
      LogOffsets log;
      if (now - progress.heard < kLogAgeMax) log = progress.log;
      auto* reading = std::get_if<Reading>(&state_);
      if (reading != nullptr && now - std::max(progress.heard, reading->since) >= kLogAgeMax) {
        unheard_ = base::StrCat("no broker says where ", at.topic, "/", at.partition,
                                " ends: is its leader down?");
      }
      // Before the first record it has no position: what is committed is where it will begin, or
      // else where the log does.
      int64_t begun = (*mine)[i].offset;
      int64_t next = at.offset >= 0 ? at.offset : begun >= 0 ? begun : log.begin;
      // Without a position nothing was asked for yet.
      if (std::holds_alternative<Positioning>(state_) && at.offset < 0) next = -1;
      partition.next_offset = next;
      if (next >= 0 && log.end >= 0)
        partition.lag_records =
            std::max<int64_t>((SLUICE_MUTANT("lag_to_stable") ? log.stable : log.end) - next, 0);
      if (next >= 0 && log.stable >= 0)
        partition.lag_stable_records = std::max<int64_t>(log.stable - next, 0);
      bool blocked = partition.lag_stable_records == 0 && partition.lag_records > 0;
      if (!blocked || progress.blocked_offset != log.stable) {
        progress.blocked_offset = blocked ? log.stable : -1;
        progress.blocked_since_ms = blocked ? now_ms : -1;
      }
      if (progress.seen_ms < 0) progress.seen_ms = now_ms;
      if (partition.lag_records == 0) progress.caught_up_ms = now_ms;
      partition.blocked_offset = progress.blocked_offset;
      partition.blocked_since_ms = progress.blocked_since_ms;
      partition.last_timestamp_ms = progress.timestamp_ms;
      partition.caught_up_ms = progress.caught_up_ms;
      partition.seen_ms = progress.seen_ms;
    }
  }
  base::MutexLock lock(mutex_);
  snapshot_.partitions = std::move(snapshots);
  snapshot_.read_ahead_bytes = client_->read_ahead_bytes();
  snapshot_.failure = client_->failure();
}

// The same text once in a row.
void KafkaSource::Log(int severity, std::string_view facility, std::string_view text) {
  if (text == logged_ || !options_.connection.log) return;
  logged_ = text;
  options_.connection.log(severity, facility, text);
}

SourceSnapshot KafkaSource::snapshot() const {
  base::MutexLock lock(mutex_);
  return snapshot_;
}

std::string KafkaSource::topic_id(std::string_view topic) const {
  base::MutexLock lock(mutex_);
  auto found = topics_.find(topic);
  return found == topics_.end() ? "" : found->second.id;
}

}  // namespace sluice::kafka
