#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddOffsetsCommand(Program& program);

}  // namespace sluice::ctl
