// `sluicectl run`: a file of raw events through the engine, into files.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddRunCommand(Program& program);

}  // namespace sluice::ctl
