// docs/tutorial.md, followed as a new user would: its files written, its commands run in its order
// in one shell, what they print compared with what the page shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "tests/support/child_process.h"
#include "tests/support/shared_broker.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;

struct Step {
  enum class Kind { kFile, kCommands, kFailing, kOutput } kind;
  std::string file;  // of kFile
  std::string text;
  int line;
};

// Fenced blocks: after a line "`NAME`:" one is that file's; `sh` is commands, `sh fails` commands
// of which the last must fail, `output` what the commands before it print.
std::vector<Step> StepsOf(const std::string& page) {
  std::vector<Step> steps;
  std::ifstream in(page);
  std::string file;
  int number = 0;
  static const std::regex kFile("`([^`]+)`:");
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (std::smatch match; std::regex_match(line, match, kFile)) {
      file = match[1];
      continue;
    }
    if (!line.starts_with("```")) {
      if (!line.empty()) file.clear();
      continue;
    }
    std::string language = line.substr(3);
    Step step{Step::Kind::kFile, file, "", number};
    if (language == "sh") step.kind = Step::Kind::kCommands;
    if (language == "sh fails") step.kind = Step::Kind::kFailing;
    if (language == "output") step.kind = Step::Kind::kOutput;
    EXPECT_TRUE(step.kind != Step::Kind::kFile || !file.empty())
        << page << ":" << number << ": a block that is neither a file, commands nor output";
    while (std::getline(in, line) && ++number && line != "```")
      base::StrAppend(step.text, line, "\n");
    steps.push_back(std::move(step));
    file.clear();
  }
  return steps;
}

// `...` stands for anything: in a line, or as a line for any lines.
std::string PatternOf(const std::string& shown) {
  std::string pattern;
  for (size_t i = 0; i < shown.size(); ++i) {
    if (shown.compare(i, 4, "...\n") == 0 && (i == 0 || shown[i - 1] == '\n')) {
      pattern += "(.*\n)*";
      i += 3;
    } else if (shown.compare(i, 3, "...") == 0) {
      pattern += ".*";
      i += 2;
    } else if (std::string_view("\\^$.|?*+()[]{}").find(shown[i]) != std::string_view::npos) {
      base::StrAppend(pattern, "\\", shown[i]);
    } else {
      pattern += shown[i];
    }
  }
  return pattern;
}

TEST(Tutorial, EveryCommandDoesWhatThePageShows) {
  std::string page = base::StrCat(std::getenv("SLUICE_SOURCE_DIR"), "/docs/tutorial.md");
  std::string binaries = std::getenv("SLUICE_BINARY_DIR");
  auto folder = *test_support::TempDir::Create("tutorial");
  std::vector<Step> steps = StepsOf(page);
  ASSERT_GT(steps.size(), 15u);
  // One script, since commands build on one another; each block's output between marks.
  std::string script = "set -eu -o pipefail -m\n";
  std::vector<const Step*> ran;
  std::vector<std::string> shown;
  for (const Step& step : steps) {
    switch (step.kind) {
      case Step::Kind::kFile:
        fs::create_directories(fs::path(folder->path() + "/work/" + step.file).parent_path());
        std::ofstream(folder->path() + "/work/" + step.file) << step.text;
        break;
      case Step::Kind::kCommands:
      case Step::Kind::kFailing:
        base::StrAppend(script, "echo '@@@ ", ran.size(), "'\n");
        if (step.kind == Step::Kind::kFailing) {
          base::StrAppend(script, "if ", step.text,
                          "then echo 'it should have failed'; exit 99; fi\n");
        } else {
          script += step.text;
        }
        ran.push_back(&step);
        shown.emplace_back();
        break;
      case Step::Kind::kOutput:
        ASSERT_FALSE(ran.empty());
        shown.back() = step.text;
        break;
    }
  }
  script += "echo '@@@ end'\n";
  std::ofstream(folder->path() + "/script") << script;
  auto process = test_support::ChildProcess::Start(
      {{"bash", "-c", "cd " + folder->path() + "/work && bash ../script"},
       {{"PATH", base::StrCat(binaries, "/services/ctl:", binaries,
                              "/services/processor:", std::getenv("PATH"))},
        {"BROKER", test_support::SharedBroker().bootstrap()}},
       folder->path() + "/log",
       ""});
  ASSERT_TRUE(process.ok()) << process.status();
  auto ended = (*process)->Wait(std::chrono::seconds(180));
  std::string output = (*process)->Output();
  ASSERT_TRUE(ended.ok()) << ended.status() << "\n" << output;
  EXPECT_EQ(*ended, test_support::Exit{}) << output;
  std::vector<std::string> parts = absl::StrSplit(output, "@@@ ");
  ASSERT_EQ(parts.size(), ran.size() + 2) << output;
  for (size_t i = 0; i < ran.size(); ++i) {
    if (shown[i].empty()) continue;
    std::string printed = parts[i + 1].substr(parts[i + 1].find('\n') + 1);
    EXPECT_THAT(printed, ::testing::ContainsRegex("^" + PatternOf(shown[i]) + "$"))
        << page << ":" << ran[i]->line;
  }
}

}  // namespace
}  // namespace sluice::ctl
