// How a command is told what a file's rows are.
#pragma once

#include <string>
#include <vector>

#include "services/ctl/command.h"
#include "services/ctl/rows.h"

namespace sluice::ctl {

struct RowFileOptions {
  std::string format = "auto";
  std::vector<std::string> names;  // Column=name

  void AddTo(CLI::App& command);
  // Sets what the options say of this file; `-` is JSON lines unless `format` says otherwise.
  absl::Status Apply(const std::string& file, RowOptions& rows) const;
};

}  // namespace sluice::ctl
