// What a worker joins: decided by pins and fences, without a broker.
#include "services/processor/pins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "common/base/strings.h"
#include "services/processor/pins_test.h"

namespace sluice::processor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kEver = std::numeric_limits<int64_t>::max();

class PinsTest : public ::testing::Test {
 protected:
  PinsTest() { Begin(); }

  void Begin(config::v1::Swap swap = config::v1::when_there, const std::string& follow = "") {
    Pins::Options options{"g", "raw", {}};
    options.control.set_topic("control");
    options.control.set_swap(swap);
    options.control.set_follow(follow);
    pins_ = std::make_unique<Pins>(options, log_, probe_);
  }
  Pins::Newest Newest(uint64_t activation, const std::string& id) {
    return {activation, std::make_shared<const VersionIds>(VersionIds{{"boroughs", id}})};
  }
  absl::Status Prepare(int64_t offset = 0, bool first = true) {
    base::InputRecord record;
    record.topic = "raw";
    record.offset = offset;
    return pins_->Prepare({&record, 1}, first);
  }
  // `1 until 10`, or why not.
  std::string Choose(int64_t offset, const Pins::Newest& newest, int32_t partition = 0) {
    auto choice = pins_->Choose(partition, offset, newest);
    if (!choice.ok()) {
      EXPECT_EQ(choice.status().code(), absl::StatusCode::kUnavailable);
      return std::string(choice.status().message());
    }
    std::string id = choice->ids->at("boroughs");
    return choice->until == kEver ? id : base::StrCat(id, " until ", choice->until);
  }
  // What was noted, as the transaction gets it: `partition/offset=id`.
  std::vector<std::string> Write() {
    KeptRecords out;
    EXPECT_EQ(pins_->Write(7, out), absl::OkStatus());
    std::vector<std::string> pins;
    for (const auto& [topic, value] : out.records) {
      EXPECT_EQ(topic, 7u);
      reference::v1::ControlRecord record;
      EXPECT_TRUE(record.ParseFromString(value));
      EXPECT_EQ(record.group(), "g");
      pins.push_back(base::StrCat(record.pin().partition(), "/", record.pin().offset(), "=",
                                  record.pin().ids().at("boroughs")));
      pending_.push_back(record);
    }
    return pins;
  }
  void Commit() {
    for (const auto& record : std::exchange(pending_, {})) log_.Append(record);
    pins_->Committed();
  }

  FakeControlLog log_;
  telemetry::Registry registry_;
  Probe probe_{registry_, "contract", "g"};
  std::unique_ptr<Pins> pins_;
  std::vector<reference::v1::ControlRecord> pending_;
};

TEST_F(PinsTest, TheNewestIsPinnedWhereItIsFirstJoinedAndOnlyThere) {
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(5, Newest(1, "1")), "1");
  EXPECT_EQ(Choose(6, Newest(1, "1")), "1") << "in the same chunk";
  EXPECT_EQ(Choose(0, Newest(1, "1"), 1), "1");
  EXPECT_THAT(Write(), ElementsAre("0/5=1", "1/0=1"));
  ASSERT_EQ(Prepare(0, false), absl::OkStatus());
  EXPECT_EQ(Choose(7, Newest(1, "1")), "1");
  EXPECT_THAT(Write(), IsEmpty()) << "written in this transaction, visible to nobody yet";
  Commit();
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(8, Newest(2, "2")), "2");
  EXPECT_THAT(Write(), ElementsAre("0/8=2"));
  EXPECT_EQ(log_.reads, 1) << "the worker knows what it wrote itself";
}

TEST_F(PinsTest, WhatWasNotedForAChunkThatFailedIsNotedAgain) {
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(5, Newest(1, "1")), "1");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(5, Newest(2, "2")), "2");
  EXPECT_THAT(Write(), ElementsAre("0/5=2"));
}

TEST_F(PinsTest, APinOfAnAbortedTransactionIsForgottenAndWhatOthersPinnedIsRead) {
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(5, Newest(1, "1")), "1");
  EXPECT_THAT(Write(), ElementsAre("0/5=1"));
  pending_.clear();
  pins_->Forget();
  log_.Pin(0, 3, 2, "2");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(log_.reads, 2);
  EXPECT_THAT(Choose(5, Newest(1, "1")), HasSubstr("waits for activation 2"));
  EXPECT_EQ(Choose(5, Newest(3, "3")), "3");
  EXPECT_THAT(Write(), ElementsAre("0/5=3"));
}

TEST_F(PinsTest, OffsetsThatWerePublishedAreJoinedToWhatTheyWereJoinedTo) {
  log_.Pin(0, 0, 1, "1");
  log_.Pin(0, 10, 2, "2");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(4, Newest(3, "3")), "1 until 10");
  EXPECT_EQ(Choose(10, Newest(3, "3")), "3");
  EXPECT_THAT(Write(), ElementsAre("0/10=3"));
}

