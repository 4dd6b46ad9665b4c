// The program as an operator runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "services/pseudonymiser/testing.h"
#include "tests/support/child_process.h"

namespace sluice::pseudonymiser {
namespace {

using test_support::ChildProcess;
using ::testing::HasSubstr;

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    service_.SetPolicy("callers: [{caller: a, may: [{calls: [list_domains], domains: [\"*\"]}]}]");
    // Writes the configuration.
    ASSERT_TRUE(service_.Start().ok());
    service_.Stop();
  }
  std::unique_ptr<test_support::ChildProcess> Run(std::vector<std::string> more = {}) {
    std::string program = std::getenv("SLUICE_BINARY_DIR");
    test_support::ChildProcess::Options options;
    options.command = {program + "/services/pseudonymiser/sluice-pseudonymiser", "--config",
                       service_.path("pseudonymiser.yaml")};
    options.command.insert(options.command.end(), more.begin(), more.end());
    options.stdout_path = service_.path("log");
    auto child = test_support::ChildProcess::Start(std::move(options));
    EXPECT_TRUE(child.ok()) << child.status();
    return *std::move(child);
  }

  std::string Trail() const { return TestService::Read(service_.trail()); }

  TestService service_;
};

TEST_F(ProcessTest, StartsReloadsAndEndsAtASignalWithoutEverLeavingACore) {
  auto child = Run();
  absl::Status started = child->WaitForOutput("\"event\":\"started\"", std::chrono::seconds(30));
  ASSERT_TRUE(started.ok()) << started;
  std::string proc = base::StrCat("/proc/", child->pid());
  EXPECT_THAT(TestService::Read(proc + "/limits"),
              ::testing::ContainsRegex("Max core file size +0 +0"));
  ASSERT_TRUE(child->Signal(SIGHUP).ok());
  absl::Status read = child->WaitForOutput("\"event\":\"policy_read\"", std::chrono::seconds(30));
  EXPECT_TRUE(read.ok()) << read;
  ASSERT_TRUE(child->Signal(SIGTERM).ok());
  auto ended = child->Wait(std::chrono::seconds(30));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(*ended, test_support::Exit{});
}

TEST_F(ProcessTest, ACheckSaysWhetherItWouldStartAndChangesNothing) {
  auto ended = [&](ChildProcess& child) {
    auto exit = child.Wait(std::chrono::seconds(30));
    return exit.ok() ? exit->code : -1;
  };
  std::filesystem::remove(service_.path("state"));
  const std::string keyring = TestService::Read(service_.keyring()), trail = Trail();
  auto good = Run({"--check"});
  EXPECT_EQ(ended(*good), 0);
  EXPECT_THAT(good->Output(), HasSubstr("ok: 3 domains, keyring written 1 times, 1 callers"));
  EXPECT_FALSE(std::filesystem::exists(service_.path("state")));
  EXPECT_EQ(TestService::Read(service_.keyring()), keyring);
  EXPECT_EQ(Trail(), trail);

  TestService::Write(service_.path("state"), "anything");
  std::filesystem::permissions(service_.path("state"), std::filesystem::perms::owner_read);
  auto state = Run({"--check"});
  EXPECT_EQ(ended(*state), 1);
  EXPECT_THAT(state->Output(), HasSubstr("isn't the pseudonymiser's state"));
  std::filesystem::remove(service_.path("state"));
  TestService::Write(service_.keyring(), keyring.substr(0, keyring.size() / 2));
  auto cut = Run({"--check"});
  EXPECT_EQ(ended(*cut), 1);
  EXPECT_THAT(cut->Output(), HasSubstr(service_.keyring()));
  TestService::Write(service_.keyring(), keyring);
  service_.SetPolicy("callers: [{caller: a, may: [{calls: [everything]}]}]");
  auto policy = Run({"--check"});
  EXPECT_EQ(ended(*policy), 1);
  EXPECT_THAT(policy->Output(), HasSubstr("policy.yaml:1"));
}

TEST_F(ProcessTest, SaysWhyItDoesNotStart) {
  auto child = Run({"--instance", "two"});
  auto ended = child->Wait(std::chrono::seconds(30));
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->code, 1);
  EXPECT_THAT(child->Output(), HasSubstr("--instance names this replica too"));
}

}  // namespace
}  // namespace sluice::pseudonymiser
