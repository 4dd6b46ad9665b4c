// The processor as a process of its own on a real Kafka, through what goes wrong. After each: every
// raw event has exactly one result, in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>

#include "common/base/sha256.h"
#include "common/kafka/reader.h"
#include "common/rpc/channel.h"
#include "services/processor/processor_test.h"
#include "sluice/processor/v1/processor.grpc.pb.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ProcessorKafkaTest, EveryEventHasOneResult) {
  auto process = Start();
  Produce(5000);
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, AnAuditInTheMiddleOfTheFlowCallsNothingLostOrTorn) {
  auto process = Start();
  int with_work_on_its_way = 0;
  for (int round = 0; round < 20 && with_work_on_its_way < 3; ++round) {
    Produce(5000);
    audit::Findings found = Audit();
    ASSERT_TRUE(found.conserved()) << Describe(found);
    EXPECT_EQ(found.in + found.waiting, static_cast<uint64_t>(produced_));
    EXPECT_EQ(found.in, found.clean + found.quarantined);
    if (found.in > 0 && found.waiting > 0) ++with_work_on_its_way;
  }
  EXPECT_EQ(with_work_on_its_way, 3);
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, KillsAtFailpointsLoseAndDoubleNothing) {
  Produce(6000);
  for (const char* name : {"after_produce", "after_send_offsets", "during_commit"}) {
    for (int count : {1, 3}) {
      auto process = Start("first", base::StrCat(name, ":", count));
      auto ended = process->Wait(60s);
      ASSERT_TRUE(ended.ok()) << name << ": " << ended.status()
                              << test_support::Tail(test_support::ReadFile(log()), 20);
      EXPECT_EQ(ended->signal, SIGKILL) << name << ":" << count;
    }
  }
  auto process = Start();
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, TwentyKillsAtRandomLoseAndDoubleNothing) {
  constexpr const char* kNames[] = {"after_produce", "after_send_offsets", "during_commit"};
  std::mt19937 random(20260304);
  for (int i = 0; i < 20; ++i) {
    Produce(1000);
    auto process = Start("first", base::StrCat(kNames[random() % 3], ":", 1 + random() % 4));
    auto ended = process->Wait(60s);
    ASSERT_TRUE(ended.ok()) << ended.status()
                            << test_support::Tail(test_support::ReadFile(log()), 20);
    EXPECT_EQ(ended->signal, SIGKILL);
  }
  auto process = Start();
  ExpectConserved();
  StopCleanly(*process);
}

// The broker would end the transaction of the one that was killed after a minute. Whoever takes its
// name must not wait for that, neither as a static nor as a dynamic member.
TEST_F(ProcessorKafkaTest, AStartEndsTheTransactionThatItsKilledPredecessorLeftOpen) {
  constexpr std::chrono::seconds kSession(6), kStatic(2);
  transaction_timeout_ms_ = 60'000;
  ASSERT_TRUE(LoadConfig("first").has_value());
  for (const char* point : {"after_produce:2", "after_send_offsets:2", "during_commit:2"}) {
    Produce(2000);
    auto process = Start("first", point);
    auto ended = process->Wait(60s);
    ASSERT_TRUE(ended.ok()) << point << ": " << ended.status();
    ASSERT_EQ(ended->signal, SIGKILL) << point;
    const auto killed = std::chrono::steady_clock::now();
    std::filesystem::remove(log());  // it names the port
    auto successor = Start();
    // What the successor has committed, not what can be read: that waits for all that is open.
    EXPECT_TRUE(test_support::WaitUntil(
        30s,
        [&] {
          constexpr std::string_view kCommitted = "\nsluice_events_in_total ";
          const std::string metrics = Metrics(*successor);
          const size_t at = metrics.find(kCommitted);
          return at != metrics.npos && std::atof(metrics.c_str() + at + kCommitted.size()) > 0;
        }))
        << point << test_support::Tail(test_support::ReadFile(log()), 20);
    const auto took = std::chrono::steady_clock::now() - killed;
    EXPECT_LE(took, kSession + kStatic) << point;
    RecordProperty(point, std::to_string(std::chrono::duration<double>(took).count()));
    std::cout << point << ": " << std::chrono::duration<double>(took).count() << " s\n";
    ExpectConserved();
    StopCleanly(*successor);
  }
}

