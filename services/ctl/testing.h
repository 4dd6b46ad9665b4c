// Runs sluicectl's commands inside a test.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "services/ctl/commands.h"

namespace sluice::ctl {

struct Ended {
  int code = 0;
  std::string out;
  std::string err;
};

// As `sluicectl ARGUMENTS` without a terminal, with `in` as what it is piped.
inline Ended RunCtl(std::vector<std::string> arguments, const std::string& in = "",
                    Terminal terminal = {}) {
  std::istringstream input(in);
  std::ostringstream out, err;
  Program program(input, out, err, terminal);
  AddCommands(program);
  int code = program.Run(std::move(arguments));
  return {code, out.str(), err.str()};
}

}  // namespace sluice::ctl
