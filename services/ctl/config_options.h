// The configuration that a command works on, and how it is named.
#pragma once

#include <string>
#include <vector>

#include "services/ctl/command.h"
#include "services/processor/definition.h"

namespace sluice::ctl {

// What surrounds a file that holds a pipeline alone; a processor's configuration says it itself.
struct SurroundingOptions {
  std::vector<std::string> contracts;
  std::vector<std::string> references;  // name=file.csv:key

  void AddTo(CLI::App& command);
  absl::StatusOr<processor::PipelineSurroundings> Parse() const;
};

}  // namespace sluice::ctl
