// Does every raw event have exactly one result? Read from the topics themselves, not from anybody's
// counters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/engine/pipeline.h"
#include "common/kafka/connection.h"
#include "common/privacy/pseudonymiser.h"

namespace sluice::audit {

struct Findings {
  uint64_t in = 0;
  uint64_t clean = 0;        // in every stream once, and not in quarantine
  uint64_t quarantined = 0;  // once, and in no stream
  uint64_t suppressed = 0;   // a null value, where the pipeline suppresses them
  uint64_t lost = 0;         // nowhere
  uint64_t doubled = 0;      // somewhere more than once, or both clean and quarantined
  uint64_t torn = 0;         // in some streams, not in all
  uint64_t unordered =
      0;  // results behind a later one of the same raw partition, in one output partition
  uint64_t unknown = 0;  // results that name no raw event that is there
  // The first of what is wrong, each as topic/partition/offset and what; never a value.
  std::vector<std::string> examples;

  bool conserved() const { return lost + doubled + torn + unordered + unknown == 0; }
};

// Reads raw, clean and quarantine topics, read_committed, from the beginning to their ends now.
// Streams that aren't internal name raw events by pseudonym: `pseudonymiser` recomputes them, so
// that an audit needs the authority that holds the keys.
absl::StatusOr<Findings> Audit(const kafka::ConnectionOptions& connection,
                               const engine::Pipeline& pipeline,
                               privacy::Pseudonymiser& pseudonymiser);

}  // namespace sluice::audit
