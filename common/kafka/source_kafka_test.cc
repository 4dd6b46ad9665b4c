// What the source and the transaction make of a real Kafka's topics that lose their head, are
// deleted, are made again, are held up by another's transaction, or refuse a record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>

#include "common/kafka/admin.h"
#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/kafka/writer.h"
#include "tests/support/shared_broker.h"

namespace sluice::kafka {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class SourceKafkaTest : public testing::Test {
 protected:
  void SetUp() override {
    topic_ = testing::UnitTest::GetInstance()->current_test_info()->name();
    connection_.brokers = {test_support::SharedBroker().bootstrap()};
    admin_ = *Admin::Create(connection_);
    Make(topic_);
  }
  void Make(const std::string& name, std::map<std::string, std::string> config = {}) {
    NewTopic topic{name, 1, 1, std::move(config)};
    absl::Status made = admin_->CreateTopics({&topic, 1});
    ASSERT_TRUE(made.ok()) << made;
  }
  void Write(int count) {
    auto writer = TopicWriter::Create({.connection = connection_});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < count; ++i)
      ASSERT_TRUE((*writer)->Write({.topic = topic_, .partition = 0, .value = "v"}).ok());
    ASSERT_TRUE((*writer)->Flush().ok());
  }

  // A librdkafka client for what only administrators do.
  template <typename Call>
  void Administer(Call call) {
    char text[256];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", test_support::SharedBroker().bootstrap().c_str(),
                      text, sizeof(text));
    ClientPtr client(rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text)));
    ASSERT_NE(client, nullptr) << text;
    QueuePtr queue(rd_kafka_queue_new(client.get()));
    call(client.get(), queue.get());
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue.get(), 20'000);
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
  }
  void Delete() {
    Administer([this](rd_kafka_t* client, rd_kafka_queue_t* queue) {
      rd_kafka_DeleteTopic_t* topic = rd_kafka_DeleteTopic_new(topic_.c_str());
      rd_kafka_DeleteTopics(client, &topic, 1, nullptr, queue);
      rd_kafka_DeleteTopic_destroy(topic);
    });
  }
  void DeleteRecordsBefore(int64_t offset) {
    Administer([this, offset](rd_kafka_t* client, rd_kafka_queue_t* queue) {
      PartitionListPtr list(rd_kafka_topic_partition_list_new(1));
      rd_kafka_topic_partition_list_add(list.get(), topic_.c_str(), 0)->offset = offset;
      rd_kafka_DeleteRecords_t* records = rd_kafka_DeleteRecords_new(list.get());
      rd_kafka_DeleteRecords(client, &records, 1, nullptr, queue);
      rd_kafka_DeleteRecords_destroy(records);
    });
  }

  std::unique_ptr<KafkaSource> Join(std::string instance = "a", int session_timeout_ms = 6'000,
                                    bool leave = false) {
    SourceOptions options;
    options.connection = connection_;
    options.group = topic_;
    options.instance = std::move(instance);
    options.leave = leave;
    options.topics = {topic_};
    options.session_timeout_ms = session_timeout_ms;
    auto source = KafkaSource::Create(options);
    EXPECT_TRUE(source.ok()) << source.status();
    absl::Status started = (*source)->Start();
    EXPECT_TRUE(started.ok()) << started;
    return *std::move(source);
  }
  template <typename Wanted>
  std::optional<Wanted> Await(KafkaSource& source, size_t records_max = 100) {
    for (int i = 0; i < 1'500; ++i) {
      stream::SourceEvent event = source.Poll(records_max, milliseconds(20));
      if (std::holds_alternative<Wanted>(event)) return std::get<Wanted>(event);
      if (std::holds_alternative<stream::Revoked>(event)) source.Acknowledge();
    }
    return std::nullopt;
  }
  PartitionSnapshot Snapshot(KafkaSource& source, size_t records_max,
                             const std::function<bool(const PartitionSnapshot&)>& wanted) {
    PartitionSnapshot last;
    for (int i = 0; i < 1'500; ++i) {
      source.Poll(records_max, milliseconds(10));
      SourceSnapshot snapshot = source.snapshot();
      if (snapshot.partitions.empty()) continue;
      last = snapshot.partitions[0];
      if (wanted(last)) return last;
    }
    return last;
  }
  std::unique_ptr<KafkaTransaction> Transact(const GroupMember& member, std::string id,
                                             std::vector<std::string> topics) {
    auto transaction = KafkaTransaction::Create(
        {.connection = connection_, .transactional_id = std::move(id), .topics = std::move(topics)},
        member);
    EXPECT_TRUE(transaction.ok()) << transaction.status();
    stream::Result result;
    for (int i = 0; i < 20; ++i) {
      result = (*transaction)->Recreate();
      if (result.ok()) break;
    }
    EXPECT_TRUE(result.ok()) << result.text;
    return *std::move(transaction);
  }

  std::string topic_;
  ConnectionOptions connection_;
  std::unique_ptr<Admin> admin_;
};

