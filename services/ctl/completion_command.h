// `sluicectl completion`: what a shell needs to complete sluicectl's own commands and options.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddCompletionCommand(Program& program);

}  // namespace sluice::ctl
