#include "services/audit/audit.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "absl/container/flat_hash_map.h"
#include "common/base/status.h"
#include "common/base/strings.h"
#include "common/kafka/reader.h"
#include "common/privacy/pseudonym.h"

namespace sluice::audit {
namespace {

constexpr size_t kExamplesMax = 20;

// What was found of one raw event.
struct Raw {
  bool tombstone = false;
  uint8_t quarantined = 0;
  std::vector<uint8_t> streams;
};

using Position = std::pair<int32_t, int64_t>;  // partition, offset

class Auditor {
 public:
  Auditor(const kafka::ConnectionOptions& connection, const engine::Pipeline& pipeline,
          privacy::Pseudonymiser& pseudonymiser)
      : reader_({connection}),
        pipeline_(pipeline),
        pseudonymiser_(pseudonymiser),
        raw_topic_(pipeline.config().input().topic()) {}

  absl::StatusOr<Findings> Run() {
    SLUICE_RETURN_IF_ERROR(ReadRaw());
    for (size_t i = 0; i < pipeline_.streams().size(); ++i) SLUICE_RETURN_IF_ERROR(ReadStream(i));
    SLUICE_RETURN_IF_ERROR(ReadQuarantine());
    Judge();
    return std::move(findings_);
  }

 private:
  std::string Name(const Position& position) const {
    return base::StrCat(raw_topic_, '/', position.first, '/', position.second);
  }

  void Example(std::string what) {
    if (findings_.examples.size() < kExamplesMax) findings_.examples.push_back(std::move(what));
  }

  absl::Status ReadRaw() {
    return reader_.Read(std::vector<std::string>{raw_topic_}, [&](const kafka::ReadRecord& record) {
      Raw& raw = raw_[{record.partition, record.offset}];
      raw.tombstone = !record.value.has_value();
      raw.streams.resize(pipeline_.streams().size());
      return absl::OkStatus();
    });
  }

  // Every raw position's pseudonym in a domain.
  absl::StatusOr<absl::flat_hash_map<std::string, Position>> Pseudonyms(
      const std::string& domain_name) {
    SLUICE_ASSIGN_OR_RETURN(uint16_t domain, pseudonymiser_.Domain(domain_name));
    absl::flat_hash_map<std::string, Position> pseudonyms;
    privacy::PseudonymBatch batch;
    privacy::PseudonymAnswer answer;
    std::vector<Position> positions;
    auto flush = [&]() -> absl::Status {
      SLUICE_RETURN_IF_ERROR(pseudonymiser_.Pseudonymise(batch, answer));
      for (size_t i = 0; i < positions.size(); ++i) {
        char block[privacy::kBlockTextBytes];
        privacy::WriteBlock(answer.blocks[i], block);
        pseudonyms[privacy::PseudonymPrefix(answer.domains[domain]) +
                   std::string(block, sizeof(block))] = positions[i];
      }
      batch.Clear();
      positions.clear();
      return absl::OkStatus();
    };
    for (const auto& [position, raw] : raw_) {
      batch.Add(contract::v1::SOURCE_POSITION, Name(position), std::vector<uint16_t>{domain});
      positions.push_back(position);
      if (positions.size() == 1000) SLUICE_RETURN_IF_ERROR(flush());
    }
    SLUICE_RETURN_IF_ERROR(flush());
    return pseudonyms;
  }

  // The raw event that a result names; null, and a finding, when there is none.
  Raw* Find(const kafka::ReadRecord& record,
            const absl::flat_hash_map<std::string, Position>* pseudonyms) {
    std::string_view source;
    for (const auto& header : record.headers) {
      if (header.name == "sluice-src") source = header.value;
    }
    Position position{-1, -1};
    if (pseudonyms != nullptr) {
      auto found = pseudonyms->find(std::string(source));
      if (found != pseudonyms->end()) position = found->second;
    } else if (source.starts_with(raw_topic_ + "/")) {
      source.remove_prefix(raw_topic_.size() + 1);
      size_t slash = source.find('/');
      if (slash != std::string_view::npos) {
        std::from_chars(source.data(), source.data() + slash, position.first);
        std::from_chars(source.data() + slash + 1, source.data() + source.size(), position.second);
      }
    }
    auto raw = raw_.find(position);
    if (raw == raw_.end()) {
      ++findings_.unknown;
      Example(base::StrCat(record.topic, '/', record.partition, '/', record.offset,
                           ": names no raw event"));
      return nullptr;
    }
    int64_t& last = last_[{record.partition, position.first}];
    if (position.second < last) {
      ++findings_.unordered;
      Example(base::StrCat(record.topic, '/', record.partition, '/', record.offset,
                           ": stands behind a later event's"));
    }
    last = std::max(last, position.second);
    return &raw->second;
  }

  absl::Status ReadStream(size_t index) {
    const engine::StreamPlan& stream = pipeline_.streams()[index];
    absl::flat_hash_map<std::string, Position> pseudonyms;
    if (!stream.internal) {
      SLUICE_ASSIGN_OR_RETURN(pseudonyms, Pseudonyms(pipeline_.domains()[stream.domain]));
    }
    last_.clear();
    return reader_.Read(std::vector<std::string>{stream.topic},
                        [&](const kafka::ReadRecord& record) {
                          Raw* raw = Find(record, stream.internal ? nullptr : &pseudonyms);
                          if (raw != nullptr && raw->streams[index] < 255) ++raw->streams[index];
                          return absl::OkStatus();
                        });
  }

  absl::Status ReadQuarantine() {
    last_.clear();
    return reader_.Read(std::vector<std::string>{pipeline_.config().quarantine().topic()},
                        [&](const kafka::ReadRecord& record) {
                          Raw* raw = Find(record, nullptr);
                          if (raw != nullptr && raw->quarantined < 255) ++raw->quarantined;
                          return absl::OkStatus();
                        });
  }

  void Judge() {
    bool suppress = pipeline_.config().input().tombstones() == config::v1::Input::suppress;
    for (const auto& [position, raw] : raw_) {
      ++findings_.in;
      auto [least, most] = std::minmax_element(raw.streams.begin(), raw.streams.end());
      if (*most > 1 || raw.quarantined > 1 || (*most > 0 && raw.quarantined > 0)) {
        ++findings_.doubled;
        Example(Name(position) + ": doubled");
      } else if (*least != *most) {
        ++findings_.torn;
        Example(Name(position) + ": in some streams, not in all");
      } else if (*most == 1) {
        ++findings_.clean;
      } else if (raw.quarantined == 1) {
        ++findings_.quarantined;
      } else if (raw.tombstone && suppress) {
        ++findings_.suppressed;
      } else {
        ++findings_.lost;
        Example(Name(position) + ": lost");
      }
    }
  }

  kafka::TopicReader reader_;
  const engine::Pipeline& pipeline_;
  privacy::Pseudonymiser& pseudonymiser_;
  const std::string raw_topic_;
  std::map<Position, Raw> raw_;
  std::map<std::pair<int32_t, int32_t>, int64_t> last_;  // by output and raw partition
  Findings findings_;
};

}  // namespace

absl::StatusOr<Findings> Audit(const kafka::ConnectionOptions& connection,
                               const engine::Pipeline& pipeline,
                               privacy::Pseudonymiser& pseudonymiser) {
  return Auditor(connection, pipeline, pseudonymiser).Run();
}

}  // namespace sluice::audit
