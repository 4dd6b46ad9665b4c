#include "services/audit/audit.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/privacy/pseudonym.h"
#include "services/processor/positions.h"

namespace sluice::audit {
namespace {

constexpr size_t kExamplesMax = 20;
constexpr size_t kPseudonymsPerCall = 1000;

struct Position {
  int32_t partition = -1;
  int64_t offset = -1;
};

// Versions (`sluice-plan`) that are told apart; further ones are judged like the last.
constexpr size_t kPlansMax = 250;
constexpr size_t kReasonsMax = 20;
// What a transaction has published stands before what it has committed can be asked for.
constexpr std::chrono::seconds kSettle(5);
constexpr std::chrono::milliseconds kSettleStep(200);

// What was found of the raw events of one partition. Offsets that hold no event (markers of
// transactions, compacted ones) have a row too.
class RawPartition {
 public:
  RawPartition(int64_t begin, int64_t cut, size_t streams)
      : begin_(begin),
        cut_(std::max(cut, begin)),
        streams_(streams),
        rows_(static_cast<size_t>(cut_ - begin_) * (streams + 3)) {}

  enum Kind : uint8_t { kNone, kEvent, kTombstone };

  int64_t begin() const { return begin_; }
  int64_t cut() const { return cut_; }
  // By stream, how often; then how often in quarantine; the kind; and the version that judged it
  // and 1.
  uint8_t* Row(int64_t offset) {
    return &rows_[static_cast<size_t>(offset - begin_) * (streams_ + 3)];
  }
  uint8_t& Quarantined(int64_t offset) { return Row(offset)[streams_]; }
  uint8_t& KindOf(int64_t offset) { return Row(offset)[streams_ + 1]; }
  uint8_t& PlanOf(int64_t offset) { return Row(offset)[streams_ + 2]; }

 private:
  int64_t begin_, cut_;  // judged is [begin, cut)
  size_t streams_;
  std::vector<uint8_t> rows_;
};

struct Pseudonyms {
  absl::flat_hash_map<privacy::PseudonymBlock, Position> positions;
  std::set<uint32_t> epochs;  // active ones
};

// What an output topic may have held that it holds no longer.
struct Output {
  std::vector<kafka::ReadRange> ranges;
  bool compacted = false;
  bool ordered = true;  // by raw offset, in each partition; else by key only
  // Of a stream that isn't internal: results that only keys of a retired epoch could name.
  uint64_t retired = 0;
  // By raw partition: below this raw offset, a missing result may have been one of those that are
  // gone. By output partition as it is read, then over all that have lost some.
  std::map<std::pair<int32_t, int32_t>, int64_t> first;  // by output and raw partition
  std::map<int32_t, int64_t> gone_below;
  std::vector<bool> plans;  // those that it has a record of
};

class Auditor {
 public:
  Auditor(const Options& options, const engine::Pipeline& pipeline,
          privacy::Pseudonymiser& pseudonymiser)
      : options_(options),
        reader_({.connection = options.connection, .idle_timeout_ms = options.idle_timeout_ms}),
        pipeline_(pipeline),
        pseudonymiser_(pseudonymiser),
        raw_topic_(pipeline.config().input().topic()),
        quarantine_topic_(pipeline.config().quarantine().topic()),
        streams_(pipeline.streams().size()) {}

  absl::StatusOr<Findings> Run() {
    SLUICE_RETURN_IF_ERROR(Cut());
    SLUICE_RETURN_IF_ERROR(ReadRaw());
    if (!created_again_) {
      for (size_t i = 0; i < pipeline_.streams().size(); ++i) SLUICE_RETURN_IF_ERROR(ReadStream(i));
      SLUICE_RETURN_IF_ERROR(ReadQuarantine());
    }
    SLUICE_RETURN_IF_ERROR(JudgeGroup());
    Judge();
    return std::move(findings_);
  }

 private:
  std::string Name(const Position& position) const {
    return base::StrCat(raw_topic_, '/', position.partition, '/', position.offset);
  }
  static std::string Name(const kafka::ReadRecord& record) {
    return base::StrCat(record.topic, '/', record.partition, '/', record.offset);
  }

