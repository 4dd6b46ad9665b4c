// The processor on a Kafka that wants TLS and knows whom it lets do what: what is refused says what
// to do, and what is renewed is taken while events flow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/seal.h"
#include "demo/generator.h"
#include "services/audit/audit.h"
#include "services/processor/engine_transform.h"
#include "services/processor/setup.h"
#include "services/processor/shipped_pipeline_test.h"
#include "tests/support/child_process.h"
#include "tests/support/http_get.h"
#include "tests/support/secure_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using test_support::ChildProcess;
using test_support::KafkaAccess;
using test_support::KafkaBroker;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

class SecurityKafkaTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto secure = test_support::SecureBroker::Start();
    ASSERT_TRUE(secure.ok()) << secure.status();
    secure_ = std::move(*secure).release();
    broker_ = &secure_->broker();
    access_ = &secure_->access();
    certificates_ = &secure_->certificates();
    clients_authority_ = secure_->clients_authority();
  }
  static void TearDownTestSuite() { delete secure_; }

  void SetUp() override {
    folder_ = *test_support::TempDir::Create("security-test");
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    base::SystemRandom random;
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(Path("kek"), random).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random);
    ASSERT_TRUE(keyring->Save(Path("keyring"), Path("kek"), random).ok());
    std::ofstream(Path("quarantine.pub")) << privacy::NewSealingKeys(random)->public_pem;
    std::filesystem::copy_file(Environment("SLUICE_SOURCE_DIR") + "/deploy/config/boroughs.csv",
                               Path("boroughs.csv"));
    std::filesystem::copy_file(secure_->authority(), Path("ca.crt"));
    Write("password", "wonderland\n");
  }

  std::string Path(const std::string& file) const { return folder_->path() + "/" + file; }
  // By renaming, as a mounted Secret changes.
  void Write(const std::string& file, std::string_view text) const {
    std::ofstream(Path(file + ".new")) << text;
    std::filesystem::rename(Path(file + ".new"), Path(file));
  }

  void Configure(const std::string& brokers, const std::string& security,
                 const std::string& reference = "") {
    std::string root = Environment("SLUICE_SOURCE_DIR");
    std::ofstream config(Path("processor.yaml"));
    config << "kafka: {brokers: [\"" << brokers << "\"], group: " << name_ << group_
           << ", instance: first, session_timeout_ms: 6000, transaction_timeout_ms: 3000, "
           << "security: " << security << "}\n"
           << "commit: {events: 50}\n"
           << "contracts: [\"" << root << "/proto\"]\n"
           << "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
           << "reference: {" << reference
           << "local: {sets: [{name: boroughs, csv: boroughs.csv, key: code, not_personal: [name, "
              "command_unit]}]}}\n"
           << "pipeline:\n";
    if (!pipeline_.empty()) config << "  name: " << pipeline_ << "\n";
    config << ShippedPipeline(root, "." + name_);
    config.close();
    auto setup = LoadSetup(Path("processor.yaml"));
    ASSERT_TRUE(setup.ok()) << setup.status();
    setup_.emplace(*std::move(setup));
  }
  void ConfigureSasl(const std::string& security =
                         "{tls: {ca: ca.crt}, sasl: {username: alice, password: password}}",
                     const std::string& reference = "") {
    Configure(broker_->bootstrap(), security, reference);
  }

  void CreateTopics() {
    std::vector<kafka::NewTopic> topics = {{raw(), 2}};
    for (const std::string& topic : OutputTopics(*setup_->pipeline)) topics.push_back({topic, 1});
    topics.push_back({positions(), 1});
    absl::Status created = (*kafka::Admin::Create(Direct()))->CreateTopics(topics);
    ASSERT_TRUE(created.ok()) << created;
  }

  struct Acl {
    KafkaAccess::Resource resource;
    std::string name;
    std::vector<KafkaAccess::Operation> operations;
  };
  // What the chart's KafkaUser has: deploy/helm/sluice/templates/strimzi.yaml.
  std::vector<Acl> Acls() const {
    using enum KafkaAccess::Resource;
    using enum KafkaAccess::Operation;
    std::vector<Acl> acls = {{kTopic, raw(), {kDescribe, kRead}}};
    for (const std::string& topic : OutputTopics(*setup_->pipeline))
      acls.push_back({kTopic, topic, {kDescribe, kDescribeConfigs, kWrite}});
    acls.push_back({kTopic, positions(), {kDescribe, kDescribeConfigs, kRead, kWrite}});
    acls.push_back({kGroup, name_ + group_, {kDescribe, kRead}});
    acls.push_back({kTransactionalIdPrefix, "sluice-" + name_ + group_ + "-", {kDescribe, kWrite}});
    acls.push_back({kCluster, "", {kDescribeConfigs}});
    return acls;
  }
  void GrantAll(const std::string& principal) {
    for (const Acl& acl : Acls()) {
      absl::Status granted = access_->Grant(principal, acl.resource, acl.name, acl.operations);
      ASSERT_TRUE(granted.ok()) << granted;
    }
  }

  std::string positions() const { return PositionsTopic(setup_->config.pipeline()); }
  std::string raw() const { return setup_->config.pipeline().input().topic(); }
  kafka::ConnectionOptions Direct() const {
    return {.brokers = {broker_->direct()}, .log = [](int, std::string_view, std::string_view) {}};
  }
  std::string log() const { return Path("log"); }

  std::unique_ptr<ChildProcess> Start() {
    auto process = ChildProcess::Start(
        {{Environment("SLUICE_BINARY_DIR") + "/services/processor/sluice-processor", "--config",
          Path("processor.yaml")},
         {},
         log(),
         ""});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }

  void Produce(int events) {
    auto writer = kafka::TopicWriter::Create({Direct()});
    ASSERT_TRUE(writer.ok());
    // Keys, so that each partition has some: without, all of a quick burst go to one.
    for (int i = 0; i < events; ++i) {
      ASSERT_TRUE(
          (*writer)->Write({raw(), std::nullopt, base::StrCat(i), generator_.Next(), {}, {}}).ok());
    }
    absl::Status flushed = (*writer)->Flush();
    ASSERT_TRUE(flushed.ok()) << flushed;
    produced_ += events;
  }

  void ProduceUntilItSays(ChildProcess& process, std::string_view text) {
    ASSERT_TRUE(test_support::WaitUntil(60s,
                                        [&] {
                                          Produce(50);
                                          return test_support::ReadFile(log()).find(text) !=
                                                 std::string::npos;
                                        }))
        << text << ":\n"
        << test_support::Tail(process.Output(), 20);
  }

  // Until every event has a result.
  void ExpectConserved() {
    audit::Findings found;
    test_support::WaitUntil(60s, [&] {
      auto pseudonymiser = privacy::LocalPseudonymiser::Create(*setup_->keyring);
      auto findings = audit::Audit({Direct(), name_}, *setup_->pipeline, **pseudonymiser);
      if (!findings.ok()) return false;  // nothing committed yet, or the broker restarts
      found = *findings;
      return !found.conserved() || found.in == static_cast<uint64_t>(produced_);
    });
    EXPECT_EQ(found.in, static_cast<uint64_t>(produced_))
        << test_support::Tail(test_support::ReadFile(log()), 30);
    EXPECT_TRUE(found.conserved()) << ::testing::PrintToString(found.examples);
  }

  // What a processor says that is refused as it starts.
  std::string Refusal() {
    auto process = Start();
    auto ended = process->Wait(40s);
    EXPECT_TRUE(ended.ok()) << test_support::Tail(test_support::ReadFile(log()), 20);
    EXPECT_NE(ended.value_or(test_support::Exit{}), test_support::Exit{});
    return test_support::ReadFile(log());
  }

  void StopCleanly(ChildProcess& process) {
    ASSERT_TRUE(process.Signal(SIGTERM).ok());
    auto ended = process.Wait(40s);
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(*ended, test_support::Exit{})
        << ended->ToString() << test_support::Tail(test_support::ReadFile(log()), 20);
  }

  static test_support::SecureBroker* secure_;
  static KafkaBroker* broker_;
  static KafkaAccess* access_;
  static test_support::Certificates* certificates_;
  static std::string clients_authority_;
  std::unique_ptr<test_support::TempDir> folder_;
  std::string name_, group_;  // the group's name is both
  std::string pipeline_;
  std::optional<processor::Setup> setup_;
  demo::Generator generator_{7};
  int produced_ = 0;
};

