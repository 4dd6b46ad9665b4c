#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

// The group `pseudonyms`: files of pseudonyms converted by the pseudonymiser.
void AddPseudonymsCommands(Program& program);

}  // namespace sluice::ctl
