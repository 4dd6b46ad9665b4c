// What becomes of raw records.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/record.h"
#include "common/event/event.h"

namespace sluice::engine {

using base::Header;
using base::InputRecord;

// An event as one stream has it. The views are valid during the call that hands it over.
struct CleanRecord {
  size_t stream = 0;
  std::optional<std::string_view> key;
  std::string_view value;
  std::span<const Header> headers;
  std::optional<int64_t> timestamp_ms;  // nullopt: the time of publishing
  // Above 0: the stream isn't internal. The time of publishing is cut to a multiple of this, and
  // the order of a transaction's records is to say nothing.
  int64_t timestamp_grid_ms = 0;
};

struct QuarantineRecord {
  std::string_view key;    // where the raw record stood
  std::string_view value;  // sealed: the raw record, or a reference to where it stands
  std::span<const Header> headers;
  std::span<const event::Violation> violations;
};

// Takes results, in the order of the records: for each, one Clean per stream, one Quarantined or
// one Suppressed.
class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  virtual absl::Status Clean(const InputRecord& record, const CleanRecord& clean) = 0;
  virtual absl::Status Quarantined(const InputRecord& record,
                                   const QuarantineRecord& quarantined) = 0;
  virtual void Suppressed(const InputRecord& record) = 0;
  // Whether it could be published: what isn't goes to quarantine, or becomes a reference there.
  virtual bool Fits(const CleanRecord&) const { return true; }
  virtual bool Fits(const QuarantineRecord&) const { return true; }
  // Whether a stream's topic is known never to take what the record becomes: it goes to quarantine.
  virtual bool Refused(const InputRecord&) const { return false; }
};

// Counts of what an engine has done.
struct Tally {
  uint64_t in = 0;
  uint64_t clean = 0;
  uint64_t quarantined = 0;
  uint64_t suppressed = 0;
  uint64_t unknown_fields = 0;
  absl::flat_hash_map<std::string_view, uint64_t>
      violations;                 // by rule; keys are static or the pipeline's
  std::vector<uint64_t> repairs;  // by node * kRepairKinds + kind
  // Found in the scrubbed texts of clean events, by identifier kind; 0: dates of birth.
  std::array<uint64_t, contract::v1::IdentifierKind_MAX + 1> scrubbed{};

  // Of events whose joins counted: clean ones, and those that only lack a row. `hits` by join: how
  // many of them have its row.
  uint64_t joined = 0;
  std::vector<uint64_t> hits;

  void Add(const Tally& other);
  void Clear();
};

}  // namespace sluice::engine
