// `sluicectl trail verify`: whether an audit trail is whole.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddTrailCommand(Program& program);

}  // namespace sluice::ctl