TEST_F(PinsTest, AReplicaNeverGoesBehindWhatAnotherHasJoined) {
  log_.Pin(0, 0, 5, "5");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_THAT(Choose(7, Newest(4, "4")), HasSubstr("raw/0 is joined to; this replica is at 4"));
  EXPECT_EQ(Choose(7, Newest(4, "5")), "5") << "the same versions by an older number";
  EXPECT_THAT(Choose(7, Newest(5, "6")), HasSubstr("different services"));
  EXPECT_THAT(Write(), IsEmpty());
}

TEST_F(PinsTest, AFenceIsTakenAtItsOffsetInEachPartition) {
  Begin(config::v1::fenced);
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_THAT(Choose(0, Newest(9, "9")), HasSubstr("waits for the first fence"));
  log_.Fence({{0, 0}, {1, 0}}, 1, "1");
  log_.Fence({{0, 10}, {1, 20}}, 2, "2");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(0, Newest(9, "9")), "1 until 10");
  EXPECT_EQ(Choose(9, Newest(9, "9")), "1 until 10");
  EXPECT_EQ(Choose(10, Newest(9, "9")), "2");
  EXPECT_EQ(Choose(15, Newest(9, "9"), 1), "1 until 20");
  EXPECT_THAT(Write(), ElementsAre("0/0=1", "0/10=2", "1/15=1"));
  Commit();
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(11, Newest(9, "9")), "2");
  EXPECT_EQ(Choose(25, Newest(9, "9"), 1), "2");
  EXPECT_THAT(Write(), ElementsAre("1/25=2"));
}

TEST_F(PinsTest, AFenceThatCameLateIsTakenAtTheNextEventAndThePinSaysWhere) {
  Begin(config::v1::fenced);
  log_.Fence({{0, 0}}, 1, "1");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(50, Newest(1, "1")), "1");
  EXPECT_THAT(Write(), ElementsAre("0/50=1"));
  Commit();
  log_.Fence({{0, 40}}, 2, "2");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(60, Newest(1, "1")), "2");
  EXPECT_THAT(Write(), ElementsAre("0/60=2"));
  Commit();
  // Another worker that does the same offsets again goes by the pins.
  Begin(config::v1::fenced);
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(50, Newest(1, "1")), "1 until 60");
}

TEST_F(PinsTest, OfFencesThatWerePassedTheNewestCountsAlsoWhereItGoesBack) {
  Begin(config::v1::fenced);
  log_.Fence({{0, 10}}, 2, "2");
  log_.Fence({{0, 5}}, 1, "1");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(30, Newest(9, "9")), "1");
  EXPECT_THAT(Write(), ElementsAre("0/30=1"));
  Commit();
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(31, Newest(9, "9")), "1");
}

TEST_F(PinsTest, FencesBeforeAFreeSwapDontCountWhenSwapsAreFencedAgain) {
  log_.Fence({{0, 0}}, 1, "1");
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(3, Newest(2, "2")), "2");
  EXPECT_THAT(Write(), ElementsAre("0/3=2"));
  Commit();
  Begin(config::v1::fenced);
  ASSERT_EQ(Prepare(), absl::OkStatus());
  EXPECT_EQ(Choose(4, Newest(2, "2")), "2");
}

TEST_F(PinsTest, AFollowerJoinsWhatIsPinnedAndNoEventThatIsNotCommitted) {
  Begin(config::v1::when_there, "g");
  log_.Pin(0, 0, 1, "1");
  log_.committed = {5};
  ASSERT_EQ(Prepare(4), absl::OkStatus());
  EXPECT_EQ(Choose(4, Newest(9, "9")), "1");
  EXPECT_THAT(std::string(Prepare(5).message()),
              HasSubstr("waits for the group g to commit raw/0/5"));
  log_.Pin(0, 5, 2, "2");
  log_.committed = {6};
  ASSERT_EQ(Prepare(5), absl::OkStatus());
  EXPECT_EQ(Choose(4, Newest(9, "9")), "1 until 5");
  EXPECT_EQ(Choose(5, Newest(9, "9")), "2");
  EXPECT_THAT(Write(), IsEmpty());
  log_.committed = {6, 6};
  EXPECT_THAT(Choose(5, Newest(9, "9"), 1), HasSubstr("has no pin for raw/1/5"));
}

TEST_F(PinsTest, WhileTheTopicCantBeReadOrContradictsItselfNothingIsJoined) {
  log_.fault = absl::UnavailableError("no broker");
  EXPECT_EQ(Prepare().code(), absl::StatusCode::kUnavailable);
  log_.fault = absl::DataLossError("record 3 contradicts");
  absl::Status wrong = Prepare();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(wrong.message()), HasSubstr("record 3 contradicts"));
  log_.fault = absl::OkStatus();
  EXPECT_EQ(Prepare(), absl::OkStatus());
  EXPECT_THAT(registry_.Serialize(),
              HasSubstr("sluice_reference_pin_waits_total{reason=\"contradiction\"} 1"));
  EXPECT_THAT(registry_.Serialize(),
              HasSubstr("sluice_reference_pin_waits_total{reason=\"topic\"} 1"));
}

}  // namespace
}  // namespace sluice::processor
