#include "services/processor/positions.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/reader.h"
#include "common/kafka/writer.h"
#include "common/stream/mutant.h"
#include "common/telemetry/log.h"

namespace sluice::processor {
namespace {

using kafka::CommittedPosition;
using positions::v1::Position;
using telemetry::Log;
using telemetry::SafeText;
using telemetry::Severity;

// No topic's id: those have 22 characters.
constexpr std::string_view kKeysPart = "/keys/";
constexpr int64_t kBegun = std::numeric_limits<int64_t>::max();
constexpr int kAnswerMaxMs = 5'000;
constexpr std::chrono::milliseconds kRetry(500);
// How soon the key service is asked again which epochs it has. It records each answer.
constexpr std::chrono::minutes kKeysRetry(1);
constexpr std::string_view kRecover =
    "`sluicectl offsets list` shows them; `sluicectl offsets recover` sets the group to what is "
    "recorded";

template <typename Number>
bool ParseNumber(std::string_view text, Number& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() && out >= 0;
}

absl::Status Refused(std::string text) { return absl::FailedPreconditionError(std::move(text)); }

// What passes by itself: the transaction of a predecessor that was killed, for one, which the
// broker ends at its timeout.
bool IsOutage(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsUnauthenticated(status) ||
         absl::IsDeadlineExceeded(status);
}

}  // namespace

std::string PipelineName(const config::v1::Pipeline& pipeline) {
  return pipeline.name().empty() ? pipeline.quarantine().topic() : pipeline.name();
}

std::string PositionsTopic(const config::v1::Pipeline& pipeline) {
  return pipeline.quarantine().topic() + ".positions";
}

bool IsPipelineName(std::string_view name) {
  return !name.empty() && name.size() <= 249 &&
         name.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == name.npos;
}

std::string PositionKeyText(std::string_view pipeline, std::string_view topic_id,
                            int32_t partition) {
  return base::StrCat(pipeline, "/", topic_id, "/", partition);
}

std::string BegunKeyText(std::string_view pipeline, std::string_view topic_id) {
  return base::StrCat(PositionKeyText(pipeline, topic_id, 0), "/", kBegun);
}

std::string EpochKeyText(std::string_view pipeline, std::string_view domain, uint32_t epoch) {
  return base::StrCat(pipeline, kKeysPart, domain, "/", epoch);
}

absl::Status RecordedPositions::Add(std::string_view key, std::optional<std::string_view> value) {
  auto damaged = [&] {
    return absl::DataLossError(
        "a record isn't a position; nothing is done on the word of such a topic");
  };
  if (size_t at = std::min(key.find('/'), key.size()); key.substr(at).starts_with(kKeysPart)) {
    std::string_view epoch_key = key.substr(at + kKeysPart.size());
    const size_t slash = epoch_key.rfind('/');
    uint32_t number = 0;
    positions::v1::KeyEpoch epoch;
    if (at == 0 || slash == epoch_key.npos || slash == 0 ||
        !ParseNumber(epoch_key.substr(slash + 1), number) ||
        (value && !epoch.ParseFromString(std::string(*value))))
      return damaged();
    if (key.substr(0, at) != pipeline_) return absl::OkStatus();
    std::pair id(std::string(epoch_key.substr(0, slash)), number);
    if (value) {
      keys_[std::move(id)] = {epoch.label(), epoch.check()};
    } else {
      keys_.erase(id);
    }
    return absl::OkStatus();
  }
  std::string_view rest = key;
  auto next = [&rest] {
    size_t slash = std::min(rest.find('/'), rest.size());
    std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    return part;
  };
  std::string_view pipeline = next(), topic_id = next(), partition_text = next();
  const bool begins = !rest.empty();
  PositionKey at{std::string(topic_id)};
  int64_t offset = 0;
  if (pipeline.empty() || topic_id.empty() || !ParseNumber(partition_text, at.partition) ||
      (begins && !ParseNumber(rest, offset)))
    return damaged();
  if (pipeline != pipeline_) return absl::OkStatus();
  std::string bytes(value.value_or(""));
  if (begins) {
    positions::v1::VersionBegin begin;
    if (value && !begin.ParseFromString(bytes)) return damaged();
    if (offset == kBegun) {
      if (value) {
        begun_.insert(at.topic_id);
      } else {
        begun_.erase(at.topic_id);
      }
      return absl::OkStatus();
    }
    if (value) {
      versions_[at][offset] = begin.version();
    } else {
      versions_[at].erase(offset);
    }
    return absl::OkStatus();
  }
  Position position;
  if (value && (!position.ParseFromString(bytes) || position.next_offset() < 0)) return damaged();
  if (value) {
    positions_[at] = std::move(position);
  } else {
    positions_.erase(at);
  }
  return absl::OkStatus();
}

const Position* RecordedPositions::Find(std::string_view topic_id, int32_t partition) const {
  auto found = positions_.find(PositionKey{std::string(topic_id), partition});
  return found == positions_.end() ? nullptr : &found->second;
}

std::map<int64_t, std::string> RecordedPositions::Versions(std::string_view topic_id,
                                                           int32_t partition) const {
  auto found = versions_.find(PositionKey{std::string(topic_id), partition});
  return found == versions_.end() ? std::map<int64_t, std::string>() : found->second;
}

std::string RecordedPositions::FormerId(std::string_view topic, std::string_view topic_id) const {
  std::string former;
  for (const auto& [key, position] : positions_) {
    if (position.topic() != topic) continue;
    if (key.topic_id == topic_id) return "";
    former = key.topic_id;
  }
  return former;
}

absl::Status PositionReader::ReadOn(kafka::Admin& admin) {
  // A topic that was created again begins again, and so does what is known of it.
  SLUICE_ASSIGN_OR_RETURN(std::string topic_id, admin.TopicId(options_.topic));
  if (topic_id != topic_id_) {
    recorded_ = RecordedPositions(options_.pipeline);
    next_.clear();
    topic_id_ = topic_id;
  }
  SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> ends, admin.LogEnds(options_.topic));
  SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::PartitionRange> held, admin.Ranges(options_.topic));
  next_.resize(ends.size(), 0);
  std::vector<kafka::ReadRange> news;
  for (const kafka::PartitionRange& range : held) {
    auto at = static_cast<size_t>(range.partition);
    if (at >= ends.size()) continue;
    news.push_back({options_.topic, range.partition, std::max(next_[at], range.begin), ends[at]});
  }
  SLUICE_RETURN_IF_ERROR(
      kafka::TopicReader(
          {.connection = options_.connection, .idle_timeout_ms = options_.idle_timeout_ms})
          .Read(news, [this](const kafka::ReadRecord& record) -> absl::Status {
            absl::Status added = recorded_.Add(record.key.value_or(""), record.value);
            if (added.ok()) return added;
            return absl::Status(
                added.code(), base::StrCat(record.topic, "/", record.partition, "/", record.offset,
                                           ": ", base::View(added.message())));
          }));
  for (const kafka::ReadRange& range : news)
    next_[static_cast<size_t>(range.partition)] = range.end;
  return absl::OkStatus();
}

