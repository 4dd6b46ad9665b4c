// Which versions of the reference sets a worker joins its partitions' events to, by the control
// topic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/record.h"
#include "common/stream/transform.h"
#include "services/processor/control_log.h"
#include "services/processor/probe.h"
#include "sluice/config/v1/processor.pb.h"

namespace sluice::processor {

// Of one worker; single-threaded. A pin is committed with the events from its offset on, and the
// topic is read to its end after partitions were given to the worker, and after an abort: what was
// published before under other pins is known before it can be done again.
//
// Between two pins of a partition the first one's versions are joined, whatever is newer: these
// offsets have been published. From the last pin on it depends. A worker that takes versions when
// they are there joins the newest, and pins them where they are others; where a pin's activation is
// later than its own, it waits. A fenced one goes on with the pinned ones up to the next fence, and
// pins what the fence names. One that follows joins only what is pinned, and waits for the other
// group to commit.
//
// Every error but of Write is kUnavailable: the flow waits.
class Pins {
 public:
  struct Options {
    // Whose events from which topic are pinned.
    std::string group, topic;
    config::v1::Control control;
  };
  struct Newest {
    uint64_t activation = 0;
    std::shared_ptr<const VersionIds> ids;
  };
  // What the partition's events are joined to, up to but not at `until`.
  struct Choice {
    std::shared_ptr<const VersionIds> ids;
    int64_t until = 0;
  };

  // Both outlive it.
  Pins(Options options, ControlLog& log, const Probe& probe)
      : options_(std::move(options)), log_(log), probe_(probe) {}

  // Other workers may have pinned what this one didn't.
  void Forget();
  // Before the records of a chunk. `first`: of a transaction.
  absl::Status Prepare(std::span<const base::InputRecord> records, bool first);
  // Notes the pin that it needs.
  absl::StatusOr<Choice> Choose(int32_t partition, int64_t offset, const Newest& newest);
  // The pins that were noted, into the open transaction.
  absl::Status Write(size_t topic, stream::Output& output);
  // Of the transaction with what was written.
  void Committed();

 private:
  bool follows() const { return !options_.control.follow().empty(); }
  absl::Status ReadOn();
  absl::Status WaitForLeader(std::span<const base::InputRecord> records);
  absl::StatusOr<Choice> Fenced(int32_t partition, int64_t offset, const Pin* last);
  absl::StatusOr<Choice> WhenThere(int32_t partition, int64_t offset, const Pin* last,
                                   const Newest& newest);
  const Pin* LastNoted(int32_t partition) const;
  absl::Status Waits(const char* reason, const std::string& text) const;

  const Options options_;
  ControlLog& log_;
  const Probe& probe_;
  bool known_ = false;  // the view has all that others pinned of this worker's partitions
  std::shared_ptr<const ControlView> view_;
  std::vector<std::pair<int32_t, Pin>> noted_;  // of the chunk at hand
  std::map<int32_t, Pin> written_;  // each partition's last, perhaps not in the view yet
  uint64_t uncounted_ = 0;
  std::vector<int64_t> committed_;  // by partition, of the group that is followed
};

}  // namespace sluice::processor
