// sluicectl quarantine list|show|stats|redrive|discard
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddQuarantineCommand(Program& program);

}  // namespace sluice::ctl
