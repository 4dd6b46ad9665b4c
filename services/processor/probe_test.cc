// What is told of partitions: how far behind, for how long, and that it ends with the assignment.
#include "services/processor/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/contract/testing.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(LagSeconds, IsZeroWhereNothingWaits) {
  EXPECT_EQ(LagSeconds({.lag_records = 0, .last_timestamp_ms = 1'000}, 9'000), 0);
  EXPECT_EQ(LagSeconds({.lag_records = -1, .last_timestamp_ms = 1'000}, 9'000), std::nullopt);
}

TEST(LagSeconds, CountsFromTheLastRecordReadWhereOthersWait) {
  EXPECT_EQ(LagSeconds({.lag_records = 5, .last_timestamp_ms = 1'000}, 9'000), 8);
}

TEST(LagSeconds, IsNotTheAgeOfAQuietHour) {
  // The last record came an hour ago; what waits came after the log's end was last reached.
  EXPECT_EQ(
      LagSeconds({.lag_records = 1, .last_timestamp_ms = 0, .caught_up_ms = 3'598'000}, 3'600'000),
      2);
}

TEST(LagSeconds, OfAPartitionThatWasNeverReadCountsFromTheAssignment) {
  EXPECT_EQ(LagSeconds({.lag_records = 5, .seen_ms = 4'000}, 9'000), 5);
}

TEST(LagSeconds, IsNeverNegative) {
  EXPECT_EQ(LagSeconds({.lag_records = 5, .last_timestamp_ms = 10'000}, 9'000), 0);
}

class ProbeTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const engine::Pipeline> Pipeline(const std::string& topic = "clean") {
    engine::Pipeline::Options options;
    options.contract = contract::PlanFromProto(
        R"(message E {
             option (sluice.contract.v1.event) = {id: "id" time: "at" retention: "P1Y"};
             string id = 1;
             google.protobuf.Timestamp at = 2;
           })",
        "E");
    options.config.mutable_input()->set_topic("raw");
    options.config.mutable_quarantine()->set_topic("bad");
    auto* stream = options.config.add_streams();
    stream->set_name("s");
    stream->set_topic(topic);
    stream->set_domain("d");
    stream->set_internal(true);
    auto pipeline = engine::Pipeline::Compile(std::move(options));
    EXPECT_TRUE(pipeline.ok()) << pipeline.status();
    return *std::move(pipeline);
  }
  // What a scrape sees of one worker with these partitions.
  std::string Scrape(std::vector<kafka::PartitionSnapshot> partitions) {
    probe_.ForgetLag();
    probe_.Lag({.partitions = std::move(partitions)}, worker_.committed(), 9'000);
    return registry_.Serialize();
  }
  void Commit(int32_t partition, int64_t offset) {
    stream::Position next{"raw", partition, offset};
    stream::TransactionFacts facts;
    facts.next = {&next, 1};
    worker_.Committed(facts);
  }

  telemetry::Registry registry_;
  std::shared_ptr<const engine::Pipeline> pipeline_ = Pipeline();
  Probe probe_{registry_, pipeline_->contract().name(), "stops"};
  WorkerProbe worker_{probe_, 0, [] {}};
};

TEST_F(ProbeTest, ThePositionOfAPartitionIsTheLastCommittedOne) {
  EXPECT_THAT(Scrape({{.topic = "raw"}}), Not(HasSubstr("sluice_committed_offset{")));
  Commit(3, 60);
  Commit(2, 5);
  Commit(3, 65);
  std::string text = Scrape({{.topic = "raw"}});
  EXPECT_THAT(text, HasSubstr(R"(sluice_committed_offset{partition="3",topic="raw"} 65)"));
  EXPECT_THAT(text, HasSubstr(R"(sluice_committed_offset{partition="2",topic="raw"} 5)"));
}

TEST_F(ProbeTest, APartitionThatMovedAwayIsNotToldOf) {
  EXPECT_THAT(Scrape({{.topic = "raw", .partition = 3, .next_offset = 1, .lag_records = 30},
                      {.topic = "raw", .partition = 4, .next_offset = 1, .lag_records = 5}}),
              HasSubstr("partition=\"3\""));
  std::string text = Scrape({{.topic = "raw", .partition = 4, .next_offset = 1, .lag_records = 5}});
  EXPECT_THAT(text, Not(HasSubstr("partition=\"3\"")));
  EXPECT_THAT(text, HasSubstr("partition=\"4\""));
}

TEST_F(ProbeTest, APlanThatIsNoLongerInUseIsNotToldOf) {
  auto next = Pipeline("clean.two");
  probe_.Running(nullptr, *pipeline_);
  EXPECT_THAT(registry_.Serialize(), HasSubstr(pipeline_->fingerprint() + "\"} 1"));
  probe_.Running(pipeline_.get(), *next);
  EXPECT_THAT(registry_.Serialize(), Not(HasSubstr(pipeline_->fingerprint())));
  EXPECT_THAT(registry_.Serialize(), HasSubstr(next->fingerprint() + "\"} 1"));
  // The same again, such as with another key service, is still in use.
  probe_.Running(next.get(), *next);
  EXPECT_THAT(registry_.Serialize(), HasSubstr(next->fingerprint() + "\"} 1"));
}

TEST_F(ProbeTest, WhatIsNotKnownIsAbsentAndNot0) {
  std::string text = Scrape({{.topic = "raw", .partition = 3}});
  for (const char* name : {"sluice_lag_records{", "sluice_lag_seconds{",
                           "sluice_lag_stable_records{", "sluice_input_blocked_seconds{",
                           "kafka_consumergroup_lag{", "sluice_reference_unconfirmed_seconds "})
    EXPECT_THAT(text, Not(HasSubstr(name)));
  probe_.Unconfirmed(std::chrono::seconds(3));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("sluice_reference_unconfirmed_seconds 3"));
  probe_.Unconfirmed(std::nullopt);
  EXPECT_THAT(registry_.Serialize(), Not(HasSubstr("sluice_reference_unconfirmed_seconds ")));
}

TEST_F(ProbeTest, AnOpenTransactionOfAnothersIsShown) {
  std::string text = Scrape({{.topic = "raw",
                              .partition = 3,
                              .next_offset = 10,
                              .lag_records = 7,
                              .lag_stable_records = 0,
                              .blocked_since_ms = 4'000,
                              .blocked_offset = 10}});
  EXPECT_THAT(text, HasSubstr(R"(sluice_lag_records{partition="3",topic="raw"} 7)"));
  EXPECT_THAT(text, HasSubstr(R"(sluice_lag_stable_records{partition="3",topic="raw"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(sluice_input_blocked_seconds{partition="3",topic="raw"} 5)"));
}

TEST_F(ProbeTest, AWorkerIsInOneState) {
  probe_.State(0, stream::DriverState::kRunning);
  probe_.State(0, stream::DriverState::kDegraded);
  std::string text = registry_.Serialize();
  EXPECT_THAT(text, HasSubstr(R"(sluice_worker_state{state="running",worker="0"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(sluice_worker_state{state="degraded",worker="0"} 1)"));
}

TEST_F(ProbeTest, WhatWasCommittedIsForgottenWithTheAssignment) {
  Commit(3, 60);
  worker_.Revoked(/*lost=*/false);
  EXPECT_THAT(Scrape({{.topic = "raw"}}), Not(HasSubstr("sluice_committed_offset{")));
}

}  // namespace
}  // namespace sluice::processor
