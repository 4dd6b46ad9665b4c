// sluicectl topics plan|apply
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddTopicsCommand(Program& program);

}  // namespace sluice::ctl