TEST_F(SourceKafkaTest, ALogWithoutItsHeadIsReadAgainOnceTheGroupsOffsetIsSet) {
  Write(10);
  auto source = Join();
  ASSERT_TRUE(Await<stream::Records>(*source));
  source->Poll(0, milliseconds(10));
  // The group stands at 5; then what it would read next goes.
  auto transaction = Transact(*source, topic_, {topic_});
  auto commit = [&](int64_t offset) {
    ASSERT_TRUE(transaction->Begin().ok());
    stream::Position next{topic_, 0, offset};
    stream::Result sent = transaction->SendOffsets({&next, 1});
    ASSERT_TRUE(sent.ok()) << sent.text;
    ASSERT_TRUE(transaction->Commit().ok());
  };
  commit(5);
  Write(10);
  DeleteRecordsBefore(15);
  for (int round = 0; round < 2; ++round) {
    source->Rewind();
    auto unreadable = Await<stream::Unreadable>(*source);
    ASSERT_TRUE(unreadable) << round;
    EXPECT_TRUE(absl::IsDataLoss(unreadable->reason)) << unreadable->reason;
    EXPECT_THAT(std::string(unreadable->reason.message()), HasSubstr(topic_));
  }
  commit(15);
  source->Rewind();
  auto records = Await<stream::Records>(*source);
  ASSERT_TRUE(records);
  EXPECT_EQ(records->records[0].offset, 15);
}

// The one partition, after a rebalance that another member's joining or leaving begins.
TEST_F(SourceKafkaTest, AMemberThatLeavesDoesNotKeepTheGroupWaiting) {
  constexpr int kSession = 60'000;  // longer than this test waits
  Write(10);
  // One leaves that reads, and one that was given its partition a moment ago.
  auto reads = Join("a", kSession, /*leave=*/true);
  ASSERT_TRUE(Await<stream::Records>(*reads));
  reads->Leave();
  auto begins = Join("b", kSession, /*leave=*/true);
  auto assigned = Await<stream::Assigned>(*begins);
  ASSERT_TRUE(assigned) << "the group still waits for the one that read";
  EXPECT_EQ(assigned->partitions, 1u);
  begins->Leave();
  auto last = Join("c", kSession, /*leave=*/true);
  assigned = Await<stream::Assigned>(*last);
  ASSERT_TRUE(assigned) << "the group still waits for the one that had just begun";
  EXPECT_EQ(assigned->partitions, 1u);
}

// A process that is killed tells nobody. What stays behind of it must not be waited for when it is
// back, or replicas that die again and again stop all others.
TEST_F(SourceKafkaTest, AMemberThatComesBackUnderItsNameDisturbsNobody) {
  constexpr int kSession = 60'000;
  auto dead = Join("a", kSession, /*leave=*/true);
  ASSERT_TRUE(Await<stream::Assigned>(*dead));
  auto healthy = Join("b", kSession, /*leave=*/true);
  std::optional<size_t> of_dead, of_healthy;
  for (int i = 0; i < 1'500 && (!of_dead || !of_healthy); ++i) {
    for (auto [source, count] : {std::pair(dead.get(), &of_dead), {healthy.get(), &of_healthy}}) {
      stream::SourceEvent event = source->Poll(0, milliseconds(10));
      if (std::holds_alternative<stream::Revoked>(event)) {
        source->Acknowledge();
        count->reset();
      }
      if (auto* assigned = std::get_if<stream::Assigned>(&event)) *count = assigned->partitions;
    }
  }
  ASSERT_TRUE(of_dead && of_healthy);
  ASSERT_EQ(*of_dead + *of_healthy, 1u);
  for (int round = 0; round < 3; ++round) {
    auto back = Join("a", kSession, /*leave=*/true);
    std::optional<size_t> partitions;
    for (int i = 0; i < 1'500 && !partitions; ++i) {
      stream::SourceEvent event = back->Poll(0, milliseconds(10));
      if (auto* assigned = std::get_if<stream::Assigned>(&event)) partitions = assigned->partitions;
      EXPECT_FALSE(std::holds_alternative<stream::Revoked>(healthy->Poll(0, milliseconds(10))));
    }
    ASSERT_TRUE(partitions) << "round " << round << ": it waits for its own ghost";
    EXPECT_EQ(*partitions, *of_dead);
    dead = std::move(back);
  }
}

