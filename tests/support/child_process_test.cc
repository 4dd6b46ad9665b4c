#include "tests/support/child_process.h"

#include <signal.h>
#include <unistd.h>

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::test_support {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::unique_ptr<ChildProcess> Shell(std::string script, std::string stdout_path = "",
                                    std::map<std::string, std::string> environment = {}) {
  auto child = ChildProcess::Start({.command = {"sh", "-c", std::move(script)},
                                    .environment = std::move(environment),
                                    .stdout_path = std::move(stdout_path)});
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

// Gone, or dead and only waiting for init to notice.
bool Dead(pid_t pid) {
  const std::string stat = ReadFile("/proc/" + std::to_string(pid) + "/stat");
  return stat.empty() || stat.find(") Z") != std::string::npos ||
         stat.find(") X") != std::string::npos;
}

class ChildProcessTest : public ::testing::Test {
 protected:
  std::unique_ptr<TempDir> folder_ = *TempDir::Create("child_process_test");
  std::string File(const std::string& name) const { return folder_->path() + "/" + name; }
};

TEST_F(ChildProcessTest, ReportsTheExitCode) {
  EXPECT_EQ(*Shell("exit 7")->Wait(seconds(10)), (Exit{.code = 7}));
}

TEST_F(ChildProcessTest, ReportsTheSignal) {
  auto child = Shell("exec sleep 600");
  ASSERT_TRUE(child->Signal(SIGTERM).ok());
  EXPECT_EQ(*child->Wait(seconds(10)), (Exit{.signal = SIGTERM}));
  EXPECT_FALSE(child->running());
  EXPECT_EQ(child->Signal(SIGTERM).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ChildProcessTest, WaitGivesUpAtItsDeadline) {
  auto child = Shell("exec sleep 600");
  EXPECT_EQ(child->Wait(milliseconds(20)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(child->running());
}

TEST_F(ChildProcessTest, AMissingProgramIsAnErrorOfStart) {
  auto child = ChildProcess::Start({.command = {"/nowhere/at/all"}});
  EXPECT_EQ(child.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("/nowhere/at/all"));
}

TEST_F(ChildProcessTest, PassesTheEnvironmentAndKeepsTheOutput) {
  auto child = Shell("echo $WORD; echo problem >&2", File("out"), {{"WORD", "whisper"}});
  ASSERT_TRUE(child->Wait(seconds(10)).ok());
  EXPECT_EQ(child->Output(), "whisper\nproblem\n");
}

TEST_F(ChildProcessTest, SeparatesStderrWhenAsked) {
  auto child = ChildProcess::Start({.command = {"sh", "-c", "echo a; echo b >&2"},
                                    .stdout_path = File("out"),
                                    .stderr_path = File("err")});
  ASSERT_TRUE((*child)->Wait(seconds(10)).ok());
  EXPECT_EQ(ReadFile(File("out")), "a\n");
  EXPECT_EQ(ReadFile(File("err")), "b\n");
}

TEST_F(ChildProcessTest, WaitsForOutput) {
  auto child = Shell("echo ready; exec sleep 600", File("out"));
  EXPECT_TRUE(child->WaitForOutput("ready", seconds(10)).ok());
  EXPECT_EQ(child->WaitForOutput("never", milliseconds(20)).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ChildProcessTest, AnEndBeforeTheOutputIsNoticedAndShowsTheOutput) {
  auto child = Shell("echo broken", File("out"));
  const absl::Status status = child->WaitForOutput("ready", seconds(60));
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("broken"));
}

TEST_F(ChildProcessTest, DiesWithTheObject) {
  auto child = Shell("exec sleep 600");
  const pid_t pid = child->pid();
  ASSERT_TRUE(child->Signal(SIGSTOP).ok());  // a frozen one must die too
  child.reset();
  EXPECT_TRUE(Dead(pid));
}

TEST_F(ChildProcessTest, OutlivesTheThreadThatStartedIt) {
  std::unique_ptr<ChildProcess> child;
  std::thread([&] { child = Shell("echo up; exec sleep 600", File("out")); }).join();
  ASSERT_TRUE(child->WaitForOutput("up", seconds(10)).ok());
  EXPECT_EQ(child->Wait(milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

using ChildProcessDeathTest = ChildProcessTest;

TEST_F(ChildProcessDeathTest, DiesWithItsParentEvenByKill) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        auto child = Shell("exec sleep 600");
        fprintf(stderr, "child=%d.", child->pid());
        raise(SIGKILL);
      },
      ::testing::KilledBySignal(SIGKILL), ::testing::Truly([](const std::string& text) {
        const size_t at = text.find("child=");
        if (at == std::string::npos) return false;
        const pid_t pid = std::stoi(text.substr(at + 6));
        return WaitUntil(seconds(10), [pid] { return Dead(pid); });
      }));
}

TEST(TailTest, GivesTheLastLines) {
  EXPECT_EQ(Tail("a\nb\nc\n", 2), "b\nc\n");
  EXPECT_EQ(Tail("a\nb\nc", 1), "c");
  EXPECT_EQ(Tail("a\nb", 5), "a\nb");
  EXPECT_EQ(Tail("", 5), "");
}

}  // namespace
}  // namespace sluice::test_support
