#include "common/stream/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <random>

namespace sluice::stream {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kTopic = "in";

// One partition's log, the group's committed position and what read_committed readers see.
struct FakeBroker {
  std::vector<std::string> log;
  int64_t committed = -1;
  std::vector<std::string> visible;
  std::vector<std::string> calls;  // in their order, from both ports
};

// Hands out the log; every event that isn't a record is queued by the test.
class FakeSource final : public Source {
 public:
  FakeSource(FakeBroker& broker, base::ManualClock& clock) : broker_(broker), clock_(clock) {}

  absl::Status Start() override { return start; }
  SourceEvent Poll(size_t records_max, milliseconds wait) override {
    ++polls;
    last_records_max = records_max;
    if (on_poll) on_poll();
    if (!events.empty()) {
      SourceEvent event = std::move(events.front());
      events.pop_front();
      return event;
    }
    if (records_max > 0 && assigned && position_ < static_cast<int64_t>(broker_.log.size())) {
      records_.clear();
      while (records_.size() < records_max &&
             position_ < static_cast<int64_t>(broker_.log.size())) {
        InputRecord record;
        record.topic = kTopic;
        record.offset = position_;
        record.value = broker_.log[position_++];
        records_.push_back(record);
      }
      next_ = {{kTopic, 0, position_, 0}};
      return Records{records_, next_};
    }
    clock_.Advance(std::max(wait, milliseconds(1)));
    return Nothing{};
  }
  void Acknowledge() override {
    broker_.calls.push_back("acknowledge");
    assigned = false;
  }
  void Rewind() override {
    broker_.calls.push_back("rewind");
    position_ = std::max<int64_t>(broker_.committed, 0);
  }
  absl::StatusOr<std::vector<Position>> Committed(std::span<const Position>) override {
    return std::vector<Position>{{kTopic, 0, broker_.committed}};
  }
  void Leave() override { broker_.calls.push_back("leave"); }
  bool Owns(std::string_view, int32_t) const override { return owns; }

  std::string Trouble() const override { return trouble; }

  bool owns = true;

  absl::Status start;
  std::string trouble;
  bool assigned = true;
  std::deque<SourceEvent> events;
  std::function<void()> on_poll;
  int polls = 0;
  size_t last_records_max = 0;

 private:
  FakeBroker& broker_;
  base::ManualClock& clock_;
  int64_t position_ = 0;
  std::vector<InputRecord> records_;
  std::vector<Position> next_;
};

// Transactions over the fake broker; `next[call]` holds results to give before the call works
// again.
class FakeTransaction final : public Transaction {
 public:
  explicit FakeTransaction(FakeBroker& broker) : broker_(broker) {}

  Result Begin() override {
    return Do("begin", [&] {
      EXPECT_FALSE(taint && guard) << "begun on a tainted producer";
      EXPECT_FALSE(begun_) << "begun twice";
      begun_ = true;
    });
  }
  absl::Status Produce(const OutputRecord& record) override {
    EXPECT_TRUE(begun_) << "produced outside a transaction";
    if (!produce_error.ok()) return std::exchange(produce_error, absl::OkStatus());
    if (refuses_at_produce && std::any_of(pending_.begin(), pending_.end(), refuses))
      return absl::InternalError("erroneous state");
    pending_.emplace_back(*record.value);
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return 1'000'000; }
  Result SendOffsets(std::span<const Position> next) override {
    return Do("offsets", [&] { offset_ = next[0].offset; });
  }
  Result Commit() override {
    taint |= taint_at_commit;
    if (refuses && std::any_of(pending_.begin(), pending_.end(), refuses))
      return {Verdict::kRefused, "topic out: timestamp out of bounds", refusing_topic};
    return Do("commit", [&] {
      begun_ = false;
      broker_.visible.insert(broker_.visible.end(), pending_.begin(), pending_.end());
      pending_.clear();
      broker_.committed = offset_;
    });
  }
  Result Cause() override {
    if (!refuses || std::none_of(pending_.begin(), pending_.end(), refuses)) return {};
    return {Verdict::kRefused, "topic out: timestamp out of bounds", refusing_topic};
  }
  Result Abort() override {
    return Do("abort", [&] {
      pending_.clear();
      begun_ = false;
    });
  }
  Result Recreate() override {
    return Do("recreate", [&] {
      pending_.clear();
      taint = begun_ = false;
    });
  }
  bool tainted() const override { return taint; }

  std::map<std::string, std::deque<Result>> next;
  absl::Status produce_error;
  bool taint = false;
  bool taint_at_commit = false;
  bool guard = true;
  // Which records no broker takes, at the commit.
  std::function<bool(const std::string&)> refuses;
  size_t refusing_topic = 0;
  bool refuses_at_produce = false;  // the delivery fails at once, and further records with it

 private:
  template <typename Effect>
  Result Do(const std::string& call, Effect effect) {
    broker_.calls.push_back(call);
    auto& results = next[call];
    if (results.empty()) {
      effect();
      return {};
    }
    Result result = results.front();
    results.pop_front();
    if (result.text == "done") effect();  // the broker did it, although the call failed
    return result;
  }

