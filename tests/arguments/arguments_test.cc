// Every command of sluicectl with every kind of file that it doesn't expect, in every argument: it
// says what is wrong and ends, and it never crashes, hangs or calls the input a defect of its own.
//
// The calls are generated from the commands themselves, so that a new command or option is covered
// when it is added. Each command runs in a process of its own, which ends with the first call that
// goes wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "common/base/strings.h"
#include "services/ctl/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::ctl {
namespace {

namespace fs = std::filesystem;
using Call = std::vector<std::string>;

constexpr unsigned kCommandSecondsMax = 120;
constexpr off_t kHugeBytes = 80 * 1024 * 1024;

struct Command {
  Call path;
  // Options and positional arguments that take a text, by how they are written; empty for a
  // positional one.
  struct Argument {
    std::string option;
    bool required = false;
  };
  std::vector<Argument> arguments;
};

void Collect(const CLI::App& app, const Call& path, std::vector<Command>& commands) {
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    Command command{path, {}};
    command.path.push_back(sub->get_name());
    Collect(*sub, command.path, commands);
    if (!sub->get_subcommands(nullptr).empty()) continue;
    for (const CLI::Option* option : sub->get_options()) {
      if (option->get_items_expected_max() == 0) continue;  // a flag
      const bool positional = option->get_lnames().empty();
      command.arguments.push_back(
          {positional ? "" : "--" + option->get_lnames()[0], option->get_required()});
    }
    commands.push_back(std::move(command));
  }
}

std::string Repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