  void Example(std::string what) {
    if (findings_.examples.size() < kExamplesMax) findings_.examples.push_back(std::move(what));
  }
  void Reason(std::string why) {
    auto& reasons = findings_.reasons;
    if (reasons.size() < kReasonsMax &&
        std::find(reasons.begin(), reasons.end(), why) == reasons.end())
      reasons.push_back(std::move(why));
  }

  // In this order: what is committed, where the outputs end, where the raw topic ends. So every
  // result of what is committed lies below the outputs' ends, and every result below them names an
  // event below the raw topic's.
  absl::Status Cut() {
    SLUICE_ASSIGN_OR_RETURN(admin_, kafka::Admin::Create(options_.connection));
    SLUICE_ASSIGN_OR_RETURN(committed_, admin_->Committed(options_.group, raw_topic_));
    for (size_t i = 0; i < pipeline_.streams().size(); ++i)
      SLUICE_RETURN_IF_ERROR(AddOutput(pipeline_.streams()[i].topic, streams_[i]));
    SLUICE_RETURN_IF_ERROR(AddOutput(quarantine_topic_, quarantine_));
    SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::PartitionRange> raw, admin_->Ranges(raw_topic_));
    SLUICE_ASSIGN_OR_RETURN(raw_ends_, admin_->LogEnds(raw_topic_));
    SLUICE_ASSIGN_OR_RETURN(raw_compacted_, Compacted(raw_topic_));
    SLUICE_RETURN_IF_ERROR(LookForFormerTopic());
    int64_t events = 0;
    committed_.resize(raw.size(), -1);
    raw_ends_.resize(raw.size(), 0);
    for (const kafka::PartitionRange& range : raw) {
      // A partition that was added since then has no results that are judged.
      auto at = static_cast<size_t>(range.partition);
      int64_t cut = std::min(committed_[at], range.end);
      events += range.end - range.begin;
      if (events > options_.events_max) {
        return absl::ResourceExhaustedError(
            base::StrCat("topic ", raw_topic_, " holds more than ", options_.events_max,
                         " events; raise --events-max (some 100 bytes of memory each)"));
      }
      raw_.emplace_back(range.begin, cut, pipeline_.streams().size());
      raw_ranges_.push_back({raw_topic_, range.partition, range.begin, range.end});
      truncated_ |= range.begin > 0;
    }
    last_result_.resize(raw_.size(), -1);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Compacted(const std::string& topic) {
    auto config = admin_->DescribeTopic(topic);
    if (absl::IsPermissionDenied(config.status())) {
      policy_hidden_.insert(topic);
      return false;
    }
    if (!config.ok()) return config.status();
    return (*config)["cleanup.policy"].find("compact") != std::string::npos;
  }

  absl::Status AddOutput(const std::string& topic, Output& output) {
    SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> ends, admin_->LogEnds(topic));
    SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::PartitionRange> ranges, admin_->Ranges(topic));
    SLUICE_ASSIGN_OR_RETURN(output.compacted, Compacted(topic));
    for (const kafka::PartitionRange& range : ranges) {
      auto at = static_cast<size_t>(range.partition);
      if (at < ends.size())
        output.ranges.push_back({topic, range.partition, range.begin, ends[at]});
    }
    return absl::OkStatus();
  }

  // Results name raw events by the topic's name: those of a topic that had it before look the same.
  absl::Status LookForFormerTopic() {
    const config::v1::Pipeline& config = pipeline_.config();
    SLUICE_ASSIGN_OR_RETURN(std::string id, admin_->TopicId(raw_topic_));
    processor::PositionReader positions(
        {options_.connection, processor::PositionsTopic(config), processor::PipelineName(config)});
    absl::Status read = positions.ReadOn(*admin_);
    // Without it nothing is known of a former one.
    if (absl::IsNotFound(read) || absl::IsPermissionDenied(read)) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(read);
    std::set<std::string> ids;
    for (const auto& [key, position] : positions.recorded().all()) {
      if (position.topic() == raw_topic_) ids.insert(key.topic_id);
    }
    if (ids.empty() || (ids.size() == 1 && ids.contains(id))) return absl::OkStatus();
    if (ids.contains(id)) {
      Reason(base::StrCat("topic ", raw_topic_,
                          " was deleted and created again: results of the former one may name the "
                          "same places"));
      return absl::OkStatus();
    }
    // All results are of the former one.
    created_again_ = true;
    ++findings_.misplaced;
    Example(base::StrCat(raw_topic_, ": was deleted and created again (id ", *ids.begin(),
                         " then, ", id, " now); nothing of the new one has a result"));
    return absl::OkStatus();
  }

