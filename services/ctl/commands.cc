#include "services/ctl/commands.h"

#include "services/ctl/audit_command.h"
#include "services/ctl/completion_command.h"
#include "services/ctl/import_command.h"
#include "services/ctl/keys_command.h"
#include "services/ctl/lint_command.h"
#include "services/ctl/quarantine_command.h"
#include "services/ctl/topics_command.h"

namespace sluice::ctl {

void AddCommands(Program& program) {
  AddLintCommand(program);
  AddKeysCommand(program);
  AddTopicsCommand(program);
  AddImportCommand(program);
  AddQuarantineCommand(program);
  AddAuditCommand(program);
  AddCompletionCommand(program);
}

}  // namespace sluice::ctl
