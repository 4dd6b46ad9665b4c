// The audit trail of what people do by this program and may have to answer for.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/trail/chain.h"
#include "common/trail/entry.h"
#include "services/ctl/site.h"

namespace sluice::ctl {

inline constexpr char kTrailHelp[] =
    "The audit trail's file, instead of `trail` in the configuration; what can't be recorded there "
    "isn't done";

// The trail's file: `option`, or the configuration's. kInvalidArgument without either.
absl::StatusOr<std::string> TrailOf(const Site& site, const std::string& option);

// Appends to the trail in `file`, whose writer is `sluicectl`; who acts is this account. The head
// that the act's line makes. What can't be recorded must not be done.
absl::StatusOr<trail::Head> RecordAct(const std::string& file, trail::Entry entry);

// `sequence:hash`, by which an end that was cut off is found.
std::string HeadText(const trail::Head& head);

}  // namespace sluice::ctl