class Arguments : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("empty", "");
    fs::create_directory(path("folder"));
    Write("unreadable", "a: b\n");
    chmod(path("unreadable").c_str(), 0);
    Write("huge", "");
    ASSERT_EQ(truncate(path("huge").c_str(), kHugeBytes), 0);
    std::mt19937 random(15);  // NOLINT: the same bytes each time
    std::string bytes(20'000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    Write("binary", bytes);
    Write("deep.yaml", "streams: " + Repeated("[", 50'000));
    Write("deep.json", Repeated("{\"a\":", 50'000) + "1" + Repeated("}", 50'000) + "\n");
    Write("deep.csv", "a" + Repeated(".a", 100'000) + "\n1\n");
    Write("deep.proto", "syntax = \"proto3\"; " + Repeated("message A { ", 20'000));
    Write("wide.csv", "a" + Repeated(",a", 300'000) + "\n");
    Write("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    Write("list.json", "[1, {\"a\": null}]\n");
    Write("pipeline.yaml",
          "contract: visits.v1.Visit\ninput: {topic: raw.visits}\n"
          "quarantine: {topic: quarantine.visits}\n"
          "streams: [{name: open, topic: open.visits, domain: open}]\n");
    kinds_ = {"missing",  "empty",     "folder",    "unreadable",   "huge",
              "binary",   "deep.yaml", "deep.json", "deep.csv",     "deep.proto",
              "wide.csv", "key.pem",   "list.json", "pipeline.yaml"};
    const std::string lint = std::string(std::getenv("SLUICE_SOURCE_DIR")) + "/tests/lint";
    fs::copy(lint + "/contracts", path("contracts"));
    for (const char* file : {"processor.yaml", "stations.csv"})
      fs::copy(lint + "/" + file, path(file));
    // Whoever would go on to a broker is told before that its authority can't be read.
    std::ifstream config(path("processor.yaml"));
    std::string text((std::istreambuf_iterator<char>(config)), {});
    const std::string group = "  group: visits\n";
    Write("unreachable.yaml", text.replace(text.find(group), group.size(),
                                           group + "  security: {tls: {ca: folder}}\n"));
    called_ = static_cast<char*>(
        mmap(nullptr, kCalledBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(called_, MAP_FAILED);
  }
  void TearDown() override { munmap(called_, kCalledBytes); }

  std::string path(const std::string& name) const { return folder_->path() + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }

  // In the child: false, and what is wrong in called_, ends it.
  bool Try(const Call& call) const {
    std::string text;
    for (const std::string& word : call) text += " " + word;
    strncpy(called_, text.c_str(), kCalledBytes - 1);
    Ended ended = RunCtl(call);
    const char* wrong = nullptr;
    if (ended.code == static_cast<int>(ExitCode::kInternal)) wrong = "ends as a defect: ";
    if (ended.code != 0 && ended.err.empty() && ended.out.empty()) wrong = "says nothing ";
    if (ended.err.size() > 4'000) wrong = "says too much: ";
    if (wrong == nullptr) return true;
    text = base::StrCat(text, ": ", wrong, ended.err.substr(0, 400));
    strncpy(called_, text.c_str(), kCalledBytes - 1);
    return false;
  }

  // The argument at `index`, or all that are required, is of this kind; `others` fills the rest of
  // the required ones.
  Call Make(const Command& command, size_t index, const std::string& file,
            const std::string& others) const {
    Call call = command.path;
    for (size_t i = 0; i < command.arguments.size(); ++i) {
      const Command::Argument& argument = command.arguments[i];
      if (i != index && !argument.required) continue;
      if (!argument.option.empty()) call.push_back(argument.option);
      call.push_back(i == index ? file : others);
    }
    // What would go on for ever goes on once.
    for (size_t i = 0; i < command.arguments.size(); ++i) {
      if (command.arguments[i].option != "--count" || i == index) continue;
      call.push_back("--count");
      call.push_back("1");
    }
    // Nothing of the test is written but in its folder.
    for (const Command::Argument& argument : command.arguments) {
      if (argument.option != "--out" && argument.option != "--manifest") continue;
      for (size_t i = 0; i + 1 < call.size(); ++i)
        if (call[i] == argument.option) call[i + 1] = path("empty") + "/below";
    }
    return call;
  }

  bool TryAll(const Command& command) const {
    for (const std::string& kind : kinds_) {
      if (!Try(Make(command, SIZE_MAX, path(kind), path(kind)))) return false;
      // What takes long to read is tried once.
      if (kind == "huge") continue;
      for (size_t i = 0; i < command.arguments.size(); ++i) {
        if (!Try(Make(command, i, path(kind), path("unreachable.yaml")))) return false;
        if (!Try(Make(command, i, path("pipeline.yaml"), path(kind)))) return false;
      }
    }
    return Try(Make(command, SIZE_MAX, "", "")) &&
           Try(Make(command, SIZE_MAX, path("pipeline.yaml"), path("pipeline.yaml")));
  }

  // Runs `work` in a process of its own.
  void Expect(const std::string& name, const std::function<bool()>& work) const {
    std::memset(called_, 0, kCalledBytes);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(kCommandSecondsMax);
      _exit(work() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_FALSE(WIFSIGNALED(status))
        << name << ": ended by signal " << WTERMSIG(status) << ":" << called_;
    EXPECT_EQ(WEXITSTATUS(status), 0) << name << ":" << called_;
  }

  static constexpr size_t kCalledBytes = 64 * 1024;
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("arguments");
  std::vector<std::string> kinds_;
  char* called_ = nullptr;  // shared with the child
};

TEST_F(Arguments, NoFileCrashesAnyCommand) {
  std::vector<Command> commands;
  {
    std::istringstream in;
    std::ostringstream out;
    Program program(in, out, out, {});
    AddCommands(program);
    Collect(program.app(), {}, commands);
  }
  ASSERT_GT(commands.size(), 30u);
  for (const Command& command : commands) {
    std::string name;
    for (const std::string& word : command.path) name += name.empty() ? word : " " + word;
    Expect(name, [&] { return TryAll(command); });
  }
}

// Commands that read events, with a pipeline that is right: each file as the events.
TEST_F(Arguments, NoFileOfEventsCrashesWhatReadsThem) {
  const std::string config = path("processor.yaml"), contracts = path("contracts");
  for (const std::string& kind : kinds_) {
    Expect("run " + kind, [&] {
      for (const char* format : {"csv", "jsonl"}) {
        std::string out = base::StrCat(path("out-"), kind, "-", format);
        if (!Try({"run", config, "--throwaway-keys", "--format", format, "--in", path(kind),
                  "--out", out}))
          return false;
      }
      return Try({"explain", config, "--throwaway-keys", path(kind)}) &&
             Try({"lint", config, "--contracts", path(kind)}) &&
             Try({"lint", path(kind), "--contracts", contracts}) &&
             Try({"test", config, path(kind)});
    });
  }
}

TEST_F(Arguments, APipelineAloneNeedsItsContractsAndTheErrorSaysSo) {
  std::ofstream(path("event.json")) << "{}";
  for (const Call& call :
       {Call{"lint", path("pipeline.yaml")}, Call{"schema", path("pipeline.yaml"), "open"},
        Call{"explain", path("pipeline.yaml"), path("event.json"), "--throwaway-keys"},
        Call{"run", path("pipeline.yaml"), "--throwaway-keys", "--in", path("event.json"),
             "--format", "jsonl", "--out", path("results")}}) {
    Expect(call[0], [&] {
      Ended ended = RunCtl(call);
      strncpy(called_, (ended.err + ended.out).c_str(), kCalledBytes - 1);
      return ended.code != 0 &&
             (ended.err + ended.out).find("add --contracts FOLDER") != std::string::npos;
    });
  }
}

}  // namespace
}  // namespace sluice::ctl
