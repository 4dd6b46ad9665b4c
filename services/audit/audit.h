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

struct Options {
  kafka::ConnectionOptions connection;
  // The processor's consumer group: what it has committed is what is judged.
  std::string group;
  // Of the raw topic, for the memory that they take: some 100 bytes each where a stream isn't
  // internal. kResourceExhausted beyond it.
  int64_t events_max = 100'000'000;
};

struct Findings {
  uint64_t in = 0;           // judged: below what the group has committed
  uint64_t clean = 0;        // in every stream once, and not in quarantine
  uint64_t quarantined = 0;  // once, and in no stream
  uint64_t suppressed = 0;   // a null value, where the pipeline suppresses them
  uint64_t lost = 0;         // nowhere
  uint64_t doubled = 0;      // somewhere more than once, or both clean and quarantined
  uint64_t torn = 0;         // in some streams, not in all
  uint64_t unordered = 0;    // results behind a later one of the same raw partition, in one output
                           // partition; in a stream that isn't internal, of the same key
  uint64_t unknown = 0;  // results that name no raw event that is there
  // Not judged.
  uint64_t waiting = 0;  // raw events that the group hasn't committed yet
  uint64_t older = 0;    // results of raw events that the raw topic keeps no longer
  // The first of what is wrong, each as topic/partition/offset and what; never a value.
  std::vector<std::string> examples;

  bool conserved() const { return lost + doubled + torn + unordered + unknown == 0; }
};

// Reads raw, clean and quarantine topics, read_committed, also while the processor runs. The cut is
// consistent: first what the group has committed, then where the outputs end. The results of what
// is committed stand in the logs by then, so reading up to there, past what transactions still
// hold, finds every one of them; what lies behind the cut isn't judged.
//
// Streams that aren't internal name raw events by pseudonym: `pseudonymiser` recomputes them, so
// that an audit needs the authority that holds the keys, under every epoch that is active: results
// of a retired one count as unknown. Where the raw topic has lost its oldest events, a pseudonym
// that stands for none that is left counts as `older`.
absl::StatusOr<Findings> Audit(const Options& options, const engine::Pipeline& pipeline,
                               privacy::Pseudonymiser& pseudonymiser);

}  // namespace sluice::audit
