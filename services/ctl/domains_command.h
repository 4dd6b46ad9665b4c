#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

// The groups `domains` and `callers`: what the pseudonymiser's operators do.
void AddDomainsCommands(Program& program);

}  // namespace sluice::ctl
