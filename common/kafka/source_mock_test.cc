// The consumer's side on librdkafka's in-process mock cluster: membership, flow, positions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <optional>

#include "common/kafka/reader.h"
#include "common/kafka/source.h"
#include "common/kafka/writer.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using stream::SourceEvent;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int16_t kFetch = 1;
constexpr int16_t kHeartbeat = 12;

class SourceMockTest : public testing::Test {
 protected:
  SourceMockTest() {
    char text[256];
    host_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof(text)));
    cluster_ = rd_kafka_mock_cluster_new(host_.get(), 1);
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster_, 0);
    rd_kafka_mock_topic_create(cluster_, "in", 2, 1);
    connection_.brokers = {rd_kafka_mock_cluster_bootstraps(cluster_)};
  }
  ~SourceMockTest() override {
    first_.reset();
    rd_kafka_mock_cluster_destroy(cluster_);
  }

  SourceOptions Options(const std::string& instance) {
    SourceOptions options;
    options.connection = connection_;
    options.group = "group";
    options.instance = instance;
    options.topics = {"in"};
    options.session_timeout_ms = 6'000;
    return options;
  }
  std::unique_ptr<KafkaSource> Join(const std::string& instance) {
    auto source = KafkaSource::Create(Options(instance));
    EXPECT_TRUE(source.ok()) << source.status();
    absl::Status started = (*source)->Start();
    EXPECT_TRUE(started.ok()) << started;
    return *std::move(source);
  }
  void Write(int count) {
    auto writer = TopicWriter::Create({.connection = connection_});
    ASSERT_TRUE(writer.ok());
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(
          (*writer)->Write({.topic = "in", .partition = 0, .value = std::to_string(i)}).ok());
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }
  // Polls until `wanted` comes, acknowledging revocations on the way.
  template <typename Wanted>
  static std::optional<Wanted> Await(KafkaSource& source, size_t records_max) {
    for (int i = 0; i < 1'000; ++i) {
      SourceEvent event = source.Poll(records_max, milliseconds(20));
      if (std::holds_alternative<Wanted>(event)) return std::get<Wanted>(event);
      if (std::holds_alternative<stream::Revoked>(event)) source.Acknowledge();
    }
    return std::nullopt;
  }
  static std::vector<std::string> Values(const stream::Records& records) {
    std::vector<std::string> values;
    for (const auto& record : records.records) values.emplace_back(*record.value);
    return values;
  }

  ClientPtr host_;
  rd_kafka_mock_cluster_t* cluster_;
  ConnectionOptions connection_;
  std::unique_ptr<KafkaSource> first_;
};

TEST_F(SourceMockTest, HandsOutAtMostWhatWasAskedForAndThePositionsBehindIt) {
  Write(5);
  first_ = Join("a");
  std::vector<std::string> values;
  while (values.size() < 5) {
    auto records = Await<stream::Records>(*first_, 2);
    ASSERT_TRUE(records);
    EXPECT_LE(records->records.size(), 2u);
    ASSERT_EQ(records->next.size(), 1u);
    EXPECT_EQ(records->next[0].topic, "in");
    EXPECT_EQ(records->next[0].offset, records->records.back().offset + 1);
    for (std::string& value : Values(*records)) values.push_back(std::move(value));
  }
  EXPECT_THAT(values, ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(SourceMockTest, ADynamicMemberTellsTheGroupThatItLeavesAndAStaticOneDoesNot) {
  constexpr int16_t kLeaveGroup = 13;
  Write(3);
  for (const char* instance : {"", "a"}) {
    first_ = Join(instance);
    ASSERT_TRUE(Await<stream::Records>(*first_, 10)) << instance;
    rd_kafka_mock_start_request_tracking(cluster_);
    first_->Leave();
    size_t count = 0;
    rd_kafka_mock_request_t** requests = rd_kafka_mock_get_requests(cluster_, &count);
    bool told = false;
    for (size_t i = 0; i < count; ++i)
      told |= rd_kafka_mock_request_api_key(requests[i]) == kLeaveGroup;
    rd_kafka_mock_request_destroy_array(requests, count);
    rd_kafka_mock_stop_request_tracking(cluster_);
    EXPECT_EQ(told, *instance == '\0');
    first_.reset();
  }
}

TEST_F(SourceMockTest, RecordsStayValidWhileOnlyTheMembershipIsPolled) {
  Write(3);
  first_ = Join("a");
  auto records = Await<stream::Records>(*first_, 1);
  ASSERT_TRUE(records);
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(std::holds_alternative<stream::Records>(first_->Poll(0, milliseconds(10))));
  }
  EXPECT_THAT(Values(*records), ElementsAre("0"));
  auto next = Await<stream::Records>(*first_, 10);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->records[0].offset, 1) << "nothing was skipped or repeated by the pause";
}

