#include "services/ctl/config_options.h"

#include "common/base/strings.h"

namespace sluice::ctl {

void SurroundingOptions::AddTo(CLI::App& command) {
  command.add_option("--contracts", contracts,
                     "For a file that holds a pipeline alone: a folder with .proto files, or a "
                     "descriptor set; repeatable");
  command.add_option("--reference", references,
                     "For a file that holds a pipeline alone: name=file.csv:key of a reference "
                     "set; repeatable");
}

absl::StatusOr<processor::PipelineSurroundings> SurroundingOptions::Parse() const {
  processor::PipelineSurroundings surroundings{contracts, {}};
  for (const std::string& text : references) {
    size_t equals = text.find('='), colon = text.rfind(':');
    if (equals == std::string::npos || colon == std::string::npos || colon < equals) {
      return absl::InvalidArgumentError(base::StrCat(
          "--reference ", text, ": write name=file.csv:key, such as boroughs=boroughs.csv:code"));
    }
    config::v1::ReferenceSet set;
    set.set_name(text.substr(0, equals));
    set.set_csv(text.substr(equals + 1, colon - equals - 1));
    set.set_key(text.substr(colon + 1));
    surroundings.sets.push_back(std::move(set));
  }
  return surroundings;
}

}  // namespace sluice::ctl
