// `sluicectl reference`: the reference service's sets and versions.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddReferenceCommand(Program& program);

}  // namespace sluice::ctl
