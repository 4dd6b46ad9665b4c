// `sluicectl test`: contracts against the example events beside them.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddTestCommand(Program& program);

}  // namespace sluice::ctl