absl::Status ComparePosition(const PositionSite& site, const CommittedPosition& committed,
                             const Position* recorded) {
  std::string where = base::StrCat(committed.topic, "/", committed.partition);
  if (!committed.metadata.empty() && committed.metadata != site.pipeline) {
    return Refused(base::StrCat(
        "group ", site.group, " belongs to ",
        IsPipelineName(committed.metadata) ? base::StrCat("pipeline '", committed.metadata, "'")
                                           : std::string("another program"),
        ", which has committed ", where, "; this pipeline is '", site.pipeline,
        "'. Give each pipeline its own kafka.group; if it is the same pipeline under another name, "
        "set pipeline.name back"));
  }
  if (recorded != nullptr && recorded->group() != site.group) {
    return Refused(base::StrCat(
        "group ", recorded->group(), " has recorded positions of ", where, " as pipeline '",
        site.pipeline, "', and this is group ", site.group,
        ". If two pipelines share a quarantine topic, set pipeline.name in each; if the group was "
        "renamed, `sluicectl offsets recover` sets the new group to what is recorded"));
  }
  if (recorded != nullptr && committed.offset < 0) {
    return Refused(base::StrCat("nothing is committed for ", where, " in group ", site.group,
                                ", but results are recorded up to offset ", recorded->next_offset(),
                                ": the group's offsets expired or were deleted, and starting now "
                                "would publish events again. ",
                                kRecover));
  }
  if (recorded != nullptr && committed.offset != recorded->next_offset() &&
      !SLUICE_MUTANT("any_position") &&
      !(SLUICE_MUTANT("ahead_is_fine") && committed.offset > recorded->next_offset())) {
    return Refused(base::StrCat(where, ": group ", site.group, " has committed offset ",
                                committed.offset, ", but results are recorded up to offset ",
                                recorded->next_offset(), ": somebody set the group's offset. ",
                                kRecover,
                                ", `sluicectl offsets set` sets both to where you want to go on"));
  }
  if (recorded == nullptr && committed.offset >= 0 && !committed.metadata.empty()) {
    return Refused(base::StrCat(
        where, ": pipeline '", site.pipeline, "' has committed offset ", committed.offset,
        ", but nothing is recorded beside its results: the positions topic was deleted or created "
        "again. `sluicectl offsets recover` records what can be known"));
  }
  return absl::OkStatus();
}

