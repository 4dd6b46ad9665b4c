// `sluicectl keys list, add, rotate, retire, destroy, backup, restore, convert`: the life of a
// keyring's domains and epochs.
#pragma once

#include "services/ctl/command.h"

namespace sluice::ctl {

void AddKeyringCommands(Program& program);

}  // namespace sluice::ctl