  absl::Status ReadRaw() {
    return reader_.Read(raw_ranges_, [&](const kafka::ReadRecord& record) {
      RawPartition& raw = raw_[record.partition];
      if (record.offset >= raw.cut()) {
        ++findings_.waiting;
        later_.push_back({record.partition, record.offset});
      } else if (record.offset >= raw.begin()) {
        raw.KindOf(record.offset) =
            record.value.has_value() ? RawPartition::kEvent : RawPartition::kTombstone;
      }
      return absl::OkStatus();
    });
  }

  // Of every raw event that is there, in a domain, under each epoch whose keys are in use: a
  // rotation leaves results of both behind.
  absl::StatusOr<Pseudonyms> PseudonymsIn(const std::string& domain_name) {
    Pseudonyms pseudonyms;
    SLUICE_ASSIGN_OR_RETURN(uint16_t newest, pseudonymiser_.Domain(domain_name));
    SLUICE_ASSIGN_OR_RETURN(uint32_t epoch, AddPseudonyms(newest, pseudonyms));
    while (epoch-- > 1) {
      auto older = pseudonymiser_.Domain(base::StrCat(domain_name, "@", epoch));
      if (absl::IsNotFound(older.status())) continue;
      if (!older.ok()) return older.status();
      SLUICE_RETURN_IF_ERROR(AddPseudonyms(*older, pseudonyms).status());
    }
    return pseudonyms;
  }

  // Returns the epoch; 0 where there is no event.
  absl::StatusOr<uint32_t> AddPseudonyms(uint16_t domain, Pseudonyms& pseudonyms) {
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    std::vector<Position> positions;
    uint32_t epoch = 0;
    auto flush = [&]() -> absl::Status {
      if (positions.empty()) return absl::OkStatus();
      SLUICE_RETURN_IF_ERROR(pseudonymiser_.Pseudonymise(batch, answer));
      for (size_t i = 0; i < positions.size(); ++i)
        pseudonyms.positions[answer.blocks[i]] = positions[i];
      epoch = answer.domains[domain].epoch;
      pseudonyms.epochs.insert(epoch);
      batch.Clear();
      positions.clear();
      return absl::OkStatus();
    };
    auto add = [&](const Position& position) -> absl::Status {
      batch.Add(contract::v1::SOURCE_POSITION, Name(position), std::vector<uint16_t>{domain});
      positions.push_back(position);
      return positions.size() == kPseudonymsPerCall ? flush() : absl::OkStatus();
    };
    for (size_t partition = 0; partition < raw_.size(); ++partition) {
      RawPartition& raw = raw_[partition];
      for (int64_t offset = raw.begin(); offset < raw.cut(); ++offset) {
        if (raw.KindOf(offset) == RawPartition::kNone) continue;
        SLUICE_RETURN_IF_ERROR(add({static_cast<int32_t>(partition), offset}));
      }
    }
    for (const Position& position : later_) SLUICE_RETURN_IF_ERROR(add(position));
    SLUICE_RETURN_IF_ERROR(flush());
    return epoch;
  }

  std::optional<Position> Parse(std::string_view source) const {
    if (!source.starts_with(raw_topic_) || source.substr(raw_topic_.size(), 1) != "/")
      return std::nullopt;
    source.remove_prefix(raw_topic_.size() + 1);
    size_t slash = source.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    Position position;
    std::from_chars(source.data(), source.data() + slash, position.partition);
    std::from_chars(source.data() + slash + 1, source.data() + source.size(), position.offset);
    if (position.partition < 0 || position.partition >= static_cast<int32_t>(raw_.size()) ||
        position.offset < 0) {
      return std::nullopt;
    }
    return position;
  }

