#include "services/ctl/conversion.h"

#include <fstream>

#include "common/base/status.h"
#include "common/base/strings.h"

namespace sluice::ctl {

using base::StrCat;

absl::Status ForEachLine(const std::string& file, Output& output,
                         absl::FunctionRef<absl::Status(const std::string& line)> work) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file, std::ios::binary);
    if (!opened.is_open())
      return absl::NotFoundError(StrCat(file, ": can't be read: does it exist?"));
  }
  std::istream& in = file == "-" ? output.in() : opened;
  for (std::string line; std::getline(in, line);) {
    if (!in.eof()) line.push_back('\n');
    SLUICE_RETURN_IF_ERROR(work(line));
  }
  if (in.bad()) return absl::UnavailableError(StrCat(file, ": can't be read to its end"));
  return absl::OkStatus();
}

ExitCode ReportConversion(const privacy::Rotation::Counts& counts, Output& output) {
  output.err() << counts.converted << " pseudonyms converted, " << counts.already
               << " of the newest epoch already, " << counts.untouched
               << " of an epoch that isn't active: left as they are.\n";
  return counts.untouched == 0 ? ExitCode::kOk : ExitCode::kFound;
}

}  // namespace sluice::ctl
