// Where a pipeline's group is, what is recorded of it beside the results, and setting both.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/services.h"
#include "services/ctl/site.h"
#include "services/processor/positions.h"

namespace sluice::ctl {

struct PartitionOffsets {
  int32_t partition = 0;
  int64_t log_begin = 0, log_end = 0;
  int64_t committed = -1;  // -1: nothing
  std::string metadata;    // the pipeline that committed it
  std::optional<positions::v1::Position> recorded;
  // Nobody can say how far it was read, and there are results.
  bool unknown = false;
  // Why a worker would not read on from there; empty: it would.
  std::string problem;
};

struct GroupView {
  processor::PositionSite site;
  std::vector<PartitionOffsets> partitions;
  std::vector<std::string> members;  // live ones
  std::string former_id;             // of the raw topic, if it was created again since; else empty
};

// Asks the brokers. Changes nothing.
absl::StatusOr<GroupView> LookAtGroup(const Site& site);

struct OffsetChange {
  int32_t partition = 0;
  int64_t from = -1;  // committed until now; -1: nothing
  int64_t to = 0;
  bool exact = true;   // false: a lower bound; results of later records may be there already
  std::string note;    // where `to` comes from, and what it means
  bool blind = false;  // no result could have named an event behind `to`
};

// What the results name in the clear.
struct ResultSources {
  bool streams = false;               // a stream is internal: its results name their events
  std::map<int32_t, int64_t> bounds;  // by partition, behind the last record that a result names
};

// What each partition's results say, for those where group and record don't agree. Where nothing is
// recorded and nothing committed, reads the internal streams and the quarantine for a lower bound.
absl::StatusOr<std::vector<OffsetChange>> PlanRecovery(const Site& site, const GroupView& view);
std::vector<OffsetChange> PlanRecovery(const GroupView& view, const ResultSources& sources);

// `PARTITION=OFFSET`, with a number, `begin` or `end`; kInvalidArgument names what is wrong, such
// as a partition that would stay unknown.
absl::StatusOr<std::vector<OffsetChange>> PlanSet(const GroupView& view,
                                                  const std::vector<std::string>& texts);

struct SetOffsetsOptions {
  std::string reason;
  std::string trail;  // file of the audit log
  // The pipeline that the group belonged to so far, where it isn't this one; empty: it is.
  std::string take_over;
  // The group's running processors: with live members, Kafka lets only these set its offsets.
  ServiceOptions processors;
};

// Onto the audit log, then into the group, then beside the results; killed in between, processors
// halt with both figures and it can be run again. With live members, the processors that own the
// partitions do both in one transaction. kFailedPrecondition: the group has live members and no
// processor is named, or it belongs to another pipeline.
absl::Status SetOffsets(const Site& site, const GroupView& view,
                        const std::vector<OffsetChange>& changes, const SetOffsetsOptions& options);

// The epochs of keys that this pipeline's pseudonyms were made with, as they are recorded.
absl::StatusOr<processor::KeyIdentities> RecordedKeys(const Site& site);
// Onto the audit log, then out of the record: the keys that a processor has at its next start are
// taken for the right ones.
absl::Status ForgetKeys(const Site& site, const processor::KeyIdentities& keys,
                        const std::string& reason, const std::string& trail);

}  // namespace sluice::ctl
