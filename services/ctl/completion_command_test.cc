// The scripts, asked by the shells that they are for.
#include "services/ctl/completion_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "services/ctl/testing.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;

class Completion : public ::testing::Test {
 protected:
  // What the shell answers to `script`, a word a line, sorted.
  std::vector<std::string> Ask(const std::string& shell, const std::string& script) {
    std::string completion = folder_->path() + "/completion", call = folder_->path() + "/call";
    Ended printed = RunCtl({"completion", shell});
    EXPECT_EQ(printed.code, 0) << printed.err;
    std::ofstream(completion) << printed.out;
    // zsh's own function that registers a completion is there in an interactive shell only.
    std::ofstream(call) << (shell == "zsh" ? "compdef() { : }\n" : "") << "source " << completion
                        << "\n"
                        << script << "\n";
    std::vector<std::string> command = {shell};
    if (shell == "bash") command.insert(command.end(), {"--norc", "--noprofile"});
    if (shell == "zsh") command.push_back("-f");
    if (shell == "fish") command.push_back("--no-config");
    command.push_back(call);
    auto process =
        test_support::ChildProcess::Start({command,
                                           {{"HOME", folder_->path()}, {"TERM", "dumb"}},
                                           base::StrCat(folder_->path(), "/log", ++asked_),
                                           ""});
    EXPECT_TRUE(process.ok()) << process.status();
    auto ended = (*process)->Wait(std::chrono::seconds(30));
    EXPECT_TRUE(ended.ok()) << ended.status();
    std::vector<std::string> lines =
        absl::StrSplit((*process)->Output(), '\n', absl::SkipWhitespace());
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  // The candidates for the last of these words.
  std::vector<std::string> Bash(const std::string& words) {
    return Ask("bash",
               base::StrCat("COMP_WORDS=(", words, ")\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n",
                            "_sluicectl\nprintf '%s\\n' \"${COMPREPLY[@]}\""));
  }
  std::vector<std::string> Fish(const std::string& words) {
    return Ask("fish", base::StrCat("complete -C '", words, "' | string split -f1 \\t"));
  }
  // zsh's own functions that show candidates answer in place of the line editor.
  std::vector<std::string> Zsh(const std::string& words) {
    return Ask("zsh",
               base::StrCat(
                   "_describe() { local -a all=(\"${(@P)2}\"); print -l -- \"${all[@]%%:*}\" }\n",
                   "_files() { print files }\nwords=(", words, ")\nCURRENT=${#words}\n_sluicectl"));
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("ctl-completion");
  int asked_ = 0;
};

TEST_F(Completion, BashCompletesCommandsOptionsAndTheirValues) {
  EXPECT_THAT(Bash("sluicectl ''"), IsSupersetOf({"completion", "keys"}));
  EXPECT_THAT(Bash("sluicectl keys ''"), IsSupersetOf({"init", "quarantine"}));
  EXPECT_THAT(Bash("sluicectl keys in"), ElementsAre("init"));
  EXPECT_THAT(Bash("sluicectl keys init --keyr"), ElementsAre("--keyring"));
  EXPECT_THAT(Bash("sluicectl keys init --dom"), ElementsAre("--domain"));
  EXPECT_THAT(Bash("sluicectl keys quarantine --"), Not(Contains("--domain")));
  EXPECT_THAT(Bash("sluicectl --output ''"), ElementsAre("json", "table"));
  EXPECT_THAT(Bash("sluicectl keys init --output j"), ElementsAre("json"));
  EXPECT_THAT(Bash("sluicectl completion ''"), ElementsAre("bash", "fish", "zsh"));
  EXPECT_THAT(Bash(base::StrCat("sluicectl keys init --keyring ", folder_->path(), "/comp")),
              ElementsAre(folder_->path() + "/completion"));
}

TEST_F(Completion, ZshCompletesCommandsOptionsAndTheirValues) {
  EXPECT_THAT(Zsh("sluicectl ''"), IsSupersetOf({"completion", "keys"}));
  EXPECT_THAT(Zsh("sluicectl keys ''"), IsSupersetOf({"init", "quarantine"}));
  EXPECT_THAT(Zsh("sluicectl keys init --"), IsSupersetOf({"--domain", "--keyring", "--output"}));
  EXPECT_THAT(Zsh("sluicectl --output ''"), ElementsAre("json", "table"));
  EXPECT_THAT(Zsh("sluicectl completion ''"), ElementsAre("bash", "fish", "zsh"));
  EXPECT_THAT(Zsh("sluicectl keys init --keyring ''"), ElementsAre("files"));
}

TEST_F(Completion, FishCompletesCommandsOptionsAndTheirValues) {
  EXPECT_THAT(Fish("sluicectl "), IsSupersetOf({"completion", "keys"}));
  EXPECT_THAT(Fish("sluicectl keys "), IsSupersetOf({"init", "quarantine"}));
  EXPECT_THAT(Fish("sluicectl keys in"), ElementsAre("init"));
  EXPECT_THAT(Fish("sluicectl keys init --dom"), ElementsAre("--domain"));
  EXPECT_THAT(Fish("sluicectl --output "), ElementsAre("json", "table"));
  EXPECT_THAT(Fish("sluicectl completion "), ElementsAre("bash", "fish", "zsh"));
}

}  // namespace
}  // namespace sluice::ctl
