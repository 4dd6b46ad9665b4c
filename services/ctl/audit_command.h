// sluicectl audit
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddAuditCommand(Program& program);

}  // namespace sluice::ctl