  // The raw event that a result names, if it is to be judged; a finding, when there is none.
  std::optional<Position> Find(const kafka::ReadRecord& record, const Pseudonyms* pseudonyms,
                               Output& output) {
    std::string_view source, plan;
    for (const auto& header : record.headers) {
      if (header.name == "sluice-src") source = header.value;
      if (header.name == "sluice-plan") plan = header.value;
    }
    std::optional<Position> position;
    if (pseudonyms != nullptr) {
      auto parsed = privacy::ParsePseudonym(source);
      if (parsed) {
        auto found = pseudonyms->positions.find(parsed->block);
        if (found != pseudonyms->positions.end()) position = found->second;
      }
      if (!position && parsed && !pseudonyms->epochs.empty() &&
          !pseudonyms->epochs.contains(parsed->epoch)) {
        ++output.retired;
        return std::nullopt;
      }
      if (!position && parsed && (truncated_ || raw_compacted_)) {
        ++findings_.older;
        return std::nullopt;
      }
    } else {
      position = Parse(source);
    }
    if (position && position->offset < raw_[position->partition].begin()) {
      ++findings_.older;
      return std::nullopt;
    }
    if (position) {
      // A stream that isn't internal keeps the order of each key only.
      int64_t& last = pseudonyms == nullptr
                          ? last_[{record.partition, position->partition}]
                          : last_of_key_[{std::hash<std::string_view>()(record.key.value_or("")),
                                          position->partition}];
      if (pseudonyms != nullptr && !record.key) last = 0;
      if (position->offset < last) {
        ++findings_.unordered;
        Example(base::StrCat(Name(record), ": stands behind a later event's"));
      }
      last = std::max(last, position->offset);
      output.first.try_emplace({record.partition, position->partition}, position->offset);
      int64_t& newest = last_result_[static_cast<size_t>(position->partition)];
      newest = std::max(newest, position->offset);
      RawPartition& raw = raw_[position->partition];
      if (position->offset >= raw.cut() && position->offset < raw_ranges_[position->partition].end)
        return std::nullopt;
      if (position->offset < raw.cut() && raw.KindOf(position->offset) != RawPartition::kNone) {
        raw.PlanOf(position->offset) = static_cast<uint8_t>(PlanIndex(plan, output) + 1);
        return position;
      }
      // Compaction takes a raw event when a later one has its key.
      if (position->offset < raw.cut() && raw_compacted_) {
        ++findings_.older;
        return std::nullopt;
      }
    }
    ++findings_.strays;
    Example(base::StrCat(Name(record), ": names no raw event"));
    return std::nullopt;
  }

  size_t PlanIndex(std::string_view plan, Output& output) {
    auto known = plans_.find(plan);
    if (known == plans_.end())
      known = plans_.emplace(std::string(plan), std::min(plans_.size(), kPlansMax)).first;
    if (output.plans.size() <= known->second) output.plans.resize(known->second + 1);
    output.plans[known->second] = true;
    return known->second;
  }

  absl::Status ReadStream(size_t index) {
    const engine::StreamPlan& stream = pipeline_.streams()[index];
    streams_[index].ordered = stream.internal;
    Pseudonyms pseudonyms;
    if (!stream.internal) {
      SLUICE_ASSIGN_OR_RETURN(pseudonyms, PseudonymsIn(pipeline_.domains()[stream.domain]));
    }
    last_of_key_.clear();
    return ReadOutput(streams_[index], [&](const kafka::ReadRecord& record) {
      auto position = Find(record, stream.internal ? nullptr : &pseudonyms, streams_[index]);
      if (position) CountUp(raw_[position->partition].Row(position->offset)[index]);
    });
  }

  absl::Status ReadQuarantine() {
    return ReadOutput(quarantine_, [&](const kafka::ReadRecord& record) {
      auto position = Find(record, nullptr, quarantine_);
      if (position) CountUp(raw_[position->partition].Quarantined(position->offset));
    });
  }

