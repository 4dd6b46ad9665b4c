// What sluicectl's commands share: how they are added, where they write, how they end.
//
// A command is a file `x_command.cc` with one function `AddXCommand(Program&)`, which commands.cc
// calls:
//
//   void AddLintCommand(Program& program) {
//     auto options = std::make_shared<Options>();
//     CLI::App& command = program.Add({.name = "lint", .summary = "...", .examples = {...}},
//                                     [options](Output& output) { return Lint(*options, output);
//                                     });
//     command.add_option("config", options->files, "...")->required();
//   }
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/output.h"

namespace sluice::ctl {

// What scripts may rely on. The text of each is in the program's help.
enum class ExitCode {
  kOk = 0,
  kFound = 1,        // it did its work and found something that is wrong
  kUsage = 2,        // the call, or a file that it names, is wrong
  kUnavailable = 3,  // a service or Kafka couldn't be reached: try again
  kDenied = 4,       // the caller may not do this
  kInternal = 5,     // a defect of sluicectl's, or a disk that doesn't write
  kUnknown = 6,      // what was asked for can't be known
};

// The code that a command which failed so ends with.
ExitCode ExitCodeOf(const absl::Status& status);

// What the streams that a program is given are connected to.
struct Terminal {
  bool out = false;
  bool err = false;
};

class Program {
 public:
  struct Example {
    std::string command;  // after `sluicectl`
    std::string text;
  };
  struct About {
    std::string name;
    std::string summary;  // one line, no full stop
    std::vector<Example> examples;
  };
  // An error is printed with its command's name; its text says what to do next.
  using Work = std::function<absl::StatusOr<ExitCode>(Output& output)>;

  // The streams outlive the program.
  Program(std::istream& in, std::ostream& out, std::ostream& err, Terminal terminal);

  // A command of the program itself. The caller adds options and arguments to what is returned.
  CLI::App& Add(const About& about, Work work) { return Add(app_, about, std::move(work)); }
  // A command below another, such as `keys init`.
  CLI::App& Add(CLI::App& parent, const About& about, Work work);
  // The command whose only use is those below it; made at the first call.
  CLI::App& Group(const std::string& name, const std::string& summary);

  const CLI::App& app() const { return app_; }

  // Once. Returns the process's exit code.
  int Run(std::vector<std::string> arguments);

 private:
  std::string Explain(const CLI::Error& error) const;

  CLI::App app_;
  std::istream& in_;
  std::ostream& out_;
  std::ostream& err_;
  const Terminal terminal_;
  std::string format_ = "table";
  std::string colour_ = "auto";
  Work chosen_;
  std::string chosen_name_;
};

}  // namespace sluice::ctl
