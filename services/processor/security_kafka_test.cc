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
#include "common/kafka/denials.h"
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

// One permission less than the chart's: what is said, at the start and while events flow, is what
// docs/reference/denials.md says. All cases at once, each a pipeline of its own.
struct TakenAway {
  const char* name;
  KafkaAccess::Resource resource;
  // Of the case's resources: raw, positions, quarantine, clean, or none.
  const char* of;
  std::vector<KafkaAccess::Operation> operations;
  kafka::Access at_start;
  std::optional<kafka::Access> running;  // nullopt: nothing is asked again for now
};

TEST_F(SecurityKafkaTest, EachPermissionThatIsTakenAwayIsNamedAndGivenBackTheFlowGoesOnByItself) {
  using enum KafkaAccess::Operation;
  using kafka::Access;
  constexpr auto kTopic = KafkaAccess::Resource::kTopic;
  const std::vector<TakenAway> all = {
      {"input", kTopic, "raw", {kDescribe, kRead}, Access::kLookUpInput, Access::kReadInput},
      {"read", kTopic, "raw", {kRead}, Access::kReadInput, Access::kReadInput},
      {"group", KafkaAccess::Resource::kGroup, "", {kRead}, Access::kJoinGroup, Access::kJoinGroup},
      {"id",
       KafkaAccess::Resource::kTransactionalIdPrefix,
       "",
       {kDescribe, kWrite},
       Access::kTakeTransactionalId,
       Access::kTakeTransactionalId},
      {"output",
       kTopic,
       "clean",
       {kDescribe, kDescribeConfigs, kWrite},
       Access::kLookUpOutput,
       Access::kWriteOutput},
      {"config", kTopic, "clean", {kDescribeConfigs}, Access::kDescribeOutput, std::nullopt},
      {"write", kTopic, "clean", {kWrite}, Access::kWriteOutput, Access::kWriteOutput},
      {"quarantine", kTopic, "quarantine", {kWrite}, Access::kWriteOutput, Access::kWriteOutput},
      {"record", kTopic, "positions", {kWrite}, Access::kWriteOutput, Access::kWriteOutput},
      {"recorded", kTopic, "positions", {kRead}, Access::kReadPositions, std::nullopt},
  };
  struct Case {
    TakenAway taken;
    std::string group, config, log, raw, resource;
    std::unique_ptr<ChildProcess> process;
    int produced = 0;
  };
  std::vector<Case> cases;
  auto admin = *kafka::Admin::Create(Direct());
  for (const TakenAway& taken : all) {
    name_ = base::StrCat("denied.", taken.name);
    ConfigureSasl();
    CreateTopics();
    GrantAll("User:alice");
    // It has begun before: what only the very first start does isn't tried here.
    positions::v1::VersionBegin begin;
    begin.set_version("none");
    const std::string key =
        BegunKeyText(PipelineName(setup_->config.pipeline()), *admin->TopicId(raw()));
    const std::string value = begin.SerializeAsString();
    auto writer = kafka::TopicWriter::Create({Direct()});
    ASSERT_TRUE((*writer)->Write({positions(), 0, key, value, {}, {}}).ok());
    ASSERT_TRUE((*writer)->Flush().ok());
    Case& at = cases.emplace_back();
    at.taken = taken;
    at.config = Path(name_ + ".yaml");
    at.log = Path(name_ + ".log");
    std::filesystem::rename(Path("processor.yaml"), at.config);
    at.raw = raw();
    at.group = name_;
    const std::string of = taken.of;
    at.resource = of == "raw"          ? raw()
                  : of == "positions"  ? positions()
                  : of == "quarantine" ? setup_->config.pipeline().quarantine().topic()
                  : of == "clean"      ? setup_->config.pipeline().streams(0).topic()
                  : taken.resource == KafkaAccess::Resource::kGroup ? name_
                                                                    : "sluice-" + name_ + "-";
  }
  auto start = [](Case& at) {
    auto process = ChildProcess::Start(
        {{Environment("SLUICE_BINARY_DIR") + "/services/processor/sluice-processor", "--config",
          at.config},
         {},
         at.log,
         ""});
    ASSERT_TRUE(process.ok()) << process.status();
    at.process = *std::move(process);
  };
  // Some are good, some go to quarantine.
  auto produce = [&](Case& at, int events) {
    auto writer = kafka::TopicWriter::Create({Direct()});
    for (int i = 0; i < events; ++i, ++at.produced) {
      std::string event = i % 4 == 0 ? "{}" : generator_.Next();
      ASSERT_TRUE(
          (*writer)->Write({at.raw, std::nullopt, base::StrCat(at.produced), event, {}, {}}).ok());
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  };
  auto take = [&](Case& at) {
    for (KafkaAccess::Operation operation : at.taken.operations) {
      absl::Status taken = access_->Revoke("User:alice", at.taken.resource, at.resource, operation);
      ASSERT_TRUE(taken.ok()) << taken;
    }
  };
  auto give = [&](Case& at) {
    absl::Status granted =
        access_->Grant("User:alice", at.taken.resource, at.resource, at.taken.operations);
    ASSERT_TRUE(granted.ok()) << granted;
  };
  auto all_done = [&](Case& at) {
    auto committed = admin->Committed(at.group, at.raw);
    return committed.ok() && *committed == *admin->LogEnds(at.raw);
  };
  auto expect_all_done = [&] {
    for (Case& at : cases) {
      EXPECT_TRUE(test_support::WaitUntil(40s, [&] { return all_done(at); }))
          << at.taken.name << ":\n"
          << test_support::Tail(test_support::ReadFile(at.log), 12);
    }
  };

  for (Case& at : cases) {
    produce(at, 40);
    take(at);
    start(at);
  }
  for (Case& at : cases) {
    const kafka::Denial& denial = kafka::DenialOf(at.taken.at_start);
    EXPECT_TRUE(test_support::WaitUntil(30s,
                                        [&] {
                                          std::string said = test_support::ReadFile(at.log);
                                          return said.find(at.resource) != said.npos &&
                                                 said.find("grant ") != said.npos;
                                        }))
        << at.taken.name << ":\n"
        << test_support::Tail(test_support::ReadFile(at.log), 12);
    if (denial.at_start != kafka::kEnds) {
      EXPECT_TRUE(at.process->running()) << at.taken.name;
      continue;
    }
    auto ended = at.process->Wait(20s);
    ASSERT_TRUE(ended.ok()) << at.taken.name << test_support::ReadFile(at.log);
    EXPECT_EQ(ended->code, 1) << at.taken.name;
  }
  for (Case& at : cases) {
    give(at);
    if (at.process->running()) continue;
    std::filesystem::remove(at.log);
    start(at);
  }
  expect_all_done();

  for (Case& at : cases) {
    take(at);
    produce(at, 40);
  }
  for (Case& at : cases) {
    std::string text = test_support::ReadFile(at.log);
    const int port = std::atoi(text.c_str() + text.find("\"http_port\":") + 12);
    auto page = [port](const char* path) { return test_support::HttpGet(port, path).value_or(""); };
    if (!at.taken.running) {
      EXPECT_TRUE(test_support::WaitUntil(40s, [&] { return all_done(at); })) << at.taken.name;
      continue;
    }
    const kafka::Denial& denial = kafka::DenialOf(*at.taken.running);
    std::string seen;
    EXPECT_TRUE(test_support::WaitUntil(
        30s,
        [&] {
          seen = page("/readyz");
          // The group is also asked for when offsets are committed, a topic when it is looked up:
          // who may not write it may not describe it either.
          const Access also = *at.taken.running == Access::kJoinGroup     ? Access::kCommitOffsets
                              : *at.taken.running == Access::kReadInput   ? Access::kLookUpInput
                              : *at.taken.running == Access::kWriteOutput ? Access::kLookUpOutput
                                                                          : *at.taken.running;
          const bool operation = seen.find(denial.operation) != seen.npos ||
                                 seen.find(kafka::DenialOf(also).operation) != seen.npos;
          return operation && seen.find("(permission)") != seen.npos &&
                 seen.find(at.resource) != seen.npos;
        }))
        << at.taken.name << ": " << seen << "\n"
        << test_support::Tail(test_support::ReadFile(at.log), 12);
    EXPECT_THAT(page("/metrics"),
                ::testing::ContainsRegex("sluice_broker_failure_seconds\\{kind=\"permission\","
                                         "worker=\"0\"\\} [0-9.e-]*[1-9]"))
        << at.taken.name;
    EXPECT_THAT(seen, Not(HasSubstr("Purged"))) << at.taken.name;
  }
  // Nobody resumes anything.
  for (Case& at : cases) give(at);
  expect_all_done();
  for (Case& at : cases) {
    std::string text = test_support::ReadFile(at.log);
    const int port = std::atoi(text.c_str() + text.find("\"http_port\":") + 12);
    EXPECT_TRUE(test_support::WaitUntil(
        20s,
        [&] {
          return test_support::HttpGet(port, "/readyz").value_or("").find("brokers fail") ==
                 std::string::npos;
        }))
        << at.taken.name << test_support::HttpGet(port, "/readyz").value_or("");
    StopCleanly(*at.process);
  }
}

// The cluster's is every pipeline's.
TEST_F(SecurityKafkaTest, TheChartsAclsAreEnoughAndTheClustersIsNamedWhenItIsMissing) {
  ConfigureSasl();
  CreateTopics();
  GrantAll("User:alice");
  Produce(200);
  auto process = Start();
  ExpectConserved();
  StopCleanly(*process);
  ASSERT_TRUE(access_->Revoke("User:alice", KafkaAccess::Resource::kCluster, "").ok());
  EXPECT_THAT(Refusal(), HasSubstr("DescribeConfigs on the cluster"));
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
  expect_refused({kDescribe, kDescribeConfigs, kRead}, "grant it Write on topic control.");
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
