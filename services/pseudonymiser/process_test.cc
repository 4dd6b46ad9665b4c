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
  // `before`: what runs it.
  std::unique_ptr<test_support::ChildProcess> Run(std::vector<std::string> more = {},
                                                  std::vector<std::string> before = {}) {
    std::string program = std::getenv("SLUICE_BINARY_DIR");
    test_support::ChildProcess::Options options;
    options.command = std::move(before);
    for (const std::string& word : {program + "/services/pseudonymiser/sluice-pseudonymiser",
                                    std::string("--config"), service_.path("pseudonymiser.yaml")})
      options.command.push_back(word);
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

// As where Kubernetes mounts a Secret.
TEST_F(ProcessTest, AKeyringThatIsMountedReadOnlyStopsChangesOfDomainsAndNothingElse) {
  const std::string keys = service_.path("keys");
  std::filesystem::create_directory(keys);
  std::filesystem::rename(service_.keyring(), keys + "/keyring");
  std::string config = TestService::Read(service_.path("pseudonymiser.yaml"));
  config.replace(config.find("keyring: keyring"), 16, "keyring: keys/keyring");
  TestService::Write(service_.path("pseudonymiser.yaml"), config);
  service_.SetPolicy(
      "callers: [{caller: a, may: [{calls: [pseudonymise, rotate_domain, create_domain], domains: "
      "[\"*\"]}], limits: {bulk: true}}]");
  const std::string mount =
      base::StrCat("mount --bind ", keys, " ", keys, " && mount -o remount,ro,bind ", keys);
  auto may_mount = ChildProcess::Start({{"unshare", "-m", "sh", "-c", mount}, {}, "", ""});
  ASSERT_TRUE(may_mount.ok()) << may_mount.status();
  if (*(*may_mount)->Wait(std::chrono::seconds(30)) != test_support::Exit{})
    GTEST_SKIP() << "this user may not mount";
  const std::string before = TestService::Read(keys + "/keyring");
  auto child = Run({}, {"unshare", "-m", "sh", "-c", mount + " && exec \"$@\"", "sh"});
  absl::Status started = child->WaitForOutput("\"event\":\"started\"", std::chrono::seconds(30));
  ASSERT_TRUE(started.ok()) << started;
  const std::string log = child->Output();
  const int port = std::atoi(log.c_str() + log.find("\"grpc_port\":") + 12);
  auto channel = rpc::Connect(
      {.address = base::StrCat("127.0.0.1:", port), .tls = service_.CallerWith("DNS:a")}, "test");
  ASSERT_TRUE(channel.ok()) << channel.status();
  auto stub = v1::Pseudonymiser::NewStub(*channel);
  auto call = [&](auto method, const auto& request, auto response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return (stub.get()->*method)(&context, request, &response);
  };
  v1::RotateDomainRequest rotate;
  rotate.set_domain("intelligence");
  v1::CreateDomainRequest create;
  create.set_name("partners");
  create.set_label("par");
  for (const grpc::Status& refused :
       {call(&v1::Pseudonymiser::Stub::RotateDomain, rotate, v1::RotateDomainResponse()),
        call(&v1::Pseudonymiser::Stub::CreateDomain, create, v1::CreateDomainResponse())}) {
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(refused.error_message(), HasSubstr("can't be written here"));
    EXPECT_THAT(refused.error_message(), HasSubstr("`sluicectl keys`"));
  }
  v1::PseudonymiseRequest values;
  values.add_target_list()->set_domain("intelligence");
  values.set_values("+447700900123");
  values.add_ends(13);
  values.mutable_kinds()->push_back(contract::v1::PHONE);
  values.mutable_targets()->push_back(0);
  EXPECT_TRUE(
      call(&v1::Pseudonymiser::Stub::Pseudonymise, values, v1::PseudonymiseResponse()).ok());
  EXPECT_EQ(TestService::Read(keys + "/keyring"), before);
  EXPECT_THAT(Trail(), ::testing::Not(HasSubstr(R"("action":"RotateDomain","outcome":"done")")));
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