test_support::SecureBroker* SecurityKafkaTest::secure_ = nullptr;
KafkaBroker* SecurityKafkaTest::broker_ = nullptr;
KafkaAccess* SecurityKafkaTest::access_ = nullptr;
test_support::Certificates* SecurityKafkaTest::certificates_ = nullptr;
std::string SecurityKafkaTest::clients_authority_;

TEST_F(SecurityKafkaTest, AWrongPasswordNamesTheKeyToMendAndNotThePassword) {
  Write("password", "hunter2");
  ConfigureSasl();
  std::string said = Refusal();
  EXPECT_THAT(said, HasSubstr("kafka.security.sasl"));
  EXPECT_THAT(said, Not(HasSubstr("hunter2")));
}

TEST_F(SecurityKafkaTest, ABrokerOfAnUnknownAuthorityIsntBelieved) {
  std::filesystem::copy_file(clients_authority_, Path("other.crt"));
  ConfigureSasl("{tls: {ca: other.crt}, sasl: {username: alice, password: password}}");
  EXPECT_THAT(Refusal(), HasSubstr("kafka.security.tls.ca"));
}

TEST_F(SecurityKafkaTest, ABrokerThatAsksForACertificateNamesTheKeyToSet) {
  Configure(broker_->mutual_tls(), "{tls: {ca: ca.crt}}");
  EXPECT_THAT(Refusal(), HasSubstr("kafka.security.tls.certificate"));
}