  template <typename Each>
  absl::Status ReadOutput(Output& output, Each each) {
    last_.clear();
    SLUICE_RETURN_IF_ERROR(reader_.Read(output.ranges, [&](const kafka::ReadRecord& record) {
      each(record);
      return absl::OkStatus();
    }));
    // In one partition results stand in raw order, but for streams that hide it: what its lost
    // beginning held is of raw events before the first that it still names.
    for (const kafka::ReadRange& range : output.ranges) {
      if (range.begin == 0) continue;
      for (int32_t raw = 0; raw < static_cast<int32_t>(raw_.size()); ++raw) {
        auto first = output.first.find({range.partition, raw});
        const bool known = output.ordered && first != output.first.end();
        int64_t below = known ? first->second : INT64_MAX;
        auto [at, added] = output.gone_below.try_emplace(raw, below);
        at->second = std::max(at->second, below);
      }
    }
    return absl::OkStatus();
  }

  static void CountUp(uint8_t& count) {
    if (count < 255) ++count;
  }

  // Why a result that isn't in the output may have been there all the same; empty: it wasn't.
  std::string Hidden(const std::string& topic, const Output& output, const Position& position) {
    if (output.compacted) return base::StrCat("topic ", topic, " is compacted");
    if (output.retired > 0) {
      return base::StrCat("topic ", topic,
                          " holds results whose keys are retired: which events they are of can't "
                          "be known");
    }
    auto gone = output.gone_below.find(position.partition);
    if (gone != output.gone_below.end() && position.offset < gone->second)
      return base::StrCat("topic ", topic, " keeps its oldest records no longer");
    if (policy_hidden_.contains(topic)) {
      return base::StrCat("topic ", topic,
                          " may be compacted: grant DescribeConfigs on it to whoever audits");
    }
    return "";
  }

  // Whether the stream was there when this version judged.
  bool Judged(const Output& stream, uint8_t plan) const {
    if (plan == 0) return true;
    size_t index = plan - 1u;
    if (index < stream.plans.size() && stream.plans[index]) return true;
    auto now = plans_.find(pipeline_.fingerprint());
    return now != plans_.end() && now->second == index;
  }

  // Asked for again, because the results that were read are newer than what was committed then.
  absl::Status JudgeGroup() {
    auto until = std::chrono::steady_clock::now() + kSettle;
    std::vector<int64_t> now = committed_;
    auto behind = [&](size_t at) { return last_result_[at] >= 0 && now[at] <= last_result_[at]; };
    while (true) {
      bool any = false;
      for (size_t at = 0; at < raw_.size(); ++at) any |= behind(at);
      if (!any || std::chrono::steady_clock::now() >= until) break;
      std::this_thread::sleep_for(kSettleStep);
      SLUICE_ASSIGN_OR_RETURN(now, admin_->Committed(options_.group, raw_topic_));
      now.resize(raw_.size(), -1);
    }
    for (size_t at = 0; at < raw_.size(); ++at) {
      std::string where = base::StrCat(raw_topic_, "/", at);
      if (committed_[at] > raw_ends_[at]) {
        ++findings_.misplaced;
        Example(base::StrCat(where, ": group ", options_.group, " is at ", committed_[at],
                             ", and the log ends at ", raw_ends_[at]));
      } else if (behind(at)) {
        ++findings_.misplaced;
        Example(base::StrCat(where, ": group ", options_.group, " is at ", now[at],
                             ", and there are results up to ", last_result_[at],
                             ": they would be published again"));
      }
      const int64_t begin = raw_[at].begin();
      if (committed_[at] >= 0 && committed_[at] < begin) {
        findings_.lost += static_cast<uint64_t>(begin - committed_[at]);
        Example(base::StrCat(where, ": offsets ", committed_[at], " to ", begin - 1,
                             " aged out before the group came to them"));
      }
    }
    return absl::OkStatus();
  }