std::vector<int32_t> UnknownPartitions(const PositionSite& site, const RecordedPositions& recorded,
                                       std::span<const int64_t> committed,
                                       std::span<const int64_t> ends) {
  if (recorded.Begun(site.topic_id)) return {};
  for (const auto& [key, position] : recorded.all()) {
    if (position.topic() == site.topic && key.topic_id != site.topic_id) return {};
  }
  std::vector<int32_t> without, unknown;
  for (size_t i = 0; i < ends.size(); ++i) {
    const auto partition = static_cast<int32_t>(i);
    if (recorded.Find(site.topic_id, partition) != nullptr) continue;
    if (i < committed.size() && committed[i] >= 0) continue;
    without.push_back(partition);
    if (ends[i] != 0) unknown.push_back(partition);
  }
  return without.size() == ends.size() ? without : unknown;
}

std::string PartitionsText(std::span<const int32_t> partitions) {
  constexpr size_t kNamed = 20;
  std::string text = partitions.size() == 1 ? "partition" : "partitions";
  for (size_t i = 0; i < std::min(partitions.size(), kNamed); ++i)
    base::StrAppend(text, i == 0 ? " " : ", ", partitions[i]);
  if (partitions.size() > kNamed) base::StrAppend(text, ", ... (", partitions.size(), " in all)");
  return text;
}

PositionRecorder::At* PositionRecorder::Find(int32_t partition) {
  for (At& at : at_) {
    if (at.partition == partition) return &at;
  }
  return nullptr;
}

void PositionRecorder::Begin(std::span<const CommittedPosition> from,
                             const RecordedPositions& recorded, std::string topic_id) {
  site_.topic_id = std::move(topic_id);
  at_.clear();
  epochs_ = recorded.keys();
  keys_ = written_keys_ = nullptr;
  for (const CommittedPosition& position : from) {
    At& at = at_.emplace_back();
    at.partition = position.partition;
    at.next = at.written = position.offset;
    const Position* known = recorded.Find(site_.topic_id, position.partition);
    if (known != nullptr) at.version = at.written_version = known->version();
  }
}

bool PositionRecorder::Resume(std::span<const CommittedPosition> positions) {
  for (const CommittedPosition& position : positions) {
    At* at = Find(position.partition);
    if (at == nullptr || (!position.metadata.empty() && position.metadata != site_.pipeline) ||
        (position.offset != at->next && position.offset != at->written))
      return false;
  }
  for (const CommittedPosition& position : positions) {
    At& at = *Find(position.partition);
    if (position.offset == at.written) at.version = at.written_version;
    at.next = at.written = position.offset;
    at.written_version = at.version;
  }
  return true;
}

