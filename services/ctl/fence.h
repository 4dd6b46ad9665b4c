// Writes the fence at which every worker of a group goes on to the reference service's active
// versions (docs/adr/0007-versions-are-pinned-with-the-events.md).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "services/ctl/site.h"
#include "services/processor/control_view.h"
#include "sluice/reference/v1/reference.pb.h"

namespace sluice::ctl {

struct FenceOptions {
  int64_t ahead = 0;   // offsets, from each partition's end now
  std::string reason;  // for the trail
  std::string trail;   // its file
};

// `ahead` of each partition's end now; the first one, which workers wait for, is at
// what the group has committed. A worker that reaches it without the versions waits for them; one
// that hears of it later takes them up at its next event. It is on the trail before it is written.
// kInvalidArgument: this configuration's swaps aren't fenced; kFailedPrecondition: a set has no
// active version; kAlreadyExists: the last fence named the same versions; kDataLoss: the control
// topic contradicts them, or itself.
absl::StatusOr<processor::Fence> WriteFence(const Site& site,
                                            const reference::v1::GetStatusResponse& service,
                                            const FenceOptions& options);

}  // namespace sluice::ctl
