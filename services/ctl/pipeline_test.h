// A pipeline on a real Kafka for tests of the commands that work on one: a small contract, its
// topics, a processor as a process of its own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/reader.h"
#include "common/kafka/writer.h"
#include "common/privacy/keyring.h"
#include "common/privacy/seal.h"
#include "services/ctl/site.h"
#include "services/ctl/testing.h"
#include "tests/support/child_process.h"
#include "tests/support/shared_broker.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::ctl {

using test_support::ChildProcess;

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *test_support::TempDir::Create("ctl-test");
    name_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    base::SystemRandom random;
    ASSERT_TRUE(privacy::Keyring::CreateKeyFile(path("kek"), random).ok());
    auto keyring = privacy::Keyring::Create({{"desk", "desk"}, {"open", "open"}}, random);
    ASSERT_TRUE(keyring->Save(path("keyring"), path("kek"), random).ok());
    auto keys = privacy::NewSealingKeys(random);
    std::ofstream(path("quarantine.pub")) << keys->public_pem;
    std::ofstream(path("quarantine.key")) << keys->private_pem;
    std::ofstream(path("other.key")) << privacy::NewSealingKeys(random)->private_pem;
    WriteContract(3);
    std::ofstream(config())
        << "kafka: {brokers: [\"" << test_support::SharedBroker().bootstrap()
        << "\"], group: " << name_ << ", instance: " << name_
        << ", session_timeout_ms: 6000, transaction_timeout_ms: 3000}\n"
        << "contracts: [contracts]\n"
        << "trail: trail.jsonl\n"
        << "pseudonymiser: {local: {keyring: keyring, key_encryption_key: kek}}\n"
        << "pipeline:\n"
        << "  contract: test.Report\n"
        << "  input: {topic: raw." << name_ << "}\n"
        << "  quarantine: {topic: quarantine." << name_ << ", public_key: quarantine.pub}\n"
        << "  streams:\n"
        << "    - {name: desk, topic: desk." << name_
        << ", domain: desk, internal: true, treat: {PERSON_NAME: pseudonymise}}\n"
        << "    - {name: open, topic: open." << name_
        << ", domain: open, treat: {PERSON_NAME: drop, OCCURRED_AT: drop}}\n";
    auto site = LoadSite(config());
    ASSERT_TRUE(site.ok()) << site.status();
    site_ = *std::move(site);
    admin_ = *kafka::Admin::Create(site_.connection);
  }

  // The contract with this bound of `code`.
  void WriteContract(int code_len_max) {
    std::filesystem::create_directories(path("contracts"));
    std::ofstream(path("contracts/report.proto")) << R"(syntax = "proto3";
package test;
import "buf/validate/validate.proto";
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Report {
  option (sluice.contract.v1.event) = {id: "id" time: "at" owner: "test" purpose: "test"
                                       lawful_basis: "test" retention: "P1Y"};
  option (sluice.contract.v1.not_personal) = {fields: ["code"]};
  string id = 1 [(buf.validate.field).required = true];
  google.protobuf.Timestamp at = 2 [(buf.validate.field).required = true];
  string code = 3 [(buf.validate.field).string.max_len = )"
                                                  << code_len_max << R"(];
  string name = 4 [(sluice.contract.v1.field).identifier = PERSON_NAME];
}
)";
  }

  std::string path(const std::string& file) const { return folder_->path() + "/" + file; }
  std::string config() const { return path("processor.yaml"); }
  std::string log() const { return path("log"); }

  Ended Ctl(std::vector<std::string> arguments, Terminal terminal = {}) {
    arguments.insert(arguments.end(), {"--config", config()});
    return RunCtl(std::move(arguments), "", terminal);
  }
  void MakeTopics(int partitions = 2) {
    Ended ended = Ctl({"topics", "apply", "--replication-factor", "1", "--min-insync-replicas", "1",
                       "--partitions", std::to_string(partitions)});
    ASSERT_EQ(ended.code, 0) << ended.out << ended.err;
  }

  static std::string Binary(const std::string& name) {
    const char* folder = std::getenv("SLUICE_BINARY_DIR");
    return std::string(folder == nullptr ? "" : folder) + "/services/" + name;
  }
  std::unique_ptr<ChildProcess> StartProcessor() {
    auto process = ChildProcess::Start(
        {{Binary("processor/sluice-processor"), "--config", config()}, {}, log(), ""});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }
  // sluicectl as a process.
  std::unique_ptr<ChildProcess> StartCtl(std::vector<std::string> arguments,
                                         std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), Binary("ctl/sluicectl"));
    arguments.insert(arguments.end(), {"--config", config()});
    auto process = ChildProcess::Start({std::move(arguments), std::move(environment), log(), ""});
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }
  // One that dies at a failpoint.
  test_support::Exit RunCtlUntil(const std::string& failpoint, std::vector<std::string> arguments) {
    auto process = StartCtl(std::move(arguments), {{"SLUICE_FAILPOINT", failpoint}});
    auto ended = process->Wait(std::chrono::seconds(60));
    EXPECT_TRUE(ended.ok()) << ended.status();
    return ended.ok() ? *ended : test_support::Exit{};
  }
  void Stop(ChildProcess& process) {
    ASSERT_TRUE(process.Signal(SIGTERM).ok());
    auto ended = process.Wait(std::chrono::seconds(40));
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(*ended, test_support::Exit{}) << LogTail();
  }
  std::string LogTail() const {
    return std::string(test_support::Tail(test_support::ReadFile(log()), 20));
  }

  // Reports whose ids count on from the last call's.
  void Produce(int count, const std::string& code) {
    auto writer = kafka::TopicWriter::Create({site_.connection});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < count; ++i, ++produced_) {
      std::string key = base::StrCat("key-", produced_);
      std::string event =
          base::StrCat(R"({"id":"event-)", produced_, R"(","at":"2026-03-04T05:06:07Z","code":")",
                       code, R"(","name":"Canary Markername"})");
      ASSERT_TRUE((*writer)->Write({site_.raw(), std::nullopt, key, event, {}, {}}).ok());
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }

  struct Seen {
    std::string key, value;
    std::map<std::string, std::string> headers;
  };
  std::vector<Seen> ReadAll(const std::string& topic) {
    std::vector<Seen> all;
    // The log's ends, not the last stable offsets: a transaction that was committed a moment ago
    // may still wait for its markers.
    auto ends = admin_->LogEnds(topic);
    EXPECT_TRUE(ends.ok()) << ends.status();
    if (!ends.ok()) return all;
    std::vector<kafka::ReadRange> ranges;
    for (size_t partition = 0; partition < ends->size(); ++partition)
      ranges.push_back({topic, static_cast<int32_t>(partition), 0, (*ends)[partition]});
    absl::Status read =
        kafka::TopicReader({site_.connection}).Read(ranges, [&](const kafka::ReadRecord& record) {
          Seen& seen = all.emplace_back();
          seen.key = std::string(record.key.value_or("(null)"));
          seen.value = std::string(record.value.value_or("(null)"));
          for (const auto& header : record.headers)
            seen.headers[std::string(header.name)] = std::string(header.value);
          return absl::OkStatus();
        });
    EXPECT_TRUE(read.ok()) << read;
    return all;
  }
  bool WaitForRecords(const std::string& topic, size_t count) {
    return test_support::WaitUntil(std::chrono::seconds(15), [&] {
      auto ranges = admin_->Ranges(topic);
      int64_t offsets = 0;
      if (ranges.ok()) {
        for (const auto& range : *ranges) offsets += range.end - range.begin;
      }
      // Offsets are records and markers.
      return offsets > static_cast<int64_t>(count) && ReadAll(topic).size() >= count;
    });
  }

  std::unique_ptr<test_support::TempDir> folder_;
  std::string name_;
  Site site_;
  std::unique_ptr<kafka::Admin> admin_;
  int produced_ = 0;
};

}  // namespace sluice::ctl
