// `sluicectl lint`: what is wrong with a configuration, and what each audience gets by it.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddLintCommand(Program& program);

}  // namespace sluice::ctl
