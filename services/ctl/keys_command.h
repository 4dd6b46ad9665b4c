// `sluicectl keys`: makes keys.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddKeysCommand(Program& program);

}  // namespace sluice::ctl