absl::Status PositionRecorder::Write(const Set& set, stream::Output& output) {
  for (const auto& [partition, offset] : set.offsets) {
    Position position;
    position.set_next_offset(offset);
    position.set_topic(site_.topic);
    position.set_group(site_.group);
    position.set_set_by(set.set_by);
    position.set_reason(set.reason);
    position.SerializeToString(&value_);
    key_ = PositionKeyText(site_.pipeline, set.topic_id, partition);
    SLUICE_RETURN_IF_ERROR(output.Produce({.topic = topic_, .key = key_, .value = value_}));
  }
  // What is recorded now is another's word: it is read before the worker goes on.
  at_.clear();
  return absl::OkStatus();
}

absl::Status PositionRecorder::WriteKeys(const std::shared_ptr<const HeldKeys>& keys,
                                         stream::Output& output) {
  news_ = NotRecorded(epochs_, *keys);
  positions::v1::KeyEpoch epoch;
  for (const auto& [id, identity] : news_) {
    epoch.set_label(identity.label);
    epoch.set_check(identity.check);
    epoch.SerializeToString(&value_);
    key_ = EpochKeyText(site_.pipeline, id.first, id.second);
    SLUICE_RETURN_IF_ERROR(output.Produce({.topic = topic_, .key = key_, .value = value_}));
  }
  written_keys_ = keys;
  return absl::OkStatus();
}

absl::Status PositionRecorder::Write(std::span<const stream::Position> next,
                                     std::string_view version,
                                     const std::shared_ptr<const HeldKeys>& keys,
                                     stream::Output& output) {
  written_keys_ = nullptr;
  if (keys != nullptr && keys != keys_) SLUICE_RETURN_IF_ERROR(WriteKeys(keys, output));
  for (const stream::Position& position : next) {
    At* at = Find(position.partition);
    if (at == nullptr) {
      at = &at_.emplace_back();
      at->partition = position.partition;
    }
    key_.clear();
    base::StrAppend(key_, site_.pipeline, "/", site_.topic_id, "/", position.partition);
    const size_t key_size = key_.size();
    if (at->version != version) {
      positions::v1::VersionBegin begin;
      begin.set_version(version.data(), version.size());
      begin.SerializeToString(&value_);
      base::StrAppend(key_, "/", std::max<int64_t>(at->next, 0));
      SLUICE_RETURN_IF_ERROR(output.Produce({.topic = topic_, .key = key_, .value = value_}));
      key_.resize(key_size);
    }
    position_.set_next_offset(position.offset);
    position_.set_topic(site_.topic);
    position_.set_group(site_.group);
    position_.set_version(version.data(), version.size());
    position_.SerializeToString(&value_);
    SLUICE_RETURN_IF_ERROR(output.Produce({.topic = topic_, .key = key_, .value = value_}));
    at->written = position.offset;
    at->written_version = version;
  }
  return absl::OkStatus();
}

void PositionRecorder::Committed() {
  if (written_keys_ != nullptr) {
    for (auto& [id, identity] : news_) epochs_[id] = std::move(identity);
    news_.clear();
    keys_ = std::exchange(written_keys_, nullptr);
  }
  for (At& at : at_) {
    at.next = at.written;
    if (at.version != at.written_version) at.version = at.written_version;
  }
}

PositionGuard::PositionGuard(Options options)
    : options_(std::move(options)),
      reader_({options_.connection, options_.positions_topic, options_.site.pipeline,
               options_.idle_timeout_ms}),
      topic_id_(options_.site.topic_id) {}

PositionGuard::~PositionGuard() { Stop(); }

void PositionGuard::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PositionGuard::Start() {
  thread_ = std::thread([this] { Run(); });
}

absl::Status PositionGuard::Foreign(kafka::Admin& admin) const {
  SLUICE_ASSIGN_OR_RETURN(auto all, admin.GroupOffsets(options_.site.group));
  for (const kafka::GroupOffset& at : all) {
    if (at.metadata.empty() || at.metadata == options_.site.pipeline) continue;
    return ComparePosition(options_.site, {at.topic, at.partition, at.offset, at.metadata},
                           nullptr);
  }
  return absl::OkStatus();
}