  void Judge() {
    bool suppress = pipeline_.config().input().tombstones() == config::v1::Input::suppress;
    const size_t streams = pipeline_.streams().size();
    for (size_t partition = 0; partition < raw_.size(); ++partition) {
      RawPartition& raw = raw_[partition];
      for (int64_t offset = raw.begin(); offset < raw.cut(); ++offset) {
        uint8_t kind = raw.KindOf(offset);
        if (kind == RawPartition::kNone) continue;
        ++findings_.in;
        Position position{static_cast<int32_t>(partition), offset};
        const uint8_t* row = raw.Row(offset);
        uint8_t quarantined = raw.Quarantined(offset);
        uint8_t most = *std::max_element(row, row + streams);
        if (most > 1 || quarantined > 1 || (most > 0 && quarantined > 0)) {
          ++findings_.doubled;
          Example(Name(position) + ": doubled");
          continue;
        }
        if (quarantined == 1) {
          ++findings_.quarantined;
          continue;
        }
        if (most == 0) {
          JudgeAbsent(position, kind == RawPartition::kTombstone && suppress);
          continue;
        }
        bool torn = false;
        std::string hidden;
        for (size_t i = 0; i < streams; ++i) {
          if (row[i] > 0) continue;
          std::string why = Hidden(pipeline_.streams()[i].topic, streams_[i], position);
          if (why.empty() && !Judged(streams_[i], raw.PlanOf(offset))) continue;
          torn |= why.empty();
          if (!why.empty()) hidden = std::move(why);
        }
        if (torn) {
          ++findings_.torn;
          Example(Name(position) + ": in some streams, not in all");
        } else if (!hidden.empty()) {
          ++findings_.unknown;
          Reason(std::move(hidden));
        } else {
          ++findings_.clean;
        }
      }
    }
  }

  // No result is there.
  void JudgeAbsent(const Position& position, bool suppressed) {
    if (suppressed) {
      ++findings_.suppressed;
      return;
    }
    // It was quarantined, or clean in every stream: either may be gone.
    std::string hidden = Hidden(quarantine_topic_, quarantine_, position);
    if (hidden.empty()) {
      for (size_t i = 0; i < streams_.size(); ++i) {
        hidden = Hidden(pipeline_.streams()[i].topic, streams_[i], position);
        if (hidden.empty()) break;
      }
    }
    if (created_again_) hidden.clear();
    if (hidden.empty()) {
      ++findings_.lost;
      Example(Name(position) + ": lost");
    } else {
      ++findings_.unknown;
      Reason(std::move(hidden));
    }
  }

  const Options& options_;
  kafka::TopicReader reader_;
  const engine::Pipeline& pipeline_;
  privacy::Pseudonymiser& pseudonymiser_;
  const std::string raw_topic_, quarantine_topic_;
  std::vector<RawPartition> raw_;  // by partition
  std::vector<kafka::ReadRange> raw_ranges_;
  std::vector<Output> streams_;
  Output quarantine_;
  std::map<std::string, size_t, std::less<>> plans_;
  std::set<std::string> policy_hidden_;  // topics whose configuration may not be read
  std::unique_ptr<kafka::Admin> admin_;
  std::vector<int64_t> committed_, raw_ends_;  // by raw partition
  std::vector<int64_t> last_result_;           // by raw partition, the newest event that has one
  bool raw_compacted_ = false;
  bool created_again_ = false;                           // the raw topic was, and has no result yet
  std::vector<Position> later_;                          // raw events behind the cut
  bool truncated_ = false;                               // the raw topic has lost its oldest events
  std::map<std::pair<int32_t, int32_t>, int64_t> last_;  // by output and raw partition
  // By a hash of the record's key and raw partition.
  absl::flat_hash_map<std::pair<size_t, int32_t>, int64_t> last_of_key_;
  Findings findings_;
};

}  // namespace

absl::StatusOr<Findings> Audit(const Options& options, const engine::Pipeline& pipeline,
                               privacy::Pseudonymiser& pseudonymiser) {
  return Auditor(options, pipeline, pseudonymiser).Run();
}

}  // namespace sluice::audit
