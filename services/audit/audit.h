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
  // How long an open transaction that hides results is waited for.
  int idle_timeout_ms = 30'000;
};

struct Findings {
  uint64_t in = 0;           // judged: below what the group has committed
  uint64_t clean = 0;        // in every stream that there was then once, and not in quarantine
  uint64_t quarantined = 0;  // once, and in no stream
  uint64_t suppressed = 0;   // a null value, where the pipeline suppresses them
  // Faults.
  uint64_t lost = 0;     // nowhere; or aged out of the raw topic before the group came to them
  uint64_t doubled = 0;  // somewhere more than once, or both clean and quarantined
  uint64_t torn = 0;     // in some streams, not in all
  // Results behind a later one of the same raw partition, in one output partition; in a stream that
  // isn't internal, of the same key.
  uint64_t unordered = 0;
  uint64_t strays = 0;     // results that name no raw event that is there
  uint64_t misplaced = 0;  // raw partitions whose group offset contradicts the log or the results
  // What the topics can't say any more: events whose missing results may have been compacted, aged
  // out or named under keys that are retired.
  uint64_t unknown = 0;
  // Not judged.
  uint64_t waiting = 0;  // raw events that the group hasn't committed yet
  uint64_t older = 0;    // results of raw events that the raw topic keeps no longer
  // The first of what is wrong, each as topic/partition/offset and what; never a value.
  std::vector<std::string> examples;
  // Why something is unknown, each once.
  std::vector<std::string> reasons;

  bool faulty() const { return lost + doubled + torn + unordered + strays + misplaced > 0; }
  // Proven: no fault, and nothing that can't be known.
  bool conserved() const { return !faulty() && unknown == 0 && reasons.empty(); }
};

// Reads raw, clean and quarantine topics, read_committed, also while the processor runs. The cut is
// consistent: first what the group has committed, then where the outputs end. The results of what
// is committed stand in the logs by then, so reading up to there, past what transactions still
// hold, finds every one of them; what lies behind the cut isn't judged.
//
// Streams that aren't internal name raw events by pseudonym: `pseudonymiser` recomputes them, so
// that an audit needs the authority that holds the keys, under every epoch that is active: what
// only a retired one could name is unknown. Where the raw topic has lost its oldest events, a
// pseudonym that stands for none that is left counts as `older`.
//
// A stream that was added later holds no record of the versions (`sluice-plan`) from before: events
// that only these judged are judged without it. kDeadlineExceeded: an open transaction hides
// results; the message says where.
absl::StatusOr<Findings> Audit(const Options& options, const engine::Pipeline& pipeline,
                               privacy::Pseudonymiser& pseudonymiser);

}  // namespace sluice::audit
