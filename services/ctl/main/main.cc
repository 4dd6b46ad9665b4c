#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "common/base/secure_memory.h"
#include "services/ctl/commands.h"

int main(int argc, char** argv) {
  // Keys and raw events are in memory.
  sluice::base::ForbidCoreDumps();
  sluice::ctl::Terminal terminal{isatty(STDOUT_FILENO) != 0, isatty(STDERR_FILENO) != 0};
  sluice::ctl::Program program(std::cin, std::cout, std::cerr, terminal);
  sluice::ctl::AddCommands(program);
  return program.Run({argv + 1, argv + argc});
}
