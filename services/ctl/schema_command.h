// `sluicectl schema`: what a stream's subscribers get.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddSchemaCommand(Program& program);

}  // namespace sluice::ctl
