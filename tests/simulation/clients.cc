#include "tests/simulation/clients.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cstdio>

#include "common/base/strings.h"
#include "common/stream/mutant.h"

namespace sluice::simulation {
namespace {

using kafka::CallError;
using kafka::ErrorCode;
using kafka::Message;
using kafka::PartitionOffset;
using kafka::PartitionOffsets;

constexpr int64_t kPoisonTimestamp = 4'000'000'000'000;
// How soon a client that waits sees what has come.
constexpr milliseconds kWake(3);

std::string Setting(const kafka::Settings& settings, std::string_view name) {
  for (const auto& [key, value] : settings) {
    if (key == name) return value;
  }
  return "";
}

int64_t Number(const kafka::Settings& settings, std::string_view name) {
  std::string text = Setting(settings, name);
  return text.empty() ? 0 : std::stoll(text);
}

std::optional<Source> Parse(std::string_view value) {
  Source source;
  long long offset = 0;
  if (std::sscanf(std::string(value).c_str(), "%d/%d/%lld", &source.incarnation, &source.partition,
                  &offset) != 3)
    return std::nullopt;
  source.offset = offset;
  return source;
}

class Generation final : public kafka::GroupMetadata {
 public:
  Generation(std::string name, int number) : member(std::move(name)), generation(number) {}
  const std::string member;
  const int generation;
};

class Consumer final : public kafka::ConsumerClient {
 public:
  Consumer(World& world, Network& network, const kafka::Settings& settings,
           kafka::RebalanceListener& listener)
      : world_(world),
        network_(network),
        listener_(listener),
        instance_(Setting(settings, "group.instance.id")),
        read_committed_(Setting(settings, "isolation.level") == "read_committed"),
        metadata_age_max_(milliseconds(Number(settings, "topic.metadata.refresh.interval.ms"))),
        heard_(world.Now()) {
    world_.heartbeats[this] = [this] {
      if (!Connected()) return;
      heard_ = world_.Now();
      if (Member* member = world_.FindMember(member_)) member->heard = heard_;
    };
  }
  ~Consumer() override { Close(/*leave=*/false); }

  ErrorCode LookUp(const std::string& topic, milliseconds timeout) override {
    if (!Reaches(timeout)) return RD_KAFKA_RESP_ERR__TIMED_OUT;
    return world_.HasTopic(topic) ? 0 : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  }

  ErrorCode Subscribe(const std::vector<std::string>& topics) override {
    topics_ = topics;
    return 0;
  }

  ErrorCode FatalError(std::string& text) const override {
    if (fenced_) text = "static consumer fenced";
    return fenced_ ? RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID : 0;
  }

  void Fetch(size_t count, milliseconds wait, std::vector<Message>& messages) override {
    Background();
    Serve();
    size_t before = messages.size();
    Read(count, messages);
    if (messages.size() > before) {
      if (world_.Chance(0.3)) world_.Pass(milliseconds(1));
      return;
    }
    Time until = world_.Now() + std::max(wait, milliseconds(1));
    do {
      world_.Pass(std::min(kWake, std::chrono::ceil<milliseconds>(until - world_.Now())));
      Background();
      Serve();
      Read(count, messages);
    } while (messages.size() == before && waits_ == kNothing && world_.Now() < until);
  }

  void Headers(const Message&, std::vector<stream::Header>&) const override {}

  std::string TextOf(const Message& message) const override {
    return rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(message.error));
  }
  void Release(std::span<const Message> messages) override {
    for (const Message& message : messages) delete static_cast<std::string*>(message.handle);
  }

