#include "services/audit/audit.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/privacy/pseudonym.h"

namespace sluice::audit {
namespace {

constexpr size_t kExamplesMax = 20;
constexpr size_t kPseudonymsPerCall = 1000;

struct Position {
  int32_t partition = -1;
  int64_t offset = -1;
};

// What was found of the raw events of one partition. Offsets that hold no event (markers of
// transactions, compacted ones) have a row too.
class RawPartition {
 public:
  RawPartition(int64_t begin, int64_t cut, size_t streams)
      : begin_(begin),
        cut_(std::max(cut, begin)),
        streams_(streams),
        rows_(static_cast<size_t>(cut_ - begin_) * (streams + 2)) {}

  enum Kind : uint8_t { kNone, kEvent, kTombstone };

  int64_t begin() const { return begin_; }
  int64_t cut() const { return cut_; }
  // By stream, how often; then how often in quarantine; then the kind.
  uint8_t* Row(int64_t offset) {
    return &rows_[static_cast<size_t>(offset - begin_) * (streams_ + 2)];
  }
  uint8_t& Quarantined(int64_t offset) { return Row(offset)[streams_]; }
  uint8_t& KindOf(int64_t offset) { return Row(offset)[streams_ + 1]; }

 private:
  int64_t begin_, cut_;  // judged is [begin, cut)
  size_t streams_;
  std::vector<uint8_t> rows_;
};

using Pseudonyms = absl::flat_hash_map<privacy::PseudonymBlock, Position>;

class Auditor {
 public:
  Auditor(const Options& options, const engine::Pipeline& pipeline,
          privacy::Pseudonymiser& pseudonymiser)
      : options_(options),
        reader_({options.connection}),
        pipeline_(pipeline),
        pseudonymiser_(pseudonymiser),
        raw_topic_(pipeline.config().input().topic()),
        quarantine_topic_(pipeline.config().quarantine().topic()) {}

  absl::StatusOr<Findings> Run() {
    SLUICE_RETURN_IF_ERROR(Cut());
    SLUICE_RETURN_IF_ERROR(ReadRaw());
    for (size_t i = 0; i < pipeline_.streams().size(); ++i) SLUICE_RETURN_IF_ERROR(ReadStream(i));
    SLUICE_RETURN_IF_ERROR(ReadQuarantine());
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

  // In this order: what is committed, where the outputs end, where the raw topic ends. So every
  // result of what is committed lies below the outputs' ends, and every result below them names an
  // event below the raw topic's.
  absl::Status Cut() {
    SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                            kafka::Admin::Create(options_.connection));
    SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> committed,
                            admin->Committed(options_.group, raw_topic_));
    for (const engine::StreamPlan& stream : pipeline_.streams())
      SLUICE_RETURN_IF_ERROR(AddOutput(*admin, stream.topic));
    SLUICE_RETURN_IF_ERROR(AddOutput(*admin, quarantine_topic_));
    SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::PartitionRange> raw, admin->Ranges(raw_topic_));
    int64_t events = 0;
    for (const kafka::PartitionRange& range : raw) {
      // A partition that was added since then has no results that are judged.
      auto at = static_cast<size_t>(range.partition);
      int64_t cut = at < committed.size() ? std::min(committed[at], range.end) : -1;
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
    return absl::OkStatus();
  }