// Exactly the ACLs of the chart: with them events flow, and without any one of them the processor
// says which is missing, when it starts or as the reason why it isn't ready.
TEST_F(SecurityKafkaTest, TheChartsAclsAreEnoughAndAMissingOneIsNamed) {
  ConfigureSasl();
  CreateTopics();
  GrantAll("User:alice");
  Produce(200);
  auto process = Start();
  ExpectConserved();
  StopCleanly(*process);

  const std::map<KafkaAccess::Resource, std::string> advice = {
      {KafkaAccess::Resource::kTopic, "on the topics that are read"},
      {KafkaAccess::Resource::kGroup, "on the consumer group"},
      {KafkaAccess::Resource::kTransactionalIdPrefix, "transactional ids"},
      {KafkaAccess::Resource::kCluster, "DescribeConfigs on the cluster"},
  };
  for (const Acl& acl : Acls()) {
    ASSERT_TRUE(access_->Revoke("User:alice", acl.resource, acl.name).ok());
    auto refused = Start();
    EXPECT_TRUE(test_support::WaitUntil(30s,
                                        [&] {
                                          return test_support::ReadFile(log()).find(
                                                     advice.at(acl.resource)) != std::string::npos;
                                        }))
        << acl.name << ":\n"
        << test_support::Tail(test_support::ReadFile(log()), 20);
    refused->Kill();
    ASSERT_TRUE(access_->Grant("User:alice", acl.resource, acl.name, acl.operations).ok());
  }
}

