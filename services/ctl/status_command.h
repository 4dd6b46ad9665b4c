// sluicectl status, watch, pause, resume
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddStatusCommands(Program& program);

}  // namespace sluice::ctl