  absl::Status AddOutput(kafka::Admin& admin, const std::string& topic) {
    SLUICE_ASSIGN_OR_RETURN(std::vector<int64_t> ends, admin.LogEnds(topic));
    SLUICE_ASSIGN_OR_RETURN(std::vector<kafka::PartitionRange> ranges, admin.Ranges(topic));
    std::vector<kafka::ReadRange>& output = outputs_[topic];
    for (const kafka::PartitionRange& range : ranges) {
      auto at = static_cast<size_t>(range.partition);
      if (at < ends.size()) output.push_back({topic, range.partition, range.begin, ends[at]});
    }
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
      for (size_t i = 0; i < positions.size(); ++i) pseudonyms[answer.blocks[i]] = positions[i];
      epoch = answer.domains[domain].epoch;
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
  std::optional<Position> Find(const kafka::ReadRecord& record, const Pseudonyms* pseudonyms) {
    std::string_view source;
    for (const auto& header : record.headers) {
      if (header.name == "sluice-src") source = header.value;
    }
    std::optional<Position> position;
    if (pseudonyms != nullptr) {
      auto parsed = privacy::ParsePseudonym(source);
      auto found = parsed ? pseudonyms->find(parsed->block) : pseudonyms->end();
      if (found != pseudonyms->end()) position = found->second;
      if (!position && parsed && truncated_) {
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
      RawPartition& raw = raw_[position->partition];
      if (position->offset >= raw.cut() && position->offset < raw_ranges_[position->partition].end)
        return std::nullopt;
      if (position->offset < raw.cut() && raw.KindOf(position->offset) != RawPartition::kNone) {
        return position;
      }
    }
    ++findings_.unknown;
    Example(base::StrCat(Name(record), ": names no raw event"));
    return std::nullopt;
  }

  absl::Status ReadStream(size_t index) {
    const engine::StreamPlan& stream = pipeline_.streams()[index];
    Pseudonyms pseudonyms;
    if (!stream.internal) {
      SLUICE_ASSIGN_OR_RETURN(pseudonyms, PseudonymsIn(pipeline_.domains()[stream.domain]));
    }
    last_.clear();
    last_of_key_.clear();
    return reader_.Read(outputs_[stream.topic], [&](const kafka::ReadRecord& record) {
      auto position = Find(record, stream.internal ? nullptr : &pseudonyms);
      if (position) CountUp(raw_[position->partition].Row(position->offset)[index]);
      return absl::OkStatus();
    });
  }

  absl::Status ReadQuarantine() {
    last_.clear();
    return reader_.Read(outputs_[quarantine_topic_], [&](const kafka::ReadRecord& record) {
      auto position = Find(record, nullptr);
      if (position) CountUp(raw_[position->partition].Quarantined(position->offset));
      return absl::OkStatus();
    });
  }

  static void CountUp(uint8_t& count) {
    if (count < 255) ++count;
  }

  void Judge() {
    bool suppress = pipeline_.config().input().tombstones() == config::v1::Input::suppress;
    for (size_t partition = 0; partition < raw_.size(); ++partition) {
      RawPartition& raw = raw_[partition];
      for (int64_t offset = raw.begin(); offset < raw.cut(); ++offset) {
        uint8_t kind = raw.KindOf(offset);
        if (kind == RawPartition::kNone) continue;
        ++findings_.in;
        Position position{static_cast<int32_t>(partition), offset};
        const uint8_t* row = raw.Row(offset);
        auto [least, most] = std::minmax_element(row, row + pipeline_.streams().size());
        uint8_t quarantined = raw.Quarantined(offset);
        if (*most > 1 || quarantined > 1 || (*most > 0 && quarantined > 0)) {
          ++findings_.doubled;
          Example(Name(position) + ": doubled");
        } else if (*least != *most) {
          ++findings_.torn;
          Example(Name(position) + ": in some streams, not in all");
        } else if (*most == 1) {
          ++findings_.clean;
        } else if (quarantined == 1) {
          ++findings_.quarantined;
        } else if (kind == RawPartition::kTombstone && suppress) {
          ++findings_.suppressed;
        } else {
          ++findings_.lost;
          Example(Name(position) + ": lost");
        }
      }
    }
  }

  const Options& options_;
  kafka::TopicReader reader_;
  const engine::Pipeline& pipeline_;
  privacy::Pseudonymiser& pseudonymiser_;
  const std::string raw_topic_, quarantine_topic_;
  std::vector<RawPartition> raw_;  // by partition
  std::vector<kafka::ReadRange> raw_ranges_;
  std::map<std::string, std::vector<kafka::ReadRange>> outputs_;  // by topic
  std::vector<Position> later_;                                   // raw events behind the cut
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