// As above, of a pipeline whose joins are pinned: its own, and one that follows it.
TEST_F(SecurityKafkaTest, TheChartsAclsForPinsAreEnoughForWhoWritesAndForWhoFollows) {
  using enum KafkaAccess::Operation;
  constexpr auto kTopic = KafkaAccess::Resource::kTopic;
  const std::string sasl = "{tls: {ca: ca.crt}, sasl: {username: alice, password: password}}";
  const std::string control = "control." + name_;
  auto admin = *kafka::Admin::Create(Direct());
  auto pinned = [&](const std::string& rest) {
    return base::StrCat("folder: kept, control: {topic: ", control, rest, "}, ");
  };
  auto grant = [&](const Acl& acl) {
    EXPECT_TRUE(access_->Grant("User:alice", acl.resource, acl.name, acl.operations).ok());
  };
  auto all_committed = [&] {
    return test_support::WaitUntil(60s, [&] {
      auto committed = admin->Committed(name_ + group_, raw());
      return committed.ok() && *committed == *admin->LogEnds(raw());
    });
  };
  ConfigureSasl(sasl, pinned(""));
  CreateTopics();
  const kafka::NewTopic topic{control, 1, 1, {{"retention.ms", "-1"}}};
  ASSERT_TRUE(admin->CreateTopics({&topic, 1}).ok());
  GrantAll("User:alice");
  Produce(200);

  auto expect_refused = [&](std::vector<KafkaAccess::Operation> operations, const char* advice) {
    grant({kTopic, control, std::move(operations)});
    auto refused = Start();
    EXPECT_TRUE(test_support::WaitUntil(30s, [&] {
      return test_support::ReadFile(log()).find(advice) != std::string::npos;
    })) << test_support::Tail(test_support::ReadFile(log()), 20);
    refused->Kill();
    EXPECT_TRUE(access_->Revoke("User:alice", kTopic, control).ok());
  };
  expect_refused({kDescribe, kDescribeConfigs, kRead}, "the topics that are written");
  grant({kTopic, control, {kDescribe, kDescribeConfigs, kRead, kWrite}});
  auto leader = Start();
  EXPECT_TRUE(all_committed()) << test_support::Tail(test_support::ReadFile(log()), 20);
  ExpectConserved();
  StopCleanly(*leader);
  EXPECT_GT(admin->LogEnds(control)->at(0), 0);
  ASSERT_TRUE(access_->Revoke("User:alice", kTopic, control).ok());
  Produce(50);
  expect_refused({kDescribe, kDescribeConfigs, kWrite}, "on the topics that are read");
  grant({kTopic, control, {kDescribe, kDescribeConfigs, kRead, kWrite}});
  leader = Start();
  EXPECT_TRUE(all_committed()) << test_support::Tail(test_support::ReadFile(log()), 20);
  StopCleanly(*leader);

  ASSERT_TRUE(access_->Revoke("User:alice", kTopic, control).ok());
  ASSERT_TRUE(access_->Revoke("User:alice", KafkaAccess::Resource::kGroup, name_).ok());
  grant({KafkaAccess::Resource::kGroup, name_, {kDescribe}});
  grant({kTopic, control, {kDescribe, kDescribeConfigs, kRead}});
  // Another pipeline with the same outputs: its name is its own, and it says where it begins.
  group_ = ".again";
  pipeline_ = "follower";
  std::vector<kafka::GroupOffset> begin = {{raw(), 0, 0, ""}, {raw(), 1, 0, ""}};
  ASSERT_TRUE(admin->SetGroupOffsets(name_ + group_, begin).ok());
  ConfigureSasl(sasl, pinned(", follow: " + name_));
  GrantAll("User:alice");
  auto follower = Start();
  EXPECT_TRUE(all_committed()) << test_support::Tail(test_support::ReadFile(log()), 20);
  StopCleanly(*follower);
}

// The broker's restart is what makes everyone show who they are anew.
TEST_F(SecurityKafkaTest, ARenewedPasswordIsTakenWhileEventsFlow) {
  ConfigureSasl();
  CreateTopics();
  GrantAll("User:alice");
  auto process = Start();
  Produce(500);
  ExpectConserved();  // and so it is in
  absl::Status changed = access_->SetPassword("alice", "looking-glass");
  ASSERT_TRUE(changed.ok()) << changed;
  Write("password", "looking-glass\n");
  ProduceUntilItSays(*process, "were renewed");
  ASSERT_TRUE(broker_->Restart().ok());
  Produce(500);
  ExpectConserved();
  StopCleanly(*process);
  // With the old one nobody gets in any more.
  Write("password", "wonderland");
  EXPECT_THAT(Refusal(), HasSubstr("kafka.security.sasl"));
  ASSERT_TRUE(access_->SetPassword("alice", "wonderland").ok());
}

