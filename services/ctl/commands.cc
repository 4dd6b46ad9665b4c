#include "services/ctl/commands.h"

#include "services/ctl/audit_command.h"
#include "services/ctl/completion_command.h"
#include "services/ctl/domains_command.h"
#include "services/ctl/explain_command.h"
#include "services/ctl/import_command.h"
#include "services/ctl/keyring_command.h"
#include "services/ctl/keys_command.h"
#include "services/ctl/lint_command.h"
#include "services/ctl/offsets_command.h"
#include "services/ctl/pseudonyms_command.h"
#include "services/ctl/quarantine_command.h"
#include "services/ctl/reference_command.h"
#include "services/ctl/reidentify_command.h"
#include "services/ctl/run_command.h"
#include "services/ctl/schema_command.h"
#include "services/ctl/status_command.h"
#include "services/ctl/test_command.h"
#include "services/ctl/topics_command.h"
#include "services/ctl/trail_command.h"

namespace sluice::ctl {

void AddCommands(Program& program) {
  AddLintCommand(program);
  AddExplainCommand(program);
  AddRunCommand(program);
  AddTestCommand(program);
  AddSchemaCommand(program);
  AddKeysCommand(program);
  AddKeyringCommands(program);
  AddDomainsCommands(program);
  AddPseudonymsCommands(program);
  AddReidentifyCommands(program);
  AddStatusCommands(program);
  AddTopicsCommand(program);
  AddImportCommand(program);
  AddQuarantineCommand(program);
  AddOffsetsCommand(program);
  AddAuditCommand(program);
  AddTrailCommand(program);
  AddReferenceCommand(program);
  AddCompletionCommand(program);
}

}  // namespace sluice::ctl
