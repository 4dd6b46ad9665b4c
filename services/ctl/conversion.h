// What the commands share that convert the pseudonyms of a text, with the keyring or by the
// service.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/privacy/rotation.h"
#include "services/ctl/command.h"
#include "services/ctl/output.h"

namespace sluice::ctl {

// Calls `work` with each line, its end included, of the file, or of the output's input for `-`. The
// first error of `work` ends it. kNotFound, kUnavailable: the file can't be read, or not to its
// end.
absl::Status ForEachLine(const std::string& file, Output& output,
                         absl::FunctionRef<absl::Status(const std::string& line)> work);

// Says what became of how many pseudonyms; kFound where some were left as they are.
ExitCode ReportConversion(const privacy::Rotation::Counts& counts, Output& output);

}  // namespace sluice::ctl