TEST_F(SecurityKafkaTest, AnAccountThatIsRefusedWhileItRunsIsSaidAndGoesOnByItself) {
  ConfigureSasl();
  CreateTopics();
  GrantAll("User:alice");
  auto process = Start();
  Produce(500);
  ExpectConserved();
  ASSERT_TRUE(process->WaitForOutput("http_port", 60s).ok());
  std::string text = test_support::ReadFile(log());
  int port = std::atoi(text.c_str() + text.find("\"http_port\":") + 12);
  auto page = [port](const char* path) { return test_support::HttpGet(port, path).value_or(""); };
  EXPECT_THAT(page("/readyz"), Not(HasSubstr("brokers fail")));
  // Connections stay until the broker goes.
  ASSERT_TRUE(access_->SetPassword("alice", "looking-glass").ok());
  ASSERT_TRUE(broker_->Restart().ok());
  Produce(100);
  EXPECT_TRUE(test_support::WaitUntil(
      30s, [&] { return page("/readyz").find("(credentials)") != std::string::npos; }))
      << page("/readyz") << test_support::Tail(test_support::ReadFile(log()), 20);
  EXPECT_THAT(page("/readyz"), HasSubstr("kafka.security.sasl"));
  EXPECT_THAT(page("/metrics"),
              ::testing::ContainsRegex("sluice_broker_failure_seconds\\{kind=\"credentials\","
                                       "worker=\"0\"\\} [0-9.]*[1-9]"));
  EXPECT_TRUE(process->running());
  Write("password", "looking-glass");
  ExpectConserved();
  EXPECT_TRUE(test_support::WaitUntil(
      30s, [&] { return page("/readyz").find("brokers fail") == std::string::npos; }));
  StopCleanly(*process);
  ASSERT_TRUE(access_->SetPassword("alice", "wonderland").ok());
}

TEST_F(SecurityKafkaTest, ARenewedCertificateIsTakenWhileEventsFlowAndAHalfWrittenOneIsnt) {
  auto old = certificates_->Issue("clients", "alice", "DNS:alice");
  auto copy = [&](const test_support::CertificateFiles& files) {
    Write("tls.crt", test_support::ReadFile(files.certificate));
    Write("tls.key", test_support::ReadFile(files.private_key));
  };
  copy(old);
  Configure(broker_->mutual_tls(),
            "{tls: {ca: ca.crt, certificate: tls.crt, private_key: tls.key}}");
  CreateTopics();
  GrantAll("User:CN=alice");
  auto process = Start();
  Produce(500);
  ExpectConserved();
  // Another authority's. First without its key: not taken, and nothing stops.
  auto renewed = certificates_->Issue("clients-2", "alice-2", "DNS:alice");
  Write("tls.crt", test_support::ReadFile(renewed.certificate));
  ProduceUntilItSays(*process, "can't be used");
  EXPECT_THAT(test_support::ReadFile(log()), Not(HasSubstr("were renewed")));
  ExpectConserved();
  GrantAll("User:CN=alice-2");
  Write("tls.key", test_support::ReadFile(renewed.private_key));
  // The brokers change their mind about whom they believe, as at the end of a rotation.
  std::string authorities = test_support::ReadFile(clients_authority_);
  std::ofstream(clients_authority_, std::ios::app) << test_support::ReadFile(renewed.authority);
  ASSERT_TRUE(broker_->Restart().ok());
  ProduceUntilItSays(*process, "were renewed");
  std::filesystem::copy_file(renewed.authority, clients_authority_,
                             std::filesystem::copy_options::overwrite_existing);
  ASSERT_TRUE(broker_->Restart().ok());
  Produce(500);
  ExpectConserved();
  StopCleanly(*process);
  std::ofstream(clients_authority_) << authorities;
  ASSERT_TRUE(broker_->Restart().ok());
}

}  // namespace
}  // namespace sluice::processor
