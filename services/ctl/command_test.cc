// How every command behaves: help, mistakes in calls, exit codes, colour.
#include "services/ctl/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/ctl/testing.h"

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;

// Every command with the path that calls it.
void ForEachCommand(const CLI::App& app, const std::vector<std::string>& path,
                    const std::function<void(const std::vector<std::string>&)>& visit) {
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    std::vector<std::string> below = path;
    below.push_back(command->get_name());
    if (command->get_subcommands(nullptr).empty()) visit(below);
    ForEachCommand(*command, below, visit);
  }
}

TEST(Program, EveryCommandHasHelpWithAnExampleOfItself) {
  std::istringstream in;
  std::ostringstream out;
  Program program(in, out, out, {});
  AddCommands(program);
  int commands = 0;
  ForEachCommand(program.app(), {}, [&](std::vector<std::string> path) {
    std::string name = "sluicectl";
    for (const std::string& word : path) name += " " + word;
    path.push_back("--help");
    Ended ended = RunCtl(path);
    EXPECT_EQ(ended.code, 0) << name;
    EXPECT_EQ(ended.err, "") << name;
    EXPECT_THAT(ended.out, HasSubstr("\n  " + name)) << name;
    EXPECT_THAT(ended.out, HasSubstr("Examples:")) << name;
    ++commands;
  });
  EXPECT_GE(commands, 3);
}

TEST(Program, HelpNamesTheExitCodes) {
  EXPECT_THAT(RunCtl({"--help"}).out, HasSubstr("3  a service or Kafka can't be reached"));
}

TEST(Program, AMistypedCallEndsWithTwoAndSaysWhatWasMeant) {
  Ended ended = RunCtl({"kyes"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("did you mean `keys`?"));
  EXPECT_THAT(ended.err, HasSubstr("`sluicectl --help` says what there is"));
  ended = RunCtl({"keys", "init", "--keyrng", "x"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("sluicectl keys init: "));
  ended = RunCtl({"keys", "quarantine", "--private", "a", "--public", "b", "--outptu", "json"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("did you mean `--output`?"));
  EXPECT_EQ(RunCtl({}).code, 2);
  EXPECT_EQ(RunCtl({"completion", "bash", "--output", "xml"}).code, 2);
}

TEST(Program, WhatIsGivenEmptyIsNamed) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> calls = {
      {{"explain", "pipeline.yaml", "event.json", "--contracts", ""}, "--contracts"},
      {{"explain", "pipeline.yaml", "event.json", "--reference", "units=:code"},
       "--reference units=:code"},
      {{"status", ""}, "addresses"},
      {{"trail", "verify", ""}, "file"},
      {{"run", "pipeline.yaml", "--out", "x", "--in", ""}, "--in"},
      {{"offsets", "list", "--config", ""}, "--config"},
      {{"offsets", "set", "0=20", "--config", "x", "--reason", " \t "}, "--reason"},
      {{"keys", "rotate", "--keyring", "a", "--key-encryption-key", "b", "--domain", "d",
        "--reason", "\u00A0"},
       "--reason"},
  };
  for (const auto& [call, name] : calls) {
    Ended ended = RunCtl(call);
    EXPECT_EQ(ended.code, 2) << call[0] << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(name + ":")) << call[0];
  }
}

TEST(Program, AFailureIsPrintedWithItsCommandAndItsCode) {
  auto run = [](absl::Status status) {
    std::istringstream in;
    std::ostringstream out, err;
    Program program(in, out, err, {});
    program.Add({"work", "Works", {}}, [&](Output&) -> absl::StatusOr<ExitCode> { return status; });
    int code = program.Run({"work"});
    EXPECT_EQ(err.str(), "sluicectl work: " + std::string(status.message()) + "\n");
    return code;
  };
  EXPECT_EQ(run(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(run(absl::NotFoundError("x")), 2);
  EXPECT_EQ(run(absl::UnavailableError("x")), 3);
  EXPECT_EQ(run(absl::PermissionDeniedError("x")), 4);
  EXPECT_EQ(run(absl::InternalError("x")), 5);
}

TEST(Program, ResultsThatCannotBeWrittenAreAFailure) {
  std::istringstream in;
  std::ostringstream out, err;
  Program program(in, out, err, {});
  program.Add({"work", "Works", {}}, [&](Output& output) -> absl::StatusOr<ExitCode> {
    output.out().setstate(std::ios::badbit);
    return ExitCode::kOk;
  });
  EXPECT_EQ(program.Run({"work"}), 5);
  EXPECT_THAT(err.str(), HasSubstr("disk full"));
}

TEST(Program, ColourIsForTerminalsAndForThoseWhoAsk) {
  auto run = [](std::vector<std::string> arguments, bool terminal) {
    std::istringstream in;
    std::ostringstream out, err;
    Program program(in, out, err, {.out = terminal});
    program.Add({"work", "Works", {}}, [&](Output& output) -> absl::StatusOr<ExitCode> {
      output.out() << output.Paint(Colour::kRed, "bad");
      return ExitCode::kOk;
    });
    EXPECT_EQ(program.Run(std::move(arguments)), 0);
    return out.str();
  };
  ::unsetenv("NO_COLOR");
  EXPECT_EQ(run({"work"}, false), "bad");
  EXPECT_EQ(run({"work"}, true), "\033[31mbad\033[0m");
  EXPECT_EQ(run({"work", "--colour", "never"}, true), "bad");
  EXPECT_EQ(run({"work", "--colour", "always"}, false), "\033[31mbad\033[0m");
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_EQ(run({"work"}, true), "bad");
  ::unsetenv("NO_COLOR");
}

}  // namespace
}  // namespace sluice::ctl