  ErrorCode Assign(const PartitionOffsets& partitions) override {
    if (SLUICE_MUTANT("seek") && waits_ == kNothing) {
      // librdkafka doesn't seek what isn't being fetched.
      for (const auto& [partition, at] : assigned_)
        if (at.stopped) return RD_KAFKA_RESP_ERR__STATE;
    }
    if (waits_ == kRevoked && partitions.empty()) {
      waits_ = kNothing;
      rejoin_ = true;
    } else if (waits_ == kAssigned) {
      waits_ = kNothing;
    }
    assigned_.clear();
    for (const PartitionOffset& partition : partitions) {
      Fetching& at = assigned_[{partition.topic, partition.partition}];
      at.next = partition.offset;
    }
    return 0;
  }
  void Pause(const PartitionOffsets& partitions) override {
    for (const PartitionOffset& at : partitions) paused_.insert({at.topic, at.partition});
  }
  void Resume(const PartitionOffsets& partitions) override {
    for (const PartitionOffset& at : partitions) paused_.erase({at.topic, at.partition});
  }

  ErrorCode Committed(PartitionOffsets& partitions, milliseconds timeout) override {
    if (!Reaches(timeout)) return RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (world_.Chance(0.05)) return RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
    if (!world_.may_join) return RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    for (PartitionOffset& partition : partitions) {
      std::optional<World::Offset> offset =
          world_.Committed({partition.topic, partition.partition});
      if (!offset) {
        world_.Pass(timeout);
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
      }
      partition.offset = offset->next < 0 ? kafka::kOffsetUnknown : offset->next;
      partition.metadata = offset->metadata;
    }
    return 0;
  }

  void Positions(PartitionOffsets& partitions) const override {
    for (PartitionOffset& partition : partitions) {
      auto at = assigned_.find({partition.topic, partition.partition});
      partition.offset = at == assigned_.end() || at->second.position < 0 ? kafka::kOffsetUnknown
                                                                          : at->second.position;
    }
  }

  std::unique_ptr<kafka::GroupMetadata> Metadata() const override {
    return std::make_unique<Generation>(member_, generation_);
  }

  void Close(bool leave) override {
    if (std::exchange(closed_, true)) return;
    world_.heartbeats.erase(this);
    // A static member doesn't tell the group unless it is to, and one that is cut off can't.
    if ((leave || instance_.empty()) && !member_.empty() && Connected()) world_.Leave(member_);
    member_.clear();
  }

