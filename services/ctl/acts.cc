#include "services/ctl/acts.h"

#include <utility>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::ctl {

absl::StatusOr<std::string> TrailOf(const Site& site, const std::string& option) {
  if (!option.empty()) return option;
  if (!site.trail.empty()) return site.trail;
  return absl::InvalidArgumentError(
      "name the file of the audit trail: --trail, or `trail` in the processor's configuration; "
      "what can't be recorded there isn't done");
}

absl::StatusOr<trail::Head> RecordAct(const std::string& file, trail::Entry entry) {
  base::SystemClock clock;
  SLUICE_ASSIGN_OR_RETURN(auto chain, trail::Chain::Open({file, "sluicectl"}, clock));
  entry.who = Operator();
  SLUICE_RETURN_IF_ERROR(chain->Append(entry));
  return chain->head();
}

std::string HeadText(const trail::Head& head) {
  return base::StrCat(head.sequence, ':', head.hash);
}

}  // namespace sluice::ctl
