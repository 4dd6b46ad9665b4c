// A processor of the shipped pipeline as a process of its own, on a real Kafka.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "common/privacy/local_pseudonymiser.h"
#include "common/privacy/seal.h"
#include "demo/generator.h"
#include "services/audit/audit.h"
#include "services/processor/processor.h"
#include "services/processor/shipped_pipeline_test.h"
#include "tests/support/child_process.h"
#include "tests/support/http_get.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {

using namespace std::chrono_literals;
using test_support::ChildProcess;
using test_support::KafkaBroker;

inline std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

class ProcessorKafkaTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto broker = KafkaBroker::Create({});
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = std::move(*broker).release();
    absl::Status started = broker_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }
  static void TearDownTestSuite() {
    delete broker_;
    broker_ = nullptr;
  }

  void SetUp() override {
    folder_ = *test_support::TempDir::Create("processor-test");
    suffix_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    // Parametrised tests; Kafka's names take no slash.
    std::replace(suffix_.begin(), suffix_.end(), '/', '.');
    base::SystemRandom random;
    std::string path = folder_->path();
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path + "/kek", random).ok());
    auto keyring = privacy::Keyring::Create({{"intelligence", "int"}, {"public", "pub"}}, random);
    ASSERT_TRUE(keyring->Save(path + "/keyring", path + "/kek", random).ok());
    std::ofstream(path + "/quarantine.pub") << privacy::NewSealingKeys(random)->public_pem;
    setup_ = LoadConfig("first");
    ASSERT_TRUE(setup_.has_value());
    std::vector<kafka::NewTopic> topics = {{setup_->pipeline->config().input().topic(), 4}};
    for (const std::string& topic : OutputTopics(*setup_->pipeline)) topics.push_back({topic, 2});
    topics.push_back({PositionsTopic(setup_->pipeline->config()), 1});
    absl::Status created = (*kafka::Admin::Create(Connection()))->CreateTopics(topics);
    ASSERT_TRUE(created.ok()) << created;
  }

  // Writes a replica's configuration and reads it back.
  std::optional<processor::Setup> LoadConfig(const std::string& instance) {
    return LoadConfig(instance, suffix_, 200);
  }
  std::optional<processor::Setup> LoadConfig(const std::string& instance, const std::string& group,
                                             int commit_events) {
    std::string root = Environment("SLUICE_SOURCE_DIR");
    if (!std::filesystem::exists(sets())) {
      std::filesystem::copy_file(root + "/deploy/config/boroughs.csv", sets());
    }
    std::ofstream config(folder_->path() + "/" + instance + ".yaml");
    config << "kafka: {brokers: [\"" << broker_->bootstrap() << "\"], group: " << group
           << ", instance: " << group << "-" << instance
           << ", session_timeout_ms: 6000, transaction_timeout_ms: " << transaction_timeout_ms_
           << "}\n"
           << "commit: {events: " << commit_events << "}\n"
           << "contracts: [\"" << root << "/proto\"]\n"
           << "pseudonymiser: {" << pseudonymiser_ << "}\n"
           << "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, key: code, "
              "not_personal: [name, command_unit]}]}}\n"
           << more_config_ << "pipeline:\n";
    if (!pipeline_name_.empty()) config << "  name: " << pipeline_name_ << "\n";
    config << ShippedPipeline(root, "." + suffix_);
    config << more_streams_;
    config.close();
    auto setup = LoadSetup(folder_->path() + "/" + instance + ".yaml");
    EXPECT_TRUE(setup.ok()) << setup.status();
    if (!setup.ok()) return std::nullopt;
    return *std::move(setup);
  }

  kafka::ConnectionOptions Connection() const {
    kafka::ConnectionOptions connection;
    connection.brokers = {broker_->bootstrap()};
    return connection;
  }

  std::unique_ptr<ChildProcess> Start(const std::string& instance = "first",
                                      const std::string& failpoint = "") {
    std::map<std::string, std::string> environment;
    if (!failpoint.empty()) environment["SLUICE_FAILPOINT"] = failpoint;
    auto process = ChildProcess::Start(
        {{Environment("SLUICE_BINARY_DIR") + "/services/processor/sluice-processor", "--config",
          folder_->path() + "/" + instance + ".yaml"},
         environment,
         log(),
         ""});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }
  std::string sets() const { return folder_->path() + "/boroughs.csv"; }
  std::string log() const { return folder_->path() + "/log"; }

  // Keys count from `first`: equal keys stand in one partition.
  void Produce(int events, int first = 0) {
    auto writer = kafka::TopicWriter::Create({Connection()});
    ASSERT_TRUE(writer.ok());
    for (int i = 0; i < events; ++i) {
      const std::string& event = generator_.Next();
      ASSERT_TRUE((*writer)
                      ->Write({setup_->pipeline->config().input().topic(),
                               std::nullopt,
                               base::StrCat(first + i),
                               event,
                               {},
                               {}})
                      .ok());
    }
    absl::Status flushed = (*writer)->Flush();
    ASSERT_TRUE(flushed.ok()) << flushed;
    produced_ += events;
  }

  audit::Findings Audit() {
    auto pseudonymiser = privacy::LocalPseudonymiser::Create(*setup_->keyring);
    auto findings = audit::Audit({Connection(), setup_->config.kafka().group()}, *setup_->pipeline,
                                 **pseudonymiser);
    EXPECT_TRUE(findings.ok()) << findings.status();
    return findings.ok() ? *findings : audit::Findings();
  }

  // Until every event has a result; until then, what has none yet isn't called lost.
  void ExpectConserved() {
    audit::Findings found;
    test_support::WaitUntil(90s, [&] {
      found = Audit();
      return !found.conserved() || found.in == static_cast<uint64_t>(produced_);
    });
    EXPECT_EQ(found.in, static_cast<uint64_t>(produced_));
    EXPECT_TRUE(found.conserved()) << Describe(found);
    EXPECT_EQ(found.clean + found.quarantined, static_cast<uint64_t>(produced_));
  }

  std::string Describe(const audit::Findings& found) {
    return base::StrCat("lost ", found.lost, " doubled ", found.doubled, " torn ", found.torn,
                        " unordered ", found.unordered, " strays ", found.strays, " misplaced ",
                        found.misplaced, " unknown ", found.unknown, "\n",
                        ::testing::PrintToString(found.examples), "\n",
                        test_support::Tail(test_support::ReadFile(log()), 30));
  }

  // A quick way to see that some results are out: without it, a fault could come before there is
  // any work.
  void WaitForSomeResults() {
    EXPECT_TRUE(test_support::WaitUntil(60s, [&] {
      auto ranges =
          (*kafka::Admin::Create(Connection()))->Ranges(setup_->pipeline->streams()[0].topic);
      int64_t records = 0;
      if (ranges.ok()) {
        for (const auto& range : *ranges) records += range.end - range.begin;
      }
      return records > 100;
    }));
  }

  // The text of /metrics.
  std::string Metrics(ChildProcess& process) {
    EXPECT_TRUE(process.WaitForOutput("http_port", 60s).ok());
    std::string text = test_support::ReadFile(log());
    size_t at = text.find("\"http_port\":");
    int port = at == std::string::npos ? 0 : std::atoi(text.c_str() + at + 12);
    auto answer = test_support::HttpGet(port, "/metrics");
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or("");
  }

  void StopCleanly(ChildProcess& process) {
    ASSERT_TRUE(process.Signal(SIGTERM).ok());
    auto ended = process.Wait(40s);
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(*ended, test_support::Exit{})
        << ended->ToString() << test_support::Tail(test_support::ReadFile(log()), 20);
  }

  static inline KafkaBroker* broker_ = nullptr;
  std::unique_ptr<test_support::TempDir> folder_;
  std::string suffix_;
  std::string more_config_;    // lines of the configuration itself
  std::string more_streams_;   // behind the shipped pipeline's
  std::string pipeline_name_;  // empty: the default
  int transaction_timeout_ms_ = 3'000;
  std::string pseudonymiser_ = "local: {keyring: keyring, key_encryption_key: kek}";
  std::optional<processor::Setup> setup_;
  demo::Generator generator_{7};
  int produced_ = 0;
};

}  // namespace sluice::processor