TEST_F(SourceMockTest, LagGrowsWithTheLogWhileOnlyTheMembershipIsPolled) {
  Write(3);
  first_ = Join("a");
  int read = 0;
  while (read < 3) {
    auto records = Await<stream::Records>(*first_, 10);
    ASSERT_TRUE(records);
    read += static_cast<int>(records->records.size());
  }
  auto lag = [this] {
    for (const PartitionSnapshot& partition : first_->snapshot().partitions) {
      if (partition.partition == 0) return partition.lag_records;
    }
    return int64_t{-1};
  };
  auto poll_until_lag_is = [&](int64_t wanted, size_t records_max) {
    for (int i = 0; i < 1'000 && lag() != wanted; ++i) first_->Poll(records_max, milliseconds(10));
    return lag();
  };
  EXPECT_EQ(poll_until_lag_is(0, 0), 0);
  Write(4);
  EXPECT_EQ(poll_until_lag_is(4, 0), 4) << "what the last fetch saw isn't the end any more";
  EXPECT_EQ(poll_until_lag_is(0, 10), 0) << "nor is what was asked for in the pause";
}

TEST_F(SourceMockTest, RewindGoesBackToTheBeginningWhenNothingIsCommitted) {
  Write(4);
  first_ = Join("a");
  ASSERT_TRUE(Await<stream::Records>(*first_, 3));
  first_->Rewind();
  auto records = Await<stream::Records>(*first_, 3);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->records[0].offset, 0);
}

TEST_F(SourceMockTest, FlowsAgainAfterARevocationThatMetItPaused) {
  Write(3);
  first_ = Join("a");
  ASSERT_TRUE(Await<stream::Records>(*first_, 1));
  EXPECT_FALSE(std::holds_alternative<stream::Records>(first_->Poll(0, milliseconds(10))));
  // No second member asks for it: the mock refuses a follower whose assignment it hasn't kept.
  rd_kafka_mock_push_request_errors(cluster_, kHeartbeat, 1,
                                    RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
  auto revoked = Await<stream::Revoked>(*first_, 0);
  ASSERT_TRUE(revoked);
  EXPECT_FALSE(revoked->lost);
  first_->Acknowledge();
  ASSERT_TRUE(Await<stream::Assigned>(*first_, 0));
  auto records = Await<stream::Records>(*first_, 10);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->records[0].offset, 0);
}

