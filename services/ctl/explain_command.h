// `sluicectl explain`: what becomes of one event, and why.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddExplainCommand(Program& program);

}  // namespace sluice::ctl
