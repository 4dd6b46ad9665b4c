// sluicectl import
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddImportCommand(Program& program);

}  // namespace sluice::ctl