absl::Status PositionGuard::CheckGroup() {
  SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(options_.connection));
  absl::Status known = admin_->TopicId(options_.positions_topic).status();
  if (absl::IsNotFound(known)) {
    return absl::NotFoundError(base::StrCat(
        "topic ", options_.positions_topic,
        " is missing, which records where the pipeline is: `sluicectl topics apply` creates it"));
  }
  SLUICE_RETURN_IF_ERROR(known);
  return Foreign(*admin_);
}

absl::Status PositionGuard::CheckAtStart() {
  const PositionSite& site = options_.site;
  SLUICE_RETURN_IF_ERROR(reader_.ReadOn(*admin_));
  {
    base::MutexLock lock(mutex_);
    recorded_ = std::make_shared<const RecordedPositions>(reader_.recorded());
  }
  SLUICE_RETURN_IF_ERROR(Foreign(*admin_));
  SLUICE_RETURN_IF_ERROR(AskForKeys());
  const RecordedPositions& recorded = reader_.recorded();
  if (std::string former = recorded.FormerId(site.topic, site.topic_id); !former.empty()) {
    return Refused(
        base::StrCat("topic ", site.topic, " was deleted and created again (id ", former, " then, ",
                     site.topic_id,
                     " now): what was in the old one and has no result is lost. To begin with "
                     "the new one, `sluicectl offsets recover --yes`"));
  }
  SLUICE_ASSIGN_OR_RETURN(auto all, admin_->GroupOffsets(site.group));
  std::map<int32_t, kafka::GroupOffset> committed;
  for (kafka::GroupOffset& at : all) {
    if (at.topic == site.topic) committed.emplace(at.partition, std::move(at));
  }
  bool any_recorded = false;
  for (const auto& [key, position] : recorded.all()) {
    if (key.topic_id != site.topic_id) continue;
    any_recorded = true;
    // What differs is for the worker that is given the partition: it halts, and can be resumed.
    auto at = committed.find(key.partition);
    if (at == committed.end() || position.group() != site.group) {
      SLUICE_RETURN_IF_ERROR(ComparePosition(
          site, {site.topic, key.partition, at == committed.end() ? -1 : at->second.offset, ""},
          &position));
    }
  }
  if (recorded.Begun(site.topic_id)) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> raw_ends, admin_->LogEnds(site.topic));
  std::vector<int64_t> offsets(raw_ends.size(), -1);
  for (const auto& [partition, at] : committed) {
    if (static_cast<size_t>(partition) < offsets.size())
      offsets[static_cast<size_t>(partition)] = at.offset;
  }
  const std::vector<int32_t> unknown = UnknownPartitions(site, recorded, offsets, raw_ends);
  if (!unknown.empty()) {
    for (const std::string& topic : options_.outputs) {
      SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> ends, admin_->LogEnds(topic));
      if (std::all_of(ends.begin(), ends.end(), [](int64_t end) { return end == 0; })) continue;
      // Another replica may have begun meanwhile, and recorded that before any result.
      SLUICE_RETURN_IF_ERROR(reader_.ReadOn(*admin_));
      if (reader_.recorded().Begun(site.topic_id)) return absl::OkStatus();
      return Refused(base::StrCat(
          "topic ", topic, " holds results, but of ", PartitionsText(unknown), " of ", site.topic,
          " group ", site.group, " has committed nothing and nothing is recorded of pipeline '",
          site.pipeline,
          "': starting at the first record would publish events again. `sluicectl offsets recover` "
          "finds a lower bound in the results; `sluicectl offsets set` sets the positions"));
    }
  }
  // From before positions were recorded, or set by a person before the first start.
  if (!any_recorded && !committed.empty() &&
      std::all_of(committed.begin(), committed.end(),
                  [](const auto& at) { return at.second.metadata.empty(); })) {
    Log(Severity::kWarning, "positions_adopted",
        {{"group", SafeText(site.group)}, {"partitions", static_cast<int64_t>(committed.size())}});
  }
  // What is committed alone is recorded with the next results of it. If the group is lost before,
  // only the results can say that it was read.
  for (const auto& [partition, at] : committed) {
    if (recorded.Find(site.topic_id, partition) == nullptr) return absl::OkStatus();
  }
  return RecordBegin();
}