TEST_F(SourceKafkaTest, ATopicThatIsDeletedAndMadeAgainIsAnother) {
  Write(10);
  auto source = Join();
  ASSERT_TRUE(Await<stream::Records>(*source));
  Snapshot(*source, 100, [&](const auto&) { return !source->topic_id(topic_).empty(); });
  std::string id = source->topic_id(topic_);
  ASSERT_NE(id, "");
  Delete();
  Make(topic_);
  Write(25);
  auto unreadable = Await<stream::Unreadable>(*source);
  ASSERT_TRUE(unreadable);
  EXPECT_THAT(std::string(unreadable->reason.message()),
              testing::AnyOf(HasSubstr("made again"), HasSubstr("deleted"),
                             HasSubstr("Unknown topic"), HasSubstr("no longer holds")));
  EXPECT_EQ(source->topic_id(topic_), id) << "accepted by a rewind only";
}

TEST_F(SourceKafkaTest, ATopicThatIsDeletedIsSaid) {
  Write(10);
  auto source = Join();
  ASSERT_TRUE(Await<stream::Records>(*source));
  Delete();
  auto unreadable = Await<stream::Unreadable>(*source);
  ASSERT_TRUE(unreadable);
  EXPECT_TRUE(absl::IsNotFound(unreadable->reason)) << unreadable->reason;
}

TEST_F(SourceKafkaTest, WhatIsBehindAnothersOpenTransactionIsLagAndTheTransactionIsShown) {
  auto source = Join();
  auto foreign = Transact(*source, topic_ + "-foreign", {topic_});
  ASSERT_TRUE(foreign->Begin().ok());
  ASSERT_TRUE(foreign->Produce({.value = "open"}).ok());
  Snapshot(*source, 100, [](const auto& at) { return at.lag_records == 1; });
  Write(10);
  PartitionSnapshot shown =
      Snapshot(*source, 100, [](const auto& at) { return at.lag_records == 11; });
  EXPECT_EQ(shown.lag_records, 11);
  EXPECT_EQ(shown.lag_stable_records, 0);
  EXPECT_EQ(shown.blocked_offset, 0);
  EXPECT_GE(shown.blocked_since_ms, 0);
  ASSERT_TRUE(foreign->Abort().ok());
  shown = Snapshot(*source, 100, [](const auto& at) { return at.lag_records == 0; });
  EXPECT_EQ(shown.lag_records, 0);
  EXPECT_EQ(shown.blocked_since_ms, -1);
}

TEST_F(SourceKafkaTest, TheLagOfAPartitionThatWasNeverReadIsWhatItHolds) {
  Write(500);
  auto source = Join();
  PartitionSnapshot shown =
      Snapshot(*source, 0, [](const auto& at) { return at.lag_records == 500; });
  EXPECT_EQ(shown.lag_records, 500);
}

TEST_F(SourceKafkaTest, ATimestampThatTheTopicDoesNotTakeIsARefusedRecord) {
  Make(topic_ + ".out", {{"message.timestamp.after.max.ms", "3600000"}});
  auto source = Join();
  ASSERT_TRUE(Await<stream::Assigned>(*source));
  auto transaction = Transact(*source, topic_, {topic_, topic_ + ".out"});
  ASSERT_TRUE(transaction->Begin().ok());
  stream::OutputRecord record{.topic = 1, .value = "v", .timestamp_ms = 4'000'000'000'000};
  ASSERT_TRUE(transaction->Produce(record).ok());
  stream::Position next{topic_, 0, 1};
  stream::Result result = transaction->SendOffsets({&next, 1});
  if (result.ok()) result = transaction->Commit();
  EXPECT_EQ(result.verdict, stream::Verdict::kRefused) << result.text;
  EXPECT_EQ(result.topic, 1u);
  EXPECT_THAT(result.text, HasSubstr(topic_ + ".out"));
  EXPECT_TRUE(transaction->Abort().ok());
}

}  // namespace
}  // namespace sluice::kafka
