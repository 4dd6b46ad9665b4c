// Every command of sluicectl.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddCommands(Program& program);

}  // namespace sluice::ctl