// Before anything else is written: the records of a transaction that is aborted stay in the
// outputs' logs, and would look like results at the next start. And before the topic is given more
// partitions, which are read from their beginning.
absl::Status PositionGuard::RecordBegin() const {
  positions::v1::VersionBegin begin;
  begin.set_version("none");
  const std::string key = BegunKeyText(options_.site.pipeline, options_.site.topic_id);
  const std::string value = begin.SerializeAsString();
  SLUICE_ASSIGN_OR_RETURN(auto writer, kafka::TopicWriter::Create({options_.connection}));
  SLUICE_RETURN_IF_ERROR(writer->Write({options_.positions_topic, 0, key, value, {}, {}}));
  return writer->Flush();
}

absl::Status PositionGuard::CheckKeys(const HeldKeys& held) const {
  std::shared_ptr<const RecordedPositions> recorded;
  {
    base::MutexLock lock(mutex_);
    recorded = recorded_;
  }
  if (recorded == nullptr) return absl::OkStatus();
  return CompareKeys(recorded->keys(), held);
}

std::shared_ptr<const HeldKeys> PositionGuard::service_keys() const {
  base::MutexLock lock(mutex_);
  return keys_agree_ ? answered_keys_ : nullptr;
}

absl::Status PositionGuard::AskForKeys() {
  if (!options_.ask_keys) return absl::OkStatus();
  std::shared_ptr<const HeldKeys> keys;
  bool ask = false;
  {
    base::MutexLock lock(mutex_);
    keys = answered_keys_;
    ask = keys == nullptr || !keys_agree_;
  }
  if (keys != nullptr && options_.epoch_seen) {
    for (const privacy::KeyringDomain& domain : keys->domains) {
      const uint32_t seen = options_.epoch_seen(domain.name);
      ask |= seen != 0 && domain.Find(seen) == nullptr;
    }
  }
  const auto now = std::chrono::steady_clock::now();
  if (ask && now >= keys_at_) {
    keys_at_ = now + kKeysRetry;
    auto answer = options_.ask_keys();
    if (answer.ok()) {
      keys = *std::move(answer);
    } else {
      // Which it has isn't for everybody to see, and it guards its own keyring. Whoever may not
      // mustn't look like somebody who tries doors.
      const bool later = absl::IsUnavailable(answer.status()) ||
                         absl::IsDeadlineExceeded(answer.status()) ||
                         absl::IsResourceExhausted(answer.status());
      if (!later) keys_at_ = std::chrono::steady_clock::time_point::max();
      Log(Severity::kInfo, "keys_not_compared",
          {{"reason", SafeText(base::View(answer.status().message()))}});
    }
  }
  if (keys == nullptr) return absl::OkStatus();
  absl::Status agree = CheckKeys(*keys);
  base::MutexLock lock(mutex_);
  answered_keys_ = std::move(keys);
  keys_agree_ = agree.ok();
  return agree;
}

absl::Status PositionGuard::Ask(bool read) {
  if (admin_ == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(options_.connection, kAnswerMaxMs));
  }
  absl::Status foreign = Foreign(*admin_);
  if (!foreign.ok() && !absl::IsFailedPrecondition(foreign)) return foreign;
  SLUICE_ASSIGN_OR_RETURN(std::string id, admin_->TopicId(options_.site.topic));
  if (read || id != topic_id()) SLUICE_RETURN_IF_ERROR(reader_.ReadOn(*admin_));
  if (foreign.ok() && id != topic_id()) foreign = Follow(id);
  if (foreign.ok()) foreign = AskForKeys();
  Refuse(std::move(foreign));
  return absl::OkStatus();
}