  void AskLogOffsets(const PartitionOffsets& partitions) override {
    if (!asked_logs_) asked_logs_ = {world_.Now() + milliseconds(2), partitions};
  }
  std::optional<std::vector<kafka::LogOffsets>> TakeLogOffsets() override {
    if (!asked_logs_ || world_.Now() < asked_logs_->first) return std::nullopt;
    if (!Connected() && world_.Now() - asked_logs_->first < milliseconds(5'000))
      return std::nullopt;
    std::vector<kafka::LogOffsets> answer;
    for (const PartitionOffset& at : asked_logs_->second) {
      kafka::LogOffsets& offsets = answer.emplace_back();
      offsets.topic = at.topic;
      offsets.partition = at.partition;
      const Log* log = Find({at.topic, at.partition});
      if (log == nullptr || !Connected()) continue;
      offsets.begin = log->start;
      offsets.stable = log->stable();
      offsets.end = log->end();
    }
    if (!Connected()) answer.clear();
    asked_logs_.reset();
    return answer;
  }
  void AskTopics(const std::vector<std::string>& topics) override {
    if (!asked_topics_) asked_topics_ = {world_.Now() + milliseconds(2), topics};
  }
  std::optional<std::vector<kafka::TopicIdentity>> TakeTopics() override {
    if (!asked_topics_ || world_.Now() < asked_topics_->first) return std::nullopt;
    if (!Connected() && world_.Now() - asked_topics_->first < milliseconds(5'000))
      return std::nullopt;
    std::vector<kafka::TopicIdentity> answer;
    for (const std::string& name : asked_topics_->second) {
      if (!Connected()) break;
      if (world_.HasTopic(name)) {
        answer.push_back({name, 0, base::StrCat("id", world_.topic(name).incarnation)});
      } else {
        answer.push_back({name, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ""});
      }
    }
    asked_topics_.reset();
    return answer;
  }

  std::string Refusal() const override { return ""; }
  Time last_heard() const override { return heard_; }
  int64_t read_ahead_bytes() const override { return 0; }

 private:
  struct Fetching {
    int64_t next = 0;       // to fetch; kOffsetBeginning: from where the log begins
    int64_t position = -1;  // behind what was handed out
    bool stopped = false;   // by an error; only a new assignment starts it
    bool denied = false;    // and told so
  };
  enum { kNothing, kAssigned, kRevoked } waits_ = kNothing;  // for the application's Assign()

  bool Connected() const { return world_.Now() >= network_.away_until && !network_.frozen; }
  // Waits for the network, at most so long.
  bool Reaches(milliseconds timeout) {
    if (!Connected()) {
      auto left = std::chrono::ceil<milliseconds>(network_.away_until - world_.Now());
      world_.Pass(std::clamp(left, milliseconds(1), timeout));
    } else {
      world_.Pass(milliseconds(1));
    }
    if (Connected()) heard_ = world_.Now();
    return Connected();
  }
  const Log* Find(const PartitionId& partition) const {
    if (!world_.HasTopic(partition.first)) return nullptr;
    const Topic& topic = world_.topic(partition.first);
    if (partition.second >= static_cast<int32_t>(topic.partitions.size())) return nullptr;
    return &topic.partitions[static_cast<size_t>(partition.second)];
  }

  // What librdkafka's own threads do: heartbeats, joining, metadata.
  void Background() {
    if (!Connected() || closed_) return;
    heard_ = world_.Now();
    if (topics_.empty()) return;  // it joins no group
    Member* member = member_.empty() ? nullptr : world_.FindMember(member_);
    if (!member_.empty() && member == nullptr) {
      // A static one whose name another has now is fenced; anybody else was forgotten.
      fenced_ = !instance_.empty() && generation_ >= 0 && world_.Chance(0.4);
      member_.clear();
      if (generation_ >= 0 && !lost_) lost_ = true;
      return;
    }
    if (member != nullptr) member->heard = world_.Now();
    // Also the partitions that are added are known no sooner than the metadata is renewed.
    if (world_.Now() - metadata_at_ >= metadata_age_max_) {
      metadata_at_ = world_.Now();
      size_t partitions =
          world_.HasTopic(topics_[0]) ? world_.topic(topics_[0]).partitions.size() : 0;
      bool changed = known_partitions_ && *known_partitions_ != partitions;
      known_partitions_ = partitions;
      if (changed && member != nullptr) world_.Rebalance();
    }
    if (waits_ != kNothing || lost_) return;
    // A rebalance that began before the last one's assignment was seen.
    if (member != nullptr && world_.rebalancing() && !owns_ && !member->joined) rejoin_ = true;
    if (rejoin_ || member == nullptr) {
      member_ = world_.Join(instance_, member_);
      rejoin_ = false;
      generation_ = -1;
    }
  }

  // Callbacks, on the application's thread.
  void Serve() {
    if (fenced_ || closed_) return;
    if (lost_ && waits_ == kNothing) {
      lost_ = false;
      if (!owns_) {
        rejoin_ = true;
        return;
      }
      owns_ = false;
      waits_ = kRevoked;
      return listener_.OnRevoke(true);
    }
    if (waits_ != kNothing || member_.empty() || !Connected()) return;
    Member* member = world_.FindMember(member_);
    if (member == nullptr) return;
    if (world_.rebalancing() && owns_) {
      owns_ = false;
      waits_ = kRevoked;
      return listener_.OnRevoke(false);
    }
    if (!world_.rebalancing() && generation_ < 0 && member->generation == world_.generation()) {
      generation_ = member->generation;
      owns_ = true;
      waits_ = kAssigned;
      PartitionOffsets partitions;
      for (const PartitionId& partition : member->partitions)
        partitions.push_back({partition.first, partition.second});
      listener_.OnAssign(std::move(partitions));
    }
  }

  void Read(size_t count, std::vector<Message>& messages) {
    if (!Connected() || waits_ == kRevoked) return;
    size_t wanted = 1 + world_.Random(count);
    for (auto& [partition, at] : assigned_) {
      if (at.stopped || paused_.contains(partition)) continue;
      const Log* log = Find(partition);
      if (!world_.may_read) {
        // Told once; fetching is tried for all the while.
        if (!std::exchange(at.denied, true))
          Error(partition, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, messages);
        continue;
      }
      at.denied = false;
      if (log == nullptr) {
        if (world_.Chance(0.01))
          Error(partition, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, messages);
        continue;
      }
      if (at.next == kafka::kOffsetBeginning) at.next = log->start;
      if (at.next == kafka::kOffsetEnd) at.next = log->end();
      if (at.next < log->start || at.next > log->end()) {
        at.stopped = true;
        Error(partition, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, messages);
        continue;
      }
      int64_t end = read_committed_ ? log->stable() : log->end();
      if (at.next < end && world_.Chance(0.001)) {
        // A batch that can't be read is skipped; only the error says so.
        at.next += 1;
        Error(partition, RD_KAFKA_RESP_ERR__BAD_MSG, messages);
      }
      while (at.next < end && wanted > 0) {
        const Entry& entry = log->entries[static_cast<size_t>(at.next)];
        if (entry.state == Entry::kCommitted ||
            (!read_committed_ && entry.state != Entry::kMarker)) {
          Source source{world_.topic(partition.first).incarnation, partition.second, at.next};
          auto value = std::make_unique<std::string>(ValueOf(source));
          Message& message = messages.emplace_back();
          message.record.topic = partition.first;
          message.record.partition = partition.second;
          message.record.offset = at.next;
          message.record.value = *value;
          message.record.timestamp_ms = entry.poison ? kPoisonTimestamp : world_.UnixMillis();
          message.handle = value.release();
          --wanted;
        }
        at.position = ++at.next;
      }
    }
  }

  static void Error(const PartitionId& partition, ErrorCode error, std::vector<Message>& messages) {
    Message& message = messages.emplace_back();
    message.record.topic = partition.first;
    message.record.partition = partition.second;
    message.error = error;
    message.of_partition = true;
  }

  World& world_;
  Network& network_;
  kafka::RebalanceListener& listener_;
  const std::string instance_;
  const bool read_committed_;
  const milliseconds metadata_age_max_;
  std::vector<std::string> topics_;
  std::string member_;
  int generation_ = -1;
  bool owns_ = false;  // was told of an assignment, and not yet of its end
  bool rejoin_ = true;
  bool lost_ = false;
  bool fenced_ = false;
  bool closed_ = false;
  std::map<PartitionId, Fetching> assigned_;
  std::set<PartitionId> paused_;
  Time metadata_at_{};
  std::optional<size_t> known_partitions_;
  Time heard_;
  std::optional<std::pair<Time, PartitionOffsets>> asked_logs_;
  std::optional<std::pair<Time, std::vector<std::string>>> asked_topics_;
};

class Producer final : public kafka::ProducerClient {
 public:
  Producer(World& world, Network& network, const kafka::Settings& settings,
           const std::vector<std::string>& topics)
      : world_(world),
        network_(network),
        id_(Setting(settings, "transactional.id")),
        timeout_(Number(settings, "transaction.timeout.ms")),
        bytes_max_(Number(settings, "message.max.bytes")),
        topics_(topics) {}

  CallError InitTransactions(milliseconds timeout) override {
    if (state_ != kNew) return Misuse("init_transactions");
    if (!Reaches(timeout)) return Retriable(RD_KAFKA_RESP_ERR__TIMED_OUT);
    world_.Pass(milliseconds(1));
    int error = world_.InitProducer(id_, static_cast<int>(timeout_.count()), producer_, epoch_);
    if (error != 0) return Retriable(error);
    state_ = kReady;
    return {};
  }

  ErrorCode LookUp(size_t topic, milliseconds timeout) override {
    if (!Reaches(timeout)) return RD_KAFKA_RESP_ERR__TIMED_OUT;
    return world_.HasTopic(topics_[topic]) ? 0 : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  }

  CallError Begin() override {
    if (state_ == kFatal) return Fatal();
    if (state_ != kReady) return Misuse("begin_transaction");
    state_ = kOpen;
    delivery_ = {};
    touched_ = false;
    added_.clear();
    return {};
  }

  ErrorCode Produce(const stream::OutputRecord& record, const stream::Header&) override {
    if (state_ == kFatal || state_ == kAbortable) return RD_KAFKA_RESP_ERR__STATE;
    if (state_ != kOpen) {
      (void)Misuse("produce");
    }
    if (static_cast<int64_t>(stream::RecordBytes(record)) > bytes_max_)
      return RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    if (queue_.size() >= 200 && world_.Chance(0.5)) return RD_KAFKA_RESP_ERR__QUEUE_FULL;
    Queued& queued = queue_.emplace_back();
    queued.topic = record.topic;
    queued.bytes = static_cast<int64_t>(stream::RecordBytes(record));
    queued.late_timestamp = record.timestamp_ms.value_or(0) >= kPoisonTimestamp;
    if (topics_[record.topic] == world_.positions) {
      queued.entry.key = record.key.value_or("");
      queued.entry.value = record.value.value_or("");
    } else {
      queued.entry.source = Parse(record.value.value_or("")).value_or(Source{});
      queued.entry.poison = record.key == "poison";
    }
    if (world_.Chance(0.2)) Deliver(/*all=*/false);
    return 0;
  }

  CallError SendOffsets(std::span<const stream::Position> next,
                        const kafka::GroupMetadata& metadata, std::string_view text) override {
    if (state_ == kFatal) return Fatal();
    if (state_ == kAbortable) return Abortable();
    if (state_ != kOpen) return Misuse("send_offsets");
    auto& member = static_cast<const Generation&>(metadata);
    std::map<PartitionId, int64_t> offsets;
    for (const stream::Position& position : next)
      offsets[{std::string(position.topic), position.partition}] = position.offset;
    int error = Request(
        [id = id_, epoch = epoch_](World& world) { return world.AddPartition(id, epoch, {}); });
    if (error == 0) {
      error =
          Request([id = id_, epoch = epoch_, name = member.member, generation = member.generation,
                   offsets, text = std::string(text)](World& world) {
            return world.CommitOffsets(id, epoch, name, generation, offsets, text);
          });
    }
    return Outcome(error);
  }

  CallError Commit() override {
    if (state_ == kFatal) return Fatal();
    if (state_ == kOpen) Deliver(/*all=*/true);
    if (state_ == kFatal) return Fatal();
    if (state_ == kAbortable) return Abortable();
    if (state_ != kOpen) return Misuse("commit");
    CallError outcome = Outcome(touched_ ? End(true) : 0);
    if (outcome.ok()) state_ = kReady;
    return outcome;
  }

  CallError Abort(std::optional<milliseconds>) override {
    if (state_ == kFatal) return Fatal();
    if (state_ != kOpen && state_ != kAbortable) return Misuse("abort");
    // What was sent and not answered can still arrive.
    if (!queue_.empty() && queue_.front().sent) {
      Later([id = id_, epoch = epoch_, partition = queue_.front().partition,
             entry = queue_.front().entry](World& world) {
        return world.Produce(id, epoch, partition, entry);
      });
    }
    queue_.clear();
    int error = touched_ ? End(false) : 0;
    if (error == RD_KAFKA_RESP_ERR_INVALID_TXN_STATE) {
      state_ = kFatal;
      fatal_ = error;
      return Fatal();
    }
    if (error == RD_KAFKA_RESP_ERR__TIMED_OUT) return Retriable(error);
    CallError outcome = Outcome(error);
    if (outcome.ok()) state_ = kReady;
    return outcome;
  }

  void Flush(milliseconds) override { Deliver(/*all=*/false); }
  void Poll(milliseconds wait) override {
    if (wait > milliseconds(0)) {
      world_.Pass(wait);
      Deliver(/*all=*/false);
    }
  }
  ErrorCode FatalError() const override { return state_ == kFatal ? fatal_ : 0; }
  CallError Why() override {
    return state_ == kAbortable && abortable_ != 0 ? Abortable() : CallError();
  }
  kafka::DeliveryError delivery_error() const override { return delivery_; }
  std::string Refusal() const override { return ""; }
  bool tainted() const override { return tainted_; }
  int64_t queue_records() const override { return static_cast<int64_t>(queue_.size()); }
  int64_t queue_bytes() const override { return 0; }

 private:
  struct Queued {
    size_t topic = 0;
    int64_t bytes = 0;
    bool late_timestamp = false;
    bool sent = false;  // and not answered: it is sent again
    Time again_at{};    // then
    PartitionId partition;
    Entry entry;
  };
  enum { kNew, kReady, kOpen, kAbortable, kFatal } state_ = kNew;

  // A call that a state doesn't allow: librdkafka refuses it, and it must never be made.
  static CallError Misuse(std::string_view call) {
    throw Violation{base::StrCat(call, " in a state that doesn't allow it")};
  }
  CallError Fatal() const { return {fatal_, true, false, false, "fatal"}; }
  CallError Abortable() const {
    return {abortable_ == 0 ? RD_KAFKA_RESP_ERR__STATE : abortable_, false, true, false,
            "the transaction must be aborted"};
  }
  static CallError Retriable(ErrorCode error) { return {error, false, false, true, "try again"}; }

  bool Connected() const { return world_.Now() >= network_.away_until && !network_.frozen; }
  bool Reaches(milliseconds timeout) {
    if (!Connected()) {
      auto left = std::chrono::ceil<milliseconds>(network_.away_until - world_.Now());
      world_.Pass(std::clamp(left, milliseconds(1), timeout));
    }
    return Connected();
  }

  // A request of a transaction. The client repeats it until the transaction's time is up, and says
  // nothing of it.
  int End(bool commit) {
    return Request([id = id_, epoch = epoch_, commit](World& world) {
      return world.EndTransaction(id, epoch, commit);
    });
  }
  int Request(const std::function<int(World&)>& call) {
    Time until = world_.Now() + timeout_;
    touched_ = true;
    while (true) {
      if (!Connected()) {
        tainted_ = true;
        // Sent before the line went dead, or not.
        if (world_.Chance(0.2)) Later(call);
        if (!Reaches(std::min(timeout_ / 2, milliseconds(6'000)))) {
          if (world_.Now() >= until) return RD_KAFKA_RESP_ERR__TIMED_OUT;
          continue;
        }
      }
      world_.Pass(milliseconds(1));
      if (world_.Chance(network_.delayed_request)) {
        tainted_ = true;
        Later(call);
        world_.Pass(milliseconds(1 + world_.Random(50)));
        continue;
      }
      int error = call(world_);
      if (world_.Chance(network_.lost_answer)) {
        tainted_ = true;
        world_.Pass(milliseconds(1 + world_.Random(50)));
        continue;
      }
      return error;
    }
  }
  // It arrives under the epoch that it was sent under, whether or not its sender still lives.
  void Later(const std::function<int(World&)>& call) {
    world_.Delay(milliseconds(1 + world_.Random(3'000)),
                 [&world = world_, call] { (void)call(world); });
  }

  CallError Outcome(int error) {
    switch (error) {
      case 0:
        return {};
      case RD_KAFKA_RESP_ERR__TIMED_OUT:
      case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
        return Retriable(error);
      case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
      case RD_KAFKA_RESP_ERR_INVALID_TXN_STATE:
        state_ = kFatal;
        fatal_ =
            error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ? RD_KAFKA_RESP_ERR__FENCED : error;
        return Fatal();
      default:
        state_ = kAbortable;
        abortable_ = error;
        return Abortable();
    }
  }

  // What is queued goes out, in its order; `all`: until it is answered.
  void Deliver(bool all) {
    while (!queue_.empty() && state_ == kOpen) {
      Queued& queued = queue_.front();
      const Topic& topic = world_.topic(topics_[queued.topic]);
      if (!queued.sent) {
        size_t partitions = std::max<size_t>(topic.partitions.size(), 1);
        queued.partition = {topics_[queued.topic], static_cast<int32_t>(world_.Random(partitions))};
      }
      PartitionId partition = queued.partition;
      int error = 0;
      if (!added_.contains(partition)) {
        error = Request([id = id_, epoch = epoch_, partition](World& world) {
          return world.AddPartition(id, epoch, partition);
        });
        if (error == 0) added_.insert(partition);
      }
      if (error == 0 && queued.bytes > topic.bytes_max)
        error = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
      if (error == 0 && queued.late_timestamp && !topic.takes_late_timestamps)
        error = RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
      if (error == 0 && !Reaches(timeout_)) error = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
      if (error == 0 && queued.sent && world_.Now() < queued.again_at) {
        if (!all) return;
        world_.Pass(std::chrono::ceil<milliseconds>(queued.again_at - world_.Now()));
        continue;
      }
      if (error == 0 && world_.Chance(network_.delayed_request)) {
        queued.sent = true;
        queued.again_at = world_.Now() + milliseconds(1 + world_.Random(3'000));
        continue;
      }
      if (error == 0) error = world_.Produce(id_, epoch_, partition, queued.entry);
      if (error == 0) {
        queue_.pop_front();
        continue;
      }
      if (error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH) {
        (void)Outcome(error);
      } else {
        delivery_ = {error, queued.topic};
        state_ = kAbortable;
        abortable_ = RD_KAFKA_RESP_ERR__STATE;
      }
      return;
    }
  }

  World& world_;
  Network& network_;
  const std::string id_;
  const milliseconds timeout_;
  const int64_t bytes_max_;  // remembered for the client's life
  const std::vector<std::string> topics_;
  int64_t producer_ = 0;
  int epoch_ = -1;
  bool tainted_ = false;
  bool touched_ = false;         // the broker knows of the transaction
  std::set<PartitionId> added_;  // to the open transaction
  std::deque<Queued> queue_;
  kafka::DeliveryError delivery_;
  ErrorCode fatal_ = 0, abortable_ = 0;
};

}  // namespace

std::string ValueOf(const Source& source) {
  return base::StrCat(source.incarnation, "/", source.partition, "/", source.offset);
}

absl::StatusOr<std::unique_ptr<kafka::ConsumerClient>> SimulatedFactory::MakeConsumer(
    const kafka::ConnectionOptions&, const kafka::Settings& settings,
    kafka::RebalanceListener& listener) {
  if (fail_clients) return absl::InvalidArgumentError("half a certificate");
  return std::make_unique<Consumer>(world_, network_, settings, listener);
}

absl::StatusOr<std::unique_ptr<kafka::ProducerClient>> SimulatedFactory::MakeProducer(
    const kafka::ConnectionOptions&, const kafka::Settings& settings,
    const std::vector<std::string>& topics) {
  return std::make_unique<Producer>(world_, network_, settings, topics);
}

absl::StatusOr<std::vector<int64_t>> SimulatedFactory::MessageBytesMax(
    const kafka::ConnectionOptions&, const std::vector<std::string>& topics) {
  if (world_.Now() < network_.away_until) {
    world_.Pass(milliseconds(1'000));
    return absl::UnavailableError("no broker answers");
  }
  std::vector<int64_t> limits;
  for (const std::string& topic : topics) limits.push_back(world_.topic(topic).bytes_max);
  return limits;
}

}  // namespace sluice::simulation