TEST_F(ProcessorKafkaTest, ABrokerThatIsKilledAndComesBackLosesNothing) {
  Produce(20'000);
  auto process = Start();
  WaitForSomeResults();
  broker_->Kill();
  absl::Status restarted = broker_->Restart();
  ASSERT_TRUE(restarted.ok()) << restarted;
  Produce(1000);
  ExpectConserved();
  EXPECT_TRUE(process->running());
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, ABrokerFrozenLongerThanTheTransactionTimeoutLosesNothing) {
  Produce(20'000);
  auto process = Start();
  WaitForSomeResults();
  ASSERT_TRUE(broker_->Freeze().ok());
  // The length of the freeze is the fault itself: the transaction timeout is 3 s.
  std::this_thread::sleep_for(5s);
  ASSERT_TRUE(broker_->Thaw().ok());
  Produce(1000);
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, ASecondReplicaJoinsAndLeaves) {
  ASSERT_TRUE(LoadConfig("second").has_value());
  Produce(10'000);
  auto first = Start("first");
  WaitForSomeResults();
  auto second = Start("second");
  Produce(10'000);
  EXPECT_TRUE(second->WaitForOutput("partitions_assigned", 60s).ok());
  Produce(2000);
  StopCleanly(*second);
  Produce(2000);
  ExpectConserved();
  StopCleanly(*first);
}

// Where each partition's events were joined to which version: by offset, the header `sluice-ref`.
using Joined = std::map<int32_t, std::map<int64_t, std::string>>;

TEST_F(ProcessorKafkaTest, ASwapUnderLoadHasOneBorderInEachPartition) {
  ASSERT_TRUE(LoadConfig("second").has_value());
  ASSERT_TRUE(LoadConfig("third").has_value());
  std::vector<std::unique_ptr<ChildProcess>> replicas;
  for (const char* instance : {"first", "second", "third"}) replicas.push_back(Start(instance));
  for (const auto& replica : replicas) ASSERT_TRUE(replica->WaitForOutput("http_port", 60s).ok());
  Produce(2000);
  ExpectConserved();  // all have joined and work by now, so that no partition moves later
  std::string csv = test_support::ReadFile(sets());
  size_t camden = csv.find("Camden");
  ASSERT_NE(camden, std::string::npos);
  std::ofstream(sets() + ".new") << csv.replace(camden, 6, "Kamden");
  std::filesystem::rename(sets() + ".new", sets());
  std::string after = LoadConfig("first")->pipeline->tables()[0]->id();
  // Events flow until every partition has some of the new version.
  auto joined = [&] {
    Joined found;
    absl::Status read =
        kafka::TopicReader({Connection()})
            .Read(
                std::vector<std::string>{setup_->pipeline->streams()[0].topic},
                [&](const kafka::ReadRecord& record) {
                  std::string source, version;
                  for (const auto& header : record.headers) {
                    if (header.name == "sluice-src") source = header.value;
                    if (header.name == "sluice-ref") version = header.value;
                  }
                  size_t slash = source.rfind('/');
                  size_t partition = source.rfind('/', slash - 1) + 1;
                  found[std::stoi(source.substr(partition))][std::stoll(source.substr(slash + 1))] =
                      version;
                  return absl::OkStatus();
                });
    EXPECT_TRUE(read.ok()) << read;
    return found;
  };
  Joined found;
  ASSERT_TRUE(test_support::WaitUntil(60s, [&] {
    Produce(400);
    found = joined();
    size_t swapped = 0;
    for (const auto& [partition, offsets] : found)
      swapped += offsets.rbegin()->second == "boroughs=" + after;
    return swapped == 4;
  }));
  ExpectConserved();
  for (const auto& [partition, offsets] : joined()) {
    std::vector<std::string> versions;
    for (const auto& [offset, version] : offsets) {
      if (versions.empty() || versions.back() != version) versions.push_back(version);
    }
    EXPECT_THAT(versions, ::testing::ElementsAre("boroughs=" + setup_->pipeline->tables()[0]->id(),
                                                 "boroughs=" + after))
        << "partition " << partition;
  }
  for (const auto& replica : replicas) StopCleanly(*replica);
}

TEST_F(ProcessorKafkaTest, AReplayWithTheSameVersionsGivesTheSameBytes) {
  constexpr int kEvents = 150'000;
  Produce(kEvents);
  std::vector<std::string> clean = OutputTopics(*setup_->pipeline);
  clean.pop_back();  // a sealed payload is different every time
  // By hash, how often a record is there. Two groups write to the same topics: the plan is the
  // same, and what partitions are interleaved by isn't part of the promise.
  std::map<std::string, int> records;
  std::vector<std::string> digests;
  for (const char* group : {"once", "again"}) {
    const std::string name = base::StrCat(suffix_, ".", group);
    pipeline_name_ = name;
    ASSERT_TRUE(LoadConfig(group, name, 20'000).has_value());
    // Each is a pipeline of its own, though the topics are the same ones. They hold the other's
    // results, so that it has to be said where this one begins.
    std::vector<kafka::GroupOffset> begin;
    for (int32_t partition = 0; partition < 4; ++partition)
      begin.push_back({setup_->pipeline->config().input().topic(), partition, 0, ""});
    ASSERT_TRUE((*kafka::Admin::Create(Connection()))->SetGroupOffsets(name, begin).ok());
    std::filesystem::remove(log());  // it names the port
    auto process = Start(group);
    EXPECT_TRUE(test_support::WaitUntil(120s, [&] {
      return Metrics(*process).find(base::StrCat("sluice_events_in_total ", kEvents, "\n")) !=
             std::string::npos;
    }));
    StopCleanly(*process);
    std::map<std::string, int> now;
    ASSERT_TRUE(kafka::TopicReader({Connection()})
                    .Read(clean,
                          [&](const kafka::ReadRecord& record) {
                            base::Sha256 hash;
                            hash.AddPart(record.topic);
                            hash.AddPart(record.key.value_or(""));
                            hash.AddPart(record.value.value_or(""));
                            for (const auto& header : record.headers) {
                              hash.AddPart(header.name);
                              hash.AddPart(header.value);
                            }
                            ++now[hash.Hex()];
                            return absl::OkStatus();
                          })
                    .ok());
    base::Sha256 digest;
    for (const auto& [record, count] : now) {
      for (int added = count - records[record]; added > 0; --added) digest.AddPart(record);
    }
    EXPECT_GT(now.size(), static_cast<size_t>(kEvents));
    digests.push_back(digest.Hex());
    records = std::move(now);
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST_F(ProcessorKafkaTest, PoisonAndOversizeRecordsDoNotStopTheFlow) {
  auto process = Start();
  Produce(100);
  auto writer = kafka::TopicWriter::Create({Connection()});
  std::string topic = setup_->pipeline->config().input().topic();
  std::vector<std::string> poison = {
      "",
      "null",
      "[]",
      "{",
      std::string(3, '\0'),
      std::string(100'000, '['),
      "\xFF\xFE",
      R"({"event_id":1})",
      base::StrCat("{\"event_id\":\"", std::string(900'000, 'x'), "\"}")};
  for (const std::string& value : poison)
    ASSERT_TRUE((*writer)->Write({topic, 0, "k", value, {}, {}}).ok());
  ASSERT_TRUE((*writer)->Write({topic, 0, "k", std::nullopt, {}, {}}).ok());
  ASSERT_TRUE((*writer)->Flush().ok());
  produced_ += static_cast<int>(poison.size()) + 1;
  Produce(100);
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, NoIdentifierLeavesTheProcessor) {
  auto process = Start();
  auto writer = kafka::TopicWriter::Create({Connection()});
  std::string topic = setup_->pipeline->config().input().topic();
  // One event that is published, and one with the same people that is quarantined.
  for (const char* type : {"Person search", "no such type"}) {
    std::string event = base::StrCat(
        R"({"event_id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","occurred_at":"2026-03-04T05:06:07Z","type":")",
        type,
        R"(","officer":{"warrant_no":"918273","shoulder_no":"4321ZZ","borough":"E09000007"},"subject":{"name":"Canary Markername",)"
        R"("date_of_birth":"1987-06-05","phone":"07700 900987","email":"canary@marker.example","pnc_id":"1981/0000034U",)"
        R"("address":"12 Canary Wharfmark"},"vehicle":{"mark":"CN12 ARY"},"location":{"latitude":51.5,"longitude":-0.1,)"
        R"("postcode":"SW1A 1AA"},"legislation":"x","grounds":"Canary Markername was there","video_reference":"CANARYVIDEO",)"
        R"("incident_reference":"CANARYCAD"})");
    ASSERT_TRUE((*writer)->Write({topic, std::nullopt, "Canary Markername", event, {}, {}}).ok());
  }
  ASSERT_TRUE((*writer)->Flush().ok());
  produced_ = 2;
  ExpectConserved();
  std::string seen = test_support::ReadFile(log()) + Metrics(*process);
  EXPECT_THAT(seen, HasSubstr("sluice_violations_total"));
  int quarantined = 0, clean = 0;
  for (const std::string& out : OutputTopics(*setup_->pipeline)) {
    bool quarantine = out == setup_->pipeline->config().quarantine().topic();
    ASSERT_TRUE(kafka::TopicReader({Connection()})
                    .Read(std::vector<std::string>{out},
                          [&](const kafka::ReadRecord& record) {
                            base::StrAppend(seen, record.key.value_or(""), "\n",
                                            record.value.value_or(""), "\n");
                            for (const auto& header : record.headers)
                              base::StrAppend(seen, header.name, "=", header.value, "\n");
                            ++(quarantine ? quarantined : clean);
                            return absl::OkStatus();
                          })
                    .ok());
  }
  EXPECT_EQ(quarantined, 1);
  EXPECT_EQ(clean, 2);
  for (const char* marker :
       {"anary", "918273", "4321ZZ", "1987-06-05", "900987", "0000034", "CN12", "CANARY", "1AA"}) {
    EXPECT_THAT(seen, Not(HasSubstr(marker))) << marker;
  }
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, OperatorsSeePauseAndResumeIt) {
  auto process = Start();
  // A log line `started` names the port.
  ASSERT_TRUE(process->WaitForOutput("grpc_port", 60s).ok());
  std::string text = test_support::ReadFile(log());
  size_t at = text.find("\"grpc_port\":");
  ASSERT_NE(at, std::string::npos) << text;
  auto channel = rpc::Connect(
      {.address = base::StrCat("127.0.0.1:", std::atoi(text.c_str() + at + 12))}, "test");
  ASSERT_TRUE(channel.ok()) << channel.status();
  auto stub = v1::Processor::NewStub(*channel);
  auto status = [&] {
    grpc::ClientContext context;
    v1::GetStatusResponse response;
    grpc::Status got = stub->GetStatus(&context, {}, &response);
    EXPECT_TRUE(got.ok()) << got.error_message();
    return response;
  };
  Produce(500);
  ExpectConserved();
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return status().events_in() == 500; }));
  EXPECT_EQ(status().events_clean() + status().events_quarantined(), 500u);
  EXPECT_EQ(status().plan(), setup_->pipeline->fingerprint());
  ASSERT_EQ(status().workers_size(), 1);
  EXPECT_EQ(status().workers(0).state(), "running");
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] {
    int64_t read = 0;
    v1::GetStatusResponse now = status();
    for (const auto& partition : now.workers(0).partitions()) read += partition.next_offset();
    return now.workers(0).partitions_size() == 4 && read == 500;
  }));

  {
    grpc::ClientContext context;
    v1::PauseResponse paused;
    ASSERT_TRUE(stub->Pause(&context, {}, &paused).ok());
  }
  EXPECT_TRUE(test_support::WaitUntil(
      20s, [&] { return status().paused() && status().workers(0).state() == "paused"; }));
  Produce(100);
  // The log grows while nothing is fetched.
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] {
    int64_t lag = 0;
    v1::GetStatusResponse now = status();
    for (const auto& partition : now.workers(0).partitions()) lag += partition.lag_records();
    return lag == 100;
  }));
  EXPECT_EQ(status().events_in(), 500u);
  {
    grpc::ClientContext context;
    v1::ResumeResponse resumed;
    ASSERT_TRUE(stub->Resume(&context, {}, &resumed).ok());
  }
  ExpectConserved();
  StopCleanly(*process);
}

TEST_F(ProcessorKafkaTest, MissingTopicsAreNamedAtStart) {
  std::string config = test_support::ReadFile(folder_->path() + "/first.yaml");
  size_t at = config.find("clean.stops.public");
  config.insert(at, "absent.");
  std::ofstream(folder_->path() + "/first.yaml") << config;
  auto process = Start();
  auto ended = process->Wait(30s);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->code, 1);
  EXPECT_THAT(test_support::ReadFile(log()), HasSubstr("absent.clean.stops.public"));
}

}  // namespace
}  // namespace sluice::processor