TEST_F(SourceMockTest, AFencedMemberIsReplacedOnceAndTheSecondTimeIsATwin) {
  Write(3);
  first_ = Join("a");
  ASSERT_TRUE(Await<stream::Records>(*first_, 10));
  rd_kafka_mock_push_request_errors(cluster_, kHeartbeat, 1, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
  auto revoked = Await<stream::Revoked>(*first_, 10);
  ASSERT_TRUE(revoked);
  EXPECT_TRUE(revoked->lost);
  first_->Acknowledge();
  auto records = Await<stream::Records>(*first_, 10);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->records[0].offset, 0);
  rd_kafka_mock_push_request_errors(cluster_, kHeartbeat, 1, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
  auto unreadable = Await<stream::Unreadable>(*first_, 10);
  ASSERT_TRUE(unreadable);
  EXPECT_TRUE(absl::IsAlreadyExists(unreadable->reason)) << unreadable->reason;
}

TEST_F(SourceMockTest, AMissingTopicIsNamedAtTheStart) {
  rd_kafka_mock_topic_set_error(cluster_, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  SourceOptions options = Options("a");
  options.topics = {"gone"};
  auto source = KafkaSource::Create(options);
  ASSERT_TRUE(source.ok());
  absl::Status status = (*source)->Start();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("gone"));
}

TEST_F(SourceMockTest, RefusesLimitsOutOfRangeByName) {
  SourceOptions options = Options("a");
  options.read_ahead_kib = 1;
  EXPECT_THAT(std::string(KafkaSource::Create(options).status().message()),
              HasSubstr("read_ahead_kib"));
}

TEST_F(SourceMockTest, ALogThatNoLongerHoldsThePositionIsUnreadable) {
  Write(3);
  first_ = Join("a");
  ASSERT_TRUE(Await<stream::Records>(*first_, 10));
  rd_kafka_mock_push_request_errors(cluster_, kFetch, 1, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
  auto unreadable = Await<stream::Unreadable>(*first_, 10);
  ASSERT_TRUE(unreadable);
  EXPECT_TRUE(absl::IsDataLoss(unreadable->reason)) << unreadable->reason;
}

TEST_F(SourceMockTest, ARewindAfterAnOffsetThatWasOutOfRangeReadsAgain) {
  Write(3);
  first_ = Join("a");
  ASSERT_TRUE(Await<stream::Records>(*first_, 10));
  for (int round = 0; round < 3; ++round) {
    // A fetch from before the rewind may take the first of them, and nobody reads its answer.
    rd_kafka_mock_push_request_errors(cluster_, kFetch, 2, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                                      RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
    auto unreadable = Await<stream::Unreadable>(*first_, 10);
    ASSERT_TRUE(unreadable) << round;
    rd_kafka_mock_clear_request_errors(cluster_, kFetch);
    // As a halted worker: only the membership is kept.
    for (int i = 0; i < 5; ++i) first_->Poll(0, milliseconds(10));
    first_->Rewind();
    auto records = Await<stream::Records>(*first_, 10);
    ASSERT_TRUE(records) << round;
    EXPECT_EQ(records->records[0].offset, 0);
  }
}

TEST_F(SourceMockTest, TheLagOfAPartitionThatWasNeverReadIsWhatItHolds) {
  Write(5);
  first_ = Join("a");
  ASSERT_TRUE(Await<stream::Assigned>(*first_, 0));
  int64_t lag = -1;
  for (int i = 0; i < 1'000 && lag != 5; ++i) {
    first_->Poll(0, milliseconds(10));
    for (const PartitionSnapshot& partition : first_->snapshot().partitions) {
      if (partition.partition == 0) lag = partition.lag_records;
      EXPECT_EQ(partition.blocked_since_ms, -1);
    }
  }
  EXPECT_EQ(lag, 5);
}

// librdkafka's clients, of which some can't be made.
class FailingFactory final : public ClientFactory {
 public:
  absl::StatusOr<std::unique_ptr<ConsumerClient>> MakeConsumer(
      const ConnectionOptions& connection, const Settings& settings,
      RebalanceListener& listener) override {
    if (failures > 0) {
      --failures;
      return absl::InvalidArgumentError("half a certificate");
    }
    return RdKafka().MakeConsumer(connection, settings, listener);
  }
  absl::StatusOr<std::unique_ptr<ProducerClient>> MakeProducer(
      const ConnectionOptions&, const Settings&, const std::vector<std::string>&) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<std::vector<int64_t>> MessageBytesMax(const ConnectionOptions&,
                                                       const std::vector<std::string>&) override {
    return absl::UnimplementedError("");
  }
  int failures = 0;
};

TEST_F(SourceMockTest, AClientThatCantBeReplacedIsTriedForAndSaid) {
  Write(3);
  FailingFactory factory;
  base::SystemClock clock;
  auto source = KafkaSource::Create(Options("a"), factory, clock);
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE((*source)->Start().ok());
  first_ = *std::move(source);
  ASSERT_TRUE(Await<stream::Records>(*first_, 10));
  factory.failures = 1;
  rd_kafka_mock_push_request_errors(cluster_, kHeartbeat, 1, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
  auto revoked = Await<stream::Revoked>(*first_, 10);
  ASSERT_TRUE(revoked);
  first_->Acknowledge();
  EXPECT_THAT(first_->Trouble(), HasSubstr("half a certificate"));
  EXPECT_EQ(first_->group_metadata(), nullptr);
  EXPECT_TRUE(absl::IsUnavailable(first_->Committed({}).status()));
  first_->Rewind();
  auto records = Await<stream::Records>(*first_, 10);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->records[0].offset, 0);
  EXPECT_EQ(first_->Trouble(), "");
}

TEST_F(SourceMockTest, ReaderSeesEveryRecordToTheEndAndNoFurther) {
  Write(3);
  std::vector<std::string> topics = {"in"};
  std::vector<std::string> values;
  TopicReader reader({.connection = connection_});
  absl::Status status = reader.Read(topics, [&](const ReadRecord& record) {
    values.emplace_back(record.value.value_or("null"));
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(values, ElementsAre("0", "1", "2"));
}

TEST_F(SourceMockTest, ReaderStopsWithTheCallbacksStatus) {
  Write(3);
  std::vector<std::string> topics = {"in"};
  int calls = 0;
  absl::Status status =
      TopicReader({.connection = connection_}).Read(topics, [&](const ReadRecord&) {
        ++calls;
        return absl::CancelledError();
      });
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace sluice::kafka