  FakeBroker& broker_;
  bool begun_ = false;
  std::vector<std::string> pending_;
  int64_t offset_ = -1;
};

class CopyTransform final : public Transform {
 public:
  absl::Status Process(std::span<const InputRecord> records, Output& output) override {
    chunks.push_back(records.size());
    if (!errors.empty()) {
      absl::Status error = errors.front();
      errors.pop_front();
      if (half && !error.ok()) (void)output.Produce({.value = records[0].value});
      if (!error.ok()) return error;
    }
    for (const InputRecord& record : records) {
      bool refused = std::count(refused_records.begin(), refused_records.end(), record.offset) > 0;
      std::string quarantined = "q" + std::string(*record.value);
      absl::Status status = output.Produce({.value = refused ? quarantined : *record.value});
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  bool Refused(const Position& record, size_t output) override {
    if (output != 0) return false;
    refused_records.push_back(record.offset);
    return true;
  }
  absl::Status Committing(std::span<const Position> next, Output& output) override {
    if (mark.empty()) return absl::OkStatus();
    return output.Produce({.value = mark + std::to_string(next[0].offset)});
  }
  void Assigned() override { chunks_when_assigned.push_back(chunks.size()); }
  void Committed() override { ++committed; }
  void Discarded() override { ++discarded; }

  std::deque<absl::Status> errors;
  bool half = false;
  std::string mark;  // what is written at each commit
  std::vector<int64_t> refused_records;
  std::vector<size_t> chunks;
  std::vector<size_t> chunks_when_assigned;
  int committed = 0;
  int discarded = 0;
};

class RecordingProbe final : public DriverProbe {
 public:
  void Committed(const TransactionFacts& facts) override { commits.push_back(facts); }
  void Aborted(const TransactionFacts&, Verdict, std::string_view text) override {
    aborts.emplace_back(text);
  }
  void Recreated(RecreateCause cause, std::chrono::nanoseconds) override {
    recreates.emplace_back(RecreateCauseName(cause));
  }
  void StateChanged(DriverState state, std::string_view) override {
    states.emplace_back(DriverStateName(state));
  }

  std::vector<TransactionFacts> commits;
  std::vector<std::string> aborts;
  std::vector<std::string> recreates;
  std::vector<std::string> states;
};

class DriverTest : public testing::Test {
 protected:
  DriverTest() : source_(broker_, clock_), transaction_(broker_) {
    options_.chunk_events = 4;
    options_.sleep = [this](milliseconds time) { clock_.Advance(time); };
  }

  void Fill(int count) {
    for (int i = 0; i < count; ++i) broker_.log.push_back("r" + std::to_string(broker_.log.size()));
  }

  // Runs until `done` holds, asked at every poll; fails the test after a bound.
  absl::Status RunUntil(const std::function<bool()>& done) {
    if (!driver_) {
      auto driver = Driver::Create(options_, source_, transaction_, transform_, probe_, clock_);
      if (!driver.ok()) return driver.status();
      driver_ = *std::move(driver);
    }
    int bound = source_.polls + 20'000;
    source_.on_poll = [this, done, bound] {
      if (during_) during_();
      if (source_.polls > bound) ADD_FAILURE() << "never happened";
      if (source_.polls > bound || done()) driver_->Stop();
    };
    return driver_->Run();
  }
  absl::Status RunUntilVisible(size_t count) {
    return RunUntil([this, count] { return broker_.visible.size() >= count; });
  }
  void ExpectExactlyOnce() {
    EXPECT_EQ(broker_.visible, broker_.log);
    EXPECT_EQ(broker_.committed, static_cast<int64_t>(broker_.log.size()));
  }
  int Calls(std::string_view call) {
    return static_cast<int>(std::count(broker_.calls.begin(), broker_.calls.end(), call));
  }

  // By another thread, as an operator's call is.
  void StartMove(int64_t offset) {
    moved_ = std::async(std::launch::async, [this, offset] {
      return driver_->MoveTo({{{kTopic, 0, offset}},
                              [](Output& output) { return output.Produce({.value = "moved"}); }},
                             std::chrono::seconds(20));
    });
  }
  // Asked at every poll: whether the move that was started has ended.
  bool MoveEnded() {
    return moved_.valid() && moved_.wait_for(milliseconds(1)) == std::future_status::ready;
  }

  base::ManualClock clock_;
  FakeBroker broker_;
  FakeSource source_;
  FakeTransaction transaction_;
  CopyTransform transform_;
  RecordingProbe probe_;
  DriverOptions options_;
  std::unique_ptr<Driver> driver_;
  std::function<void()> during_;
  std::future<absl::Status> moved_;
};

TEST_F(DriverTest, RefusesOptionsOutOfRangeByName) {
  options_.chunk_events = 0;
  EXPECT_THAT(std::string(RunUntilVisible(0).message()), HasSubstr("chunk_events"));
}

TEST_F(DriverTest, RefusesAnIntervalThatOutlivesTheTransaction) {
  options_.commit_interval_ms = 7'000;
  EXPECT_THAT(std::string(RunUntilVisible(0).message()), HasSubstr("commit_interval_ms"));
}

TEST_F(DriverTest, TakesAnEpochThenBeginsLazilyAndCommitsOffsetsOnce) {
  Fill(3);
  ASSERT_TRUE(RunUntilVisible(3).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(broker_.calls, ElementsAre("recreate", "begin", "offsets", "commit", "leave"));
  EXPECT_EQ(transform_.committed, 1);
}

TEST_F(DriverTest, OpensNoTransactionWhenThereIsNothing) {
  int polls = 0;
  ASSERT_TRUE(RunUntil([&] { return ++polls == 10; }).ok());
  EXPECT_THAT(broker_.calls, ElementsAre("recreate", "leave"));
}

TEST_F(DriverTest, TheTransformIsToldOfAnAssignmentBeforeItsRecords) {
  Fill(4);
  source_.events.push_back(Assigned{1});
  bool again = false;
  during_ = [&] {
    if (again || broker_.visible.size() < 4) return;
    again = true;
    Fill(4);
    source_.events.push_back(Assigned{2});
  };
  ASSERT_TRUE(RunUntilVisible(8).ok());
  EXPECT_THAT(transform_.chunks_when_assigned, ElementsAre(0, 1));
}

TEST_F(DriverTest, ChunksHoldAtMostChunkEvents) {
  Fill(10);
  ASSERT_TRUE(RunUntilVisible(10).ok());
  EXPECT_THAT(transform_.chunks, ElementsAre(4, 4, 2));
}

TEST_F(DriverTest, CommitsAfterTheInterval) {
  Fill(1);
  ASSERT_TRUE(RunUntilVisible(1).ok());
  ASSERT_THAT(probe_.commits, SizeIs(1));
  EXPECT_EQ(probe_.commits[0].open, milliseconds(options_.commit_interval_ms));
}

TEST_F(DriverTest, CommitsAtTheEventLimitWithoutWaiting) {
  options_.commit_events = 8;
  Fill(20);
  ASSERT_TRUE(RunUntilVisible(20).ok());
  EXPECT_EQ(probe_.commits[0].events, 8);
  EXPECT_EQ(probe_.commits[0].open, milliseconds(0));
}

TEST_F(DriverTest, CommitsAtTheByteLimitWithoutWaiting) {
  options_.commit_bytes = 9;
  Fill(8);
  ASSERT_TRUE(RunUntilVisible(8).ok());
  EXPECT_EQ(probe_.commits[0].bytes, 16);
  EXPECT_EQ(probe_.commits[0].open, milliseconds(0));
}

TEST_F(DriverTest, StopCommitsWhatIsComplete) {
  Fill(4);
  ASSERT_TRUE(RunUntil([&] { return transform_.chunks.size() == 1; }).ok());
  ExpectExactlyOnce();
  EXPECT_EQ(broker_.calls.back(), "leave");
  EXPECT_EQ(driver_->snapshot().state, DriverState::kStopped);
}

TEST_F(DriverTest, StopGivesUpRetriesAtTheDrainTimeout) {
  options_.drain_timeout_ms = 300;
  Fill(4);
  for (int i = 0; i < 1000; ++i) transaction_.next["offsets"].push_back({Verdict::kRetry, "away"});
  ASSERT_TRUE(RunUntil([&] { return transform_.chunks.size() == 1; }).ok());
  EXPECT_THAT(broker_.visible, IsEmpty());
  EXPECT_LT(Calls("offsets"), 10);
  EXPECT_EQ(broker_.calls.back(), "leave");
}

TEST_F(DriverTest, AFailedStartIsReturned) {
  source_.start = absl::NotFoundError("no topic");
  EXPECT_TRUE(absl::IsNotFound(RunUntilVisible(0)));
}

TEST_F(DriverTest, RepeatsARetriableCallWithTheSameArguments) {
  Fill(2);
  transaction_.next["offsets"] = {{Verdict::kRetry, ""}, {Verdict::kRetry, ""}};
  transaction_.next["commit"] = {{Verdict::kRetry, ""}};
  ASSERT_TRUE(RunUntilVisible(2).ok());
  ExpectExactlyOnce();
  EXPECT_EQ(Calls("abort"), 0);
}

TEST_F(DriverTest, AbortsWhenRetriesOutliveTheTransaction) {
  Fill(2);
  for (int i = 0; i < 30; ++i) transaction_.next["commit"].push_back({Verdict::kRetry, "away"});
  ASSERT_TRUE(RunUntilVisible(2).ok());
  ExpectExactlyOnce();
  EXPECT_GE(Calls("abort"), 1);
}

// R2 and R4.
TEST_F(DriverTest, AnAbortIsFollowedByANewEpochAndThenARewind) {
  Fill(2);
  transaction_.next["offsets"] = {{Verdict::kAbort, "illegal generation"}};
  ASSERT_TRUE(RunUntilVisible(2).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(broker_.calls, ElementsAre("recreate", "begin", "offsets", "abort", "recreate",
                                         "rewind", "begin", "offsets", "commit", "leave"));
  EXPECT_EQ(transform_.discarded, 1);
  EXPECT_THAT(probe_.aborts, ElementsAre("illegal generation"));
}

// R5.
TEST_F(DriverTest, AFatalCommitIsNotTakenForANoCommit) {
  Fill(2);
  transaction_.next["commit"] = {{Verdict::kRecreate, "done"}};
  ASSERT_TRUE(RunUntil([&] { return probe_.recreates.size() == 2; }).ok());
  ExpectExactlyOnce();
  EXPECT_EQ(Calls("abort"), 0);
  EXPECT_THAT(probe_.recreates, ElementsAre("start", "fatal"));
}

TEST_F(DriverTest, AFatalAbortIsRecoveredFromByANewEpoch) {
  Fill(2);
  transaction_.next["commit"] = {{Verdict::kAbort, ""}};
  transaction_.next["abort"] = {{Verdict::kRecreate, ""}};
  ASSERT_TRUE(RunUntilVisible(2).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(probe_.recreates, ElementsAre("start", "fatal"));
}

// R1.
TEST_F(DriverTest, ATaintedCommitTakesANewEpochBeforeTheNextBegin) {
  options_.commit_events = 4;
  Fill(8);
  transaction_.taint_at_commit = true;
  ASSERT_TRUE(RunUntilVisible(8).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, TaintSeenAtTheCommitRecreatesAndRewindsAtOnce) {
  Fill(2);
  transaction_.taint_at_commit = true;
  ASSERT_TRUE(RunUntil([&] { return probe_.recreates.size() == 2; }).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(broker_.calls,
              ElementsAre("recreate", "begin", "offsets", "commit", "recreate", "rewind", "leave"));
  EXPECT_THAT(probe_.recreates, ElementsAre("start", "taint"));
}

TEST_F(DriverTest, WithoutItsRuleATaintIsIgnored) {
  options_.rules.recreate_on_taint = false;
  options_.commit_events = 4;
  transaction_.guard = false;
  Fill(8);
  transaction_.taint_at_commit = true;
  ASSERT_TRUE(RunUntilVisible(8).ok());
  EXPECT_EQ(Calls("recreate"), 1);
}

TEST_F(DriverTest, WithoutItsRuleAnAbortOnlyRewinds) {
  options_.rules.recreate_after_abort = false;
  Fill(2);
  transaction_.next["commit"] = {{Verdict::kAbort, ""}};
  ASSERT_TRUE(RunUntilVisible(2).ok());
  EXPECT_EQ(Calls("recreate"), 1);
  EXPECT_EQ(Calls("rewind"), 1);
}

// R8.
TEST_F(DriverTest, StrictModeTakesAnEpochAtEveryBoundaryAndKeepsWhatWasReadAhead) {
  options_.rules.recreate_always = true;
  options_.commit_events = 4;
  Fill(12);
  ASSERT_TRUE(RunUntilVisible(12).ok());
  ExpectExactlyOnce();
  EXPECT_GE(Calls("recreate"), 3);
  EXPECT_EQ(Calls("rewind"), 0);
}

TEST_F(DriverTest, ProduceErrorsAbort) {
  Fill(3);
  transaction_.produce_error = absl::ResourceExhaustedError("queue full");
  ASSERT_TRUE(RunUntilVisible(3).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(probe_.aborts, ElementsAre("queue full"));
}

TEST_F(DriverTest, AMissingOutputTopicHalts) {
  Fill(3);
  transaction_.produce_error = absl::NotFoundError("topic gone");
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(broker_.visible, IsEmpty());
}

TEST_F(DriverTest, BacksOffLongerFromFailureToFailureAndStartsAnewAfterASuccess) {
  Fill(1);
  for (int i = 0; i < 10; ++i) transaction_.next["commit"].push_back({Verdict::kAbort, ""});
  auto start = clock_.Now();
  ASSERT_TRUE(RunUntilVisible(1).ok());
  EXPECT_GT(clock_.Now() - start,
            milliseconds(50 + 100 + 200 + 400 + 800 + 1600 + 3200 + 3 * 5000));
  EXPECT_LT(clock_.Now() - start, milliseconds(30'000));
}

TEST_F(DriverTest, AFailedRecreateIsRepeatedWhileTheMembershipIsKept) {
  Fill(1);
  for (int i = 0; i < 5; ++i) transaction_.next["recreate"].push_back({Verdict::kRetry, "away"});
  ASSERT_TRUE(RunUntilVisible(1).ok());
  ExpectExactlyOnce();
  EXPECT_GT(source_.polls, 5);
}

TEST_F(DriverTest, FencedOnceGoesOn) {
  Fill(1);
  transaction_.next["commit"] = {{Verdict::kFenced, ""}};
  ASSERT_TRUE(RunUntilVisible(1).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(probe_.recreates, ElementsAre("start", "fenced"));
}

TEST_F(DriverTest, FencedTwiceWithinAMinuteEndsForATwin) {
  Fill(1);
  transaction_.next["commit"] = {{Verdict::kFenced, ""}, {Verdict::kFenced, ""}};
  absl::Status status = RunUntil([] { return false; });
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(broker_.visible, IsEmpty());
  EXPECT_EQ(broker_.calls.back(), "leave");
}

TEST_F(DriverTest, FencedTwiceInALongTimeGoesOn) {
  options_.commit_events = 1;
  options_.chunk_events = 1;
  Fill(2);
  transaction_.next["commit"] = {{Verdict::kFenced, ""}, {}, {Verdict::kFenced, ""}};
  transaction_.next["commit"][1].text = "done";
  during_ = [&] {
    if (broker_.visible.size() == 1) clock_.Advance(milliseconds(61'000));
  };
  ASSERT_TRUE(RunUntilVisible(2).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, FencedForTheAgeOfATransactionIsNoTwin) {
  Fill(1);
  for (int i = 0; i < 3; ++i) {
    // The first call outlives the transaction, the second is told so.
    transaction_.next["offsets"].push_back({Verdict::kRetry, ""});
    transaction_.next["offsets"].push_back({Verdict::kFenced, "expired"});
  }
  options_.sleep = [this](milliseconds) {
    clock_.Advance(milliseconds(options_.transaction_timeout_ms));
  };
  ASSERT_TRUE(RunUntilVisible(1).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, ALiveTwinOfTheMemberEndsTheRun) {
  source_.events.push_back(Unreadable{absl::AlreadyExistsError("same instance name")});
  EXPECT_TRUE(absl::IsAlreadyExists(RunUntil([] { return false; })));
}

TEST_F(DriverTest, RevocationCommitsBeforeItIsAcknowledged) {
  Fill(4);
  during_ = [&] {
    if (transform_.chunks.size() == 1 && Calls("acknowledge") == 0)
      source_.events.push_back(Revoked{});
  };
  ASSERT_TRUE(RunUntil([&] { return Calls("acknowledge") == 1; }).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(broker_.calls,
              ElementsAre("recreate", "begin", "offsets", "commit", "acknowledge", "leave"));
}

TEST_F(DriverTest, LostPartitionsAbort) {
  Fill(4);
  during_ = [&] {
    if (transform_.chunks.size() == 1 && Calls("acknowledge") == 0) {
      source_.events.push_back(Revoked{.lost = true});
    }
  };
  ASSERT_TRUE(RunUntil([&] { return probe_.recreates.size() == 2; }).ok());
  EXPECT_THAT(broker_.visible, IsEmpty());
  EXPECT_THAT(broker_.calls, ElementsAre("recreate", "begin", "abort", "acknowledge", "recreate",
                                         "rewind", "leave"));
}

TEST_F(DriverTest, AnUnavailableDependencyHoldsTheRecordsAndResumesByItself) {
  Fill(6);
  transform_.errors = {absl::OkStatus(), absl::UnavailableError("away"),
                       absl::UnavailableError("away")};
  ASSERT_TRUE(RunUntilVisible(6).ok());
  ExpectExactlyOnce();
  EXPECT_THAT(transform_.chunks, ElementsAre(4, 2, 2, 2));
  EXPECT_EQ(probe_.commits[0].events, 4) << "what was complete is committed before the wait";
  EXPECT_EQ(Calls("rewind"), 0);
  EXPECT_THAT(probe_.states, testing::Contains("waiting"));
}

TEST_F(DriverTest, WhileADependencyIsAwayOnlyTheMembershipIsPolled) {
  Fill(4);
  for (int i = 0; i < 20; ++i) transform_.errors.push_back(absl::UnavailableError("away"));
  bool flowed = false;
  during_ = [&] {
    if (!transform_.chunks.empty() && !transform_.errors.empty())
      flowed |= source_.last_records_max > 0;
  };
  ASSERT_TRUE(RunUntilVisible(4).ok());
  EXPECT_FALSE(flowed);
  EXPECT_THAT(transform_.chunks, SizeIs(21)) << "retries are bounded by the back-off";
  EXPECT_GT(source_.polls, 100) << "the membership was kept";
}

TEST_F(DriverTest, HeldRecordsAreDroppedOnRevocation) {
  Fill(4);
  for (int i = 0; i < 3; ++i) transform_.errors.push_back(absl::UnavailableError("away"));
  during_ = [&] {
    if (transform_.chunks.size() == 1 && Calls("acknowledge") == 0)
      source_.events.push_back(Revoked{});
  };
  ASSERT_TRUE(RunUntil([&] { return Calls("acknowledge") == 1 && source_.polls > 50; }).ok());
  EXPECT_THAT(transform_.chunks, SizeIs(1));
  EXPECT_EQ(broker_.committed, -1);
}

TEST_F(DriverTest, ATransformErrorHaltsAfterCommittingWhatIsComplete) {
  Fill(8);
  transform_.errors = {absl::OkStatus(), absl::InternalError("bug")};
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(broker_.visible, SizeIs(4));
  EXPECT_EQ(broker_.committed, 4);
}

TEST_F(DriverTest, WhatAnOpenTransactionHasIsNotPublishedWhenTheTransformFindsALeak) {
  Fill(8);
  transform_.errors = {absl::OkStatus(), absl::DataLossError("shows more than it may")};
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(broker_.visible, IsEmpty());
  EXPECT_EQ(broker_.committed, -1);
  EXPECT_EQ(driver_->snapshot().text, "shows more than it may");
}

TEST_F(DriverTest, AHaltedWorkerKeepsItsMembershipAndReadsNothing) {
  Fill(8);
  transform_.errors = {absl::InternalError("bug")};
  int halted_polls = 0;
  ASSERT_TRUE(RunUntil([&] {
                if (driver_->snapshot().state == DriverState::kHalted) {
                  EXPECT_EQ(source_.last_records_max, 0u);
                  ++halted_polls;
                }
                return halted_polls == 20;
              }).ok());
  EXPECT_THAT(transform_.chunks, SizeIs(1));
  EXPECT_TRUE(driver_->Alive());
}

TEST_F(DriverTest, ResumeMakesAHaltedWorkerTryAgainFromWhatIsCommitted) {
  Fill(8);
  transform_.errors = {absl::OkStatus(), absl::InternalError("bug")};
  during_ = [&] {
    if (driver_->snapshot().state == DriverState::kHalted) driver_->Resume();
  };
  ASSERT_TRUE(RunUntilVisible(8).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, HalfAChunkIsNeverCommitted) {
  Fill(4);
  transform_.errors = {absl::UnavailableError("away")};
  transform_.half = true;
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(broker_.visible, IsEmpty());
}

TEST_F(DriverTest, ResumeAfterAHaltOnATransactionsFirstChunkBeginsOne) {
  Fill(8);
  transform_.errors = {absl::InternalError("bug")};
  during_ = [&] {
    if (driver_->snapshot().state == DriverState::kHalted) driver_->Resume();
  };
  ASSERT_TRUE(RunUntilVisible(8).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, WhatIsHeldCountsAsUncommittedUntilItIsDropped) {
  Fill(4);
  for (int i = 0; i < 100; ++i) transform_.errors.push_back(absl::UnavailableError("away"));
  bool held = false;
  int polls_after = 0;
  ASSERT_TRUE(RunUntil([&] {
                if (!held && driver_->snapshot().state == DriverState::kWaiting) {
                  clock_.Advance(milliseconds(10));
                  EXPECT_GT(driver_->uncommitted_for(), std::chrono::nanoseconds(0));
                  held = true;
                  source_.events.push_back(Revoked{.lost = true});
                  return false;
                }
                if (held && ++polls_after == 2) {
                  EXPECT_EQ(driver_->uncommitted_for(), std::chrono::nanoseconds(0));
                }
                return polls_after == 2;
              }).ok());
}

TEST_F(DriverTest, ATopicThatRefusesARecordCostsThatRecordOnly) {
  options_.commit_events = 16;
  options_.chunk_events = 16;
  Fill(40);
  transaction_.refuses = [](const std::string& value) { return value == "r21" || value == "r22"; };
  auto start = clock_.Now();
  ASSERT_TRUE(RunUntilVisible(40).ok());
  broker_.log[21] = "qr21";
  broker_.log[22] = "qr22";
  ExpectExactlyOnce();
  EXPECT_THAT(transform_.refused_records, ElementsAre(21, 22));
  EXPECT_LE(probe_.aborts.size(), 16u) << "found by halving";
  EXPECT_LT(clock_.Now() - start, milliseconds(3'000)) << "without a back-off";
}

TEST_F(DriverTest, ARefusalThatComesWhileFurtherRecordsAreWrittenIsFoundToo) {
  options_.commit_events = 16;
  options_.chunk_events = 16;
  Fill(40);
  transaction_.refuses_at_produce = true;
  transaction_.refuses = [](const std::string& value) { return value == "r7"; };
  ASSERT_TRUE(RunUntilVisible(40).ok());
  broker_.log[7] = "qr7";
  ExpectExactlyOnce();
  EXPECT_THAT(transform_.refused_records, ElementsAre(7));
}

TEST_F(DriverTest, ATopicThatRefusesEverythingHaltsTheWorker) {
  options_.refusals_per_minute_max = 5;
  options_.commit_events = 2;
  Fill(100);
  transaction_.refuses = [](const std::string& value) { return value[0] == 'r'; };
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(transform_.refused_records, SizeIs(5));
  EXPECT_THAT(driver_->snapshot().text, HasSubstr("it is the topic that is wrong"));
  EXPECT_THAT(driver_->snapshot().text, HasSubstr("timestamp out of bounds"));
}

// A backlog with a few of them is no topic that is wrong.
TEST_F(DriverTest, OneRefusedRecordInAHundredHaltsNothing) {
  options_.refusals_per_minute_max = 5;
  options_.commit_events = 64;
  Fill(2'000);
  auto is_refused = [](size_t i) { return i >= 1'000 && i % 100 == 0; };
  transaction_.refuses = [&](const std::string& value) {
    return value[0] == 'r' && is_refused(std::stoul(value.substr(1)));
  };
  ASSERT_TRUE(RunUntilVisible(2'000).ok());
  for (size_t i = 0; i < 2'000; ++i)
    if (is_refused(i)) broker_.log[i] = "qr" + std::to_string(i);
  ExpectExactlyOnce();
  EXPECT_THAT(transform_.refused_records, SizeIs(10));
}

TEST_F(DriverTest, ARecordThatNothingCanBeMadeOfHaltsTheWorkerAndIsNamed) {
  Fill(8);
  transaction_.refuses = [](const std::string& value) { return value == "r5"; };
  transaction_.refusing_topic = 1;
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(broker_.visible, SizeIs(5));
  EXPECT_THAT(driver_->snapshot().text, HasSubstr("in/0/5"));
}

TEST_F(DriverTest, AMissingPermissionIsTriedForUntilItIsGranted) {
  Fill(4);
  for (int i = 0; i < 3; ++i)
    transaction_.next["offsets"].push_back({Verdict::kDenied, "group authorization failed"});
  bool halted = false;
  during_ = [&] { halted |= driver_->snapshot().state == DriverState::kHalted; };
  ASSERT_TRUE(RunUntilVisible(4).ok());
  ExpectExactlyOnce();
  EXPECT_TRUE(halted);
}

TEST_F(DriverTest, WhatIsWrittenAtTheCommitIsPartOfItAlsoAfterAFailure) {
  options_.commit_events = 4;
  transform_.mark = "at ";
  Fill(8);
  transaction_.next["commit"] = {{Verdict::kAbort, ""}};
  ASSERT_TRUE(RunUntilVisible(10).ok());
  EXPECT_THAT(broker_.visible,
              ElementsAre("r0", "r1", "r2", "r3", "at 4", "r4", "r5", "r6", "r7", "at 8"));
}

TEST_F(DriverTest, SaysThatNoRecordsComeAndThatTheyDoAgain) {
  int polls = 0;
  ASSERT_TRUE(RunUntil([&] {
                ++polls;
                source_.trouble = polls > 3 && polls < 6 ? "no broker answers" : "";
                if (polls == 5) {
                  EXPECT_EQ(driver_->snapshot().state, DriverState::kDegraded);
                  EXPECT_EQ(driver_->snapshot().text, "no broker answers");
                }
                return polls == 10;
              }).ok());
  EXPECT_THAT(probe_.states, ElementsAre("running", "degraded", "running", "draining", "stopped"));
}

TEST_F(DriverTest, ACallThatHangsShowsAsDegraded) {
  Fill(1);
  DriverState during = DriverState::kRunning;
  options_.sleep = [&](milliseconds) {
    clock_.Advance(milliseconds(options_.call_max_ms));
    during = driver_->snapshot().state;
  };
  transaction_.next["commit"] = {{Verdict::kRetry, ""}};
  ASSERT_TRUE(RunUntilVisible(1).ok());
  EXPECT_EQ(during, DriverState::kDegraded);
}

TEST_F(DriverTest, ATruncatedLogHaltsAndSkipsNothing) {
  Fill(4);
  during_ = [&] {
    if (transform_.chunks.size() == 1)
      source_.events.push_back(Unreadable{absl::DataLossError("truncated")});
  };
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  ExpectExactlyOnce();
  EXPECT_EQ(driver_->snapshot().text, "truncated");
}

TEST_F(DriverTest, AnInterruptedReadStartsAgainFromWhatIsCommitted) {
  Fill(4);
  bool interrupted = false;
  during_ = [&] {
    if (transform_.chunks.size() == 1 && !interrupted) {
      interrupted = true;
      source_.events.push_back(Interrupted{"bad checksum"});
    }
  };
  ASSERT_TRUE(RunUntilVisible(4).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, PauseCommitsWhatIsCompleteAndResumeGoesOn) {
  Fill(12);
  int paused_polls = 0;
  during_ = [&] {
    if (transform_.chunks.size() == 1 && paused_polls == 0) driver_->Pause();
    if (driver_->snapshot().state == DriverState::kPaused && ++paused_polls == 10) {
      EXPECT_EQ(broker_.committed, 8) << "the chunk that the pause met, and the one before";
      driver_->Resume();
    }
  };
  ASSERT_TRUE(RunUntilVisible(12).ok());
  ExpectExactlyOnce();
  EXPECT_GE(paused_polls, 10);
}

TEST_F(DriverTest, AMoveGoesOnFromWhereItSays) {
  Fill(8);
  during_ = [&] {
    if (broker_.visible.size() == 8 && !moved_.valid()) StartMove(4);
    if (moved_.valid()) MoveEnded();
  };
  ASSERT_TRUE(RunUntilVisible(13).ok());
  EXPECT_TRUE(moved_.get().ok());
  EXPECT_THAT(broker_.visible, ElementsAre("r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "moved",
                                           "r4", "r5", "r6", "r7"));
}

TEST_F(DriverTest, AMoveCommitsWhatIsUnderWayFirst) {
  Fill(12);
  options_.commit_interval_ms = 5'000;
  during_ = [&] {
    if (transform_.chunks.size() == 2 && !moved_.valid()) StartMove(10);
    if (moved_.valid() && broker_.visible.empty()) moved_.wait_for(milliseconds(1));
  };
  ASSERT_TRUE(RunUntil([&] { return MoveEnded() && broker_.visible.size() > 8; }).ok());
  EXPECT_TRUE(moved_.get().ok());
  EXPECT_EQ(broker_.visible[0], "r0") << "nothing that had results is lost";
  EXPECT_TRUE(std::count(broker_.visible.begin(), broker_.visible.end(), "moved") == 1);
  EXPECT_GE(broker_.committed, 10);
}

TEST_F(DriverTest, APausedWorkerIsMovedAndStaysPaused) {
  Fill(8);
  int polls = 0;
  during_ = [&] {
    if (broker_.visible.size() == 8 && !moved_.valid()) driver_->Pause();
    if (driver_->snapshot().state != DriverState::kPaused) return;
    if (!moved_.valid()) StartMove(4);
    if (!MoveEnded() || ++polls < 10) return;
    EXPECT_EQ(broker_.committed, 4);
    EXPECT_THAT(broker_.visible, SizeIs(9));
    driver_->Resume();
  };
  ASSERT_TRUE(RunUntilVisible(13).ok());
  EXPECT_TRUE(moved_.get().ok());
  EXPECT_EQ(broker_.visible[9], "r4");
}

TEST_F(DriverTest, AHaltedWorkerIsMovedAndStaysHaltedUntilItIsResumed) {
  Fill(8);
  transform_.errors = {absl::OkStatus(), absl::InternalError("a record it can't take")};
  int polls = 0;
  during_ = [&] {
    if (driver_->snapshot().state != DriverState::kHalted) return;
    if (!moved_.valid()) StartMove(6);
    if (!MoveEnded() || ++polls < 10) return;
    EXPECT_EQ(broker_.committed, 6);
    EXPECT_THAT(driver_->snapshot().text, HasSubstr("can't take"));
    driver_->Resume();
  };
  ASSERT_TRUE(RunUntilVisible(7).ok());
  EXPECT_TRUE(moved_.get().ok());
  EXPECT_THAT(broker_.visible, ElementsAre("r0", "r1", "r2", "r3", "moved", "r6", "r7"));
}

TEST_F(DriverTest, RecordsThatAreHeldForADependencyAreForgottenByAMove) {
  Fill(8);
  transform_.errors = {absl::OkStatus(), absl::UnavailableError("away"),
                       absl::UnavailableError("away")};
  during_ = [&] {
    if (driver_->snapshot().state == DriverState::kWaiting && !moved_.valid()) StartMove(7);
    if (moved_.valid()) MoveEnded();
  };
  ASSERT_TRUE(RunUntil([&] { return broker_.committed == 8; }).ok());
  ASSERT_TRUE(moved_.get().ok());
  EXPECT_THAT(broker_.visible, ElementsAre("r0", "r1", "r2", "r3", "moved", "r7"));
}

TEST_F(DriverTest, AMoveOfAnothersPartitionOrOfAWorkerThatHasEndedDoesNothing) {
  Fill(4);
  source_.owns = false;
  during_ = [&] {
    if (broker_.visible.size() == 4 && !moved_.valid()) StartMove(0);
  };
  ASSERT_TRUE(RunUntil([&] { return MoveEnded(); }).ok());
  EXPECT_TRUE(absl::IsNotFound(moved_.get()));
  ExpectExactlyOnce();
  EXPECT_TRUE(absl::IsUnavailable(driver_->MoveTo({}, milliseconds(1))));
}

TEST_F(DriverTest, AMoveWhoseTransactionFailsIsToldAndLosesNothing) {
  Fill(8);
  during_ = [&] {
    if (broker_.visible.size() == 8 && !moved_.valid()) {
      transaction_.next["commit"] = {{Verdict::kAbort, "no"}};
      StartMove(4);
    }
    if (MoveEnded() && broker_.log.size() == 8) Fill(2);
  };
  ASSERT_TRUE(RunUntilVisible(10).ok());
  EXPECT_FALSE(moved_.get().ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, VerifiedCommitsHaltWhenTheBrokerSaysOtherwise) {
  options_.verify_commits = true;
  options_.commit_events = 4;
  Fill(4);
  transaction_.next["commit"] = {{}};  // says ok, changes nothing
  ASSERT_TRUE(RunUntil([&] { return driver_->snapshot().state == DriverState::kHalted; }).ok());
  EXPECT_THAT(driver_->snapshot().text, HasSubstr("4 was sent"));
}

TEST_F(DriverTest, VerifiedCommitsGoOnWhenTheBrokerAgrees) {
  options_.verify_commits = true;
  options_.commit_events = 4;
  Fill(8);
  ASSERT_TRUE(RunUntilVisible(8).ok());
  ExpectExactlyOnce();
}

TEST_F(DriverTest, IsNotAliveWhenACallHangsForTwiceTheTransactionTimeout) {
  Fill(1);
  bool alive_before = false;
  bool alive_after = true;
  options_.sleep = [&](milliseconds) {
    clock_.Advance(milliseconds(options_.transaction_timeout_ms));
    alive_before = driver_->Alive();
    clock_.Advance(milliseconds(options_.transaction_timeout_ms + 1));
    alive_after = driver_->Alive();
  };
  transaction_.next["commit"] = {{Verdict::kRetry, ""}};
  ASSERT_TRUE(RunUntilVisible(1).ok());
  EXPECT_TRUE(alive_before);
  EXPECT_FALSE(alive_after);
}

// Any mixture of failures at any call ends with every record visible once.
TEST_F(DriverTest, RandomFailuresLoseAndDoubleNothing) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    broker_ = {};
    FakeSource source(broker_, clock_);
    FakeTransaction transaction(broker_);
    CopyTransform transform;
    std::minstd_rand random(seed);
    int faults_left = 100;
    auto chance = [&](unsigned in) {
      return faults_left > 0 && random() % in == 0 && faults_left-- > 0;
    };
    Fill(40);
    options_.commit_events = 8;
    options_.rules.recreate_always = seed % 3 == 0;
    auto driver = Driver::Create(options_, source, transaction, transform, probe_, clock_);
    ASSERT_TRUE(driver.ok());
    source.on_poll = [&] {
      constexpr Verdict kVerdicts[] = {Verdict::kRetry, Verdict::kAbort, Verdict::kRecreate,
                                       Verdict::kHalt, Verdict::kDenied};
      for (const char* call : {"begin", "offsets", "commit", "abort", "recreate"}) {
        if (transaction.next[call].empty() && chance(6)) {
          bool indefinite = std::string_view(call) == "commit";
          Verdict verdict = indefinite ? Verdict::kRecreate : kVerdicts[random() % 5];
          transaction.next[call].push_back({verdict, indefinite && chance(2) ? "done" : "no"});
        }
      }
      if (transform.errors.empty() && chance(8))
        transform.errors.push_back(absl::UnavailableError("away"));
      if (transform.errors.empty() && chance(16))
        transform.errors.push_back(absl::InternalError("bug"));
      if (random() % 4 == 0 && (*driver)->snapshot().state == DriverState::kHalted)
        (*driver)->Resume();
      if (chance(12)) (*driver)->Pause();
      if (random() % 6 == 0) (*driver)->Resume();
      if (chance(16)) source.events.push_back(Interrupted{"bad checksum"});
      if (chance(16)) source.events.push_back(Unreadable{absl::DataLossError("truncated")});
      if (chance(8)) transaction.taint = true;
      if (chance(8)) transaction.produce_error = absl::ResourceExhaustedError("full");
      if (chance(16)) {
        source.events.push_back(Revoked{.lost = chance(2)});
      } else if (!source.assigned && source.events.empty()) {
        source.assigned = true;
        source.Rewind();
        source.events.push_back(Assigned{1});
      }
      if (broker_.committed == 40 || source.polls > 20'000) (*driver)->Stop();
    };
    ASSERT_TRUE((*driver)->Run().ok());
    ExpectExactlyOnce();
  }
}

}  // namespace
}  // namespace sluice::stream
