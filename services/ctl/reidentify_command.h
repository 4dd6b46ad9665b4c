#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

// The group `reidentify`: asking, approving, redeeming.
void AddReidentifyCommands(Program& program);

}  // namespace sluice::ctl