absl::Status PositionGuard::Follow(const std::string& topic_id) {
  const std::string& topic = options_.site.topic;
  for (const auto& [key, position] : reader_.recorded().all()) {
    if (key.topic_id != topic_id || position.topic() != topic) continue;
    Log(Severity::kWarning, "topic_followed",
        {{"topic", SafeText(topic)}, {"id", SafeText(topic_id)}});
    base::MutexLock lock(mutex_);
    topic_id_ = topic_id;
    return absl::OkStatus();
  }
  return Refused(base::StrCat(
      "topic ", topic, " was deleted and created again (id ", this->topic_id(), " then, ", topic_id,
      " now): what was in the old one and has no result is lost. To begin with the "
      "new one, `sluicectl offsets recover --yes`, then `sluicectl resume`"));
}

std::string PositionGuard::topic_id() const {
  base::MutexLock lock(mutex_);
  return topic_id_;
}

void PositionGuard::Refuse(absl::Status why) {
  base::MutexLock lock(mutex_);
  if (!why.ok() && refusal_.ok())
    Log(Severity::kError, "positions_refused", {{"reason", SafeText(base::View(why.message()))}});
  refused_ = !why.ok();
  refusal_ = std::move(why);
}

absl::Status PositionGuard::refusal() const {
  if (!refused_.load(std::memory_order_relaxed)) [[likely]]
    return absl::OkStatus();
  base::MutexLock lock(mutex_);
  return refusal_;
}

void PositionGuard::Run() {
  bool failed = false;
  while (true) {
    uint64_t asked = 0;
    bool read = false;
    {
      base::MutexLock lock(mutex_);
      if (failed) lock.WaitFor(changed_, kRetry, [this] { return stop_; });
      lock.WaitFor(changed_, options_.interval, [this] { return stop_ || asked_ > answered_; });
      if (stop_) return;
      asked = asked_;
      read = asked_ > answered_;
    }
    absl::Status answer = Ask(read);
    failed = !answer.ok();
    if (failed) {
      admin_.reset();
      Log(Severity::kWarning, "positions_unknown",
          {{"reason", SafeText(base::View(answer.message()))}});
    }
    // Until the brokers are back there is no answer, as there are no records.
    if (!read || IsOutage(answer)) continue;
    base::MutexLock lock(mutex_);
    answered_ = asked;
    answer_ = std::move(answer);
    recorded_ = std::make_shared<const RecordedPositions>(reader_.recorded());
  }
}

std::optional<absl::Status> PositionGuard::Check(std::span<const CommittedPosition> positions,
                                                 PositionRecorder& recorder) {
  if (!refused_ && recorder.ticket_ == 0 && recorder.Resume(positions)) return absl::OkStatus();
  // What is recorded is compared with what was committed before and after it was read: if that
  // moved, another member was still at it.
  std::vector<std::pair<int32_t, int64_t>> asked;
  for (const CommittedPosition& position : positions)
    asked.emplace_back(position.partition, position.offset);
  absl::Status answer;
  std::string topic_id;
  std::shared_ptr<const RecordedPositions> recorded;
  {
    base::MutexLock lock(mutex_);
    if (recorder.ticket_ == 0 || recorder.asked_ != asked) {
      recorder.asked_ = std::move(asked);
      recorder.ticket_ = ++asked_;
      changed_.notify_all();
    }
    if (answered_ < recorder.ticket_) return std::nullopt;
    recorder.ticket_ = 0;
    answer = answer_;
    if (answer.ok()) answer = refusal_;
    recorded = recorded_;
    topic_id = topic_id_;
  }
  if (absl::IsDeadlineExceeded(answer)) {
    return absl::FailedPreconditionError(
        base::StrCat("topic ", options_.positions_topic,
                     " can't be read to its end: ", base::View(answer.message())));
  }
  if (!answer.ok()) return answer;
  for (const CommittedPosition& position : positions) {
    SLUICE_RETURN_IF_ERROR(
        ComparePosition(options_.site, position, recorded->Find(topic_id, position.partition)));
  }
  recorder.Begin(positions, *recorded, std::move(topic_id));
  return absl::OkStatus();
}

}  // namespace sluice::processor
