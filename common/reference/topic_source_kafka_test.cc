// A compacted topic on a real Kafka.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "common/reference/set_loader.h"
#include "common/reference/testing.h"
#include "common/reference/topic_source.h"
#include "tests/support/delete_topic.h"
#include "tests/support/shared_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using ::testing::HasSubstr;

class TopicSourceKafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_.brokers = {test_support::SharedBroker().bootstrap()};
    topic_ = test_support::UniqueName("units");
    CreateTopic();
    auto writer = kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }
  void CreateTopic(int partitions = 2) {
    ASSERT_EQ((*kafka::Admin::Create(connection_))
                  ->CreateTopics(std::vector<kafka::NewTopic>{
                      {topic_, partitions, 1, {{"cleanup.policy", policy_}}}}),
              absl::OkStatus());
  }
  void Write(std::optional<std::string_view> key, std::optional<std::string_view> value,
             std::optional<int32_t> partition = std::nullopt) {
    ASSERT_EQ(writer_->Write({topic_, partition, key, value, {}, {}}), absl::OkStatus());
    ASSERT_EQ(writer_->Flush(), absl::OkStatus());
  }
  // Another topic under the same name.
  void CreateAgain() {
    auto admin = kafka::Admin::Create(connection_);
    ASSERT_TRUE(admin.ok()) << admin.status();
    const std::string before = *(*admin)->TopicId(topic_);
    EXPECT_FALSE(before.empty());
    ASSERT_EQ(test_support::DeleteTopic(connection_.brokers[0], topic_), absl::OkStatus());
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
      return (*kafka::Admin::Create(connection_))
          ->CreateTopics(
              std::vector<kafka::NewTopic>{{topic_, 2, 1, {{"cleanup.policy", policy_}}}})
          .ok();
    }));
    // The brokers hear of it one after the other.
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(30), [&] {
      auto id = (*kafka::Admin::Create(connection_))->TopicId(topic_);
      return id.ok() && *id != before;
    }));
    // A writer knows a topic's partitions by their leaders' epochs.
    auto writer = kafka::TopicWriter::Create({connection_});
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }
  std::string Set() const {
    return base::StrCat(
        "name: 'units' topic {name: '", topic_,
        "'} schema {columns {name: 'unit'} columns {name: 'name'} key {column: 'unit'}}");
  }
  static std::string IdOf(std::string_view lines) {
    return (*enrichment::RowsFromText(
                "columns {name: 'unit'} columns {name: 'name'} key {column: 'unit'}",
                base::StrCat("unit,name\n", lines)))
        ->id();
  }
  size_t Rows(Source& source) {
    auto rows = source.Read();
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? (*rows)->size() : 0;
  }

  kafka::ConnectionOptions connection_;
  std::string topic_, policy_ = "compact";
  std::unique_ptr<kafka::TopicWriter> writer_;
};

TEST_F(TopicSourceKafkaTest, EachKeysLastValueIsItsRowAndNoValueTakesItAway) {
  base::ManualClock clock;
  SetLoader loader(SetFromText(Set()), SourceFromText(Set(), connection_), clock);
  Write("a", R"({"unit":"A","name":"One"})");
  Write("b", "{\"unit\":\"B\",\n\"name\":\"Two\"}");
  auto first = loader.Look(false);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_NE(*first, nullptr);
  EXPECT_EQ((*first)->size(), 2u);
  EXPECT_EQ(*loader.Look(false), nullptr) << "nothing is new";
  Write("a", R"({"unit":"A","name":"Uno"})");
  auto changed = loader.Look(false);
  ASSERT_TRUE(changed.ok() && *changed != nullptr) << changed.status();
  EXPECT_EQ((*changed)->size(), 2u);
  EXPECT_NE((*changed)->id(), (*first)->id());
  Write("a", std::nullopt);
  auto gone = loader.Look(false);
  ASSERT_TRUE(gone.ok() && *gone != nullptr) << gone.status();
  EXPECT_EQ((*gone)->size(), 1u);
}

TEST_F(TopicSourceKafkaTest, ARecordThatIsNoRowIsNamedByItsOffset) {
  auto source = SourceFromText(Set(), connection_);
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr("there are no rows"));
  Write("a", "canary");
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr(topic_ + "/"));
  Write("a", R"({"unit":"A","name":null} {"unit":"B"})");
  EXPECT_FALSE(source->Read().ok());
  Write("a", " ");
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr("isn't one JSON object"));
  Write("a", R"({"unit":"A"})");
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr(topic_ + ": no row has 'name'"));
  Write("a", R"({"unit":"A","name":"One"})");
  EXPECT_EQ(Rows(*source), 1u);
}

TEST_F(TopicSourceKafkaTest, ATopicThatIsMadeAgainIsReadAloneAndFromItsBeginning) {
  base::ManualClock clock;
  SetLoader loader(SetFromText(Set()), SourceFromText(Set(), connection_), clock);
  Write("a", R"({"unit":"A","name":"One"})");
  Write("b", R"({"unit":"B","name":"Two"})");
  ASSERT_NE(*loader.Look(false), nullptr);
  CreateAgain();
  // As many records as before, so that nothing but the topic's id is another.
  Write("a", R"({"unit":"A","name":"new One"})");
  Write("b", R"({"unit":"E","name":"Fifth"})");
  auto again = loader.Look(false);
  ASSERT_TRUE(again.ok() && *again != nullptr) << again.status();
  EXPECT_EQ((*again)->id(), IdOf("A,new One\nE,Fifth\n"));
}

TEST_F(TopicSourceKafkaTest, AKeyWithRowsOnTwoPartitionsIsRefusedUntilOneIsTakenAway) {
  auto source = SourceFromText(Set(), connection_);
  Write("a", R"({"unit":"A","name":"One"})", 0);
  Write("b", R"({"unit":"B","name":"Two"})", 0);
  EXPECT_EQ(Rows(*source), 2u);
  Write("b", R"({"unit":"B","name":"Due"})", 1);
  EXPECT_THAT(source->Read().status().ToString(),
              HasSubstr(base::StrCat("one key has a row on two partitions, in the records ", topic_,
                                     "/0/1 and ", topic_, "/1/0")));
  // Also to whoever reads it for the first time.
  EXPECT_FALSE(SourceFromText(Set(), connection_)->Read().ok());
  Write("b", std::nullopt, 0);
  auto repaired = source->Read();
  ASSERT_TRUE(repaired.ok()) << repaired.status();
  EXPECT_EQ((*repaired)->id(), IdOf("A,One\nB,Due\n"));
  auto fresh = SourceFromText(Set(), connection_)->Read();
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_EQ((*fresh)->id(), (*repaired)->id());
  Write("a", R"({"unit":"A","name":"Uno"})", 1);
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr("one key has a row on two partitions"));
}

TEST_F(TopicSourceKafkaTest, AKeyThatIsTakenAwayOnBothPartitionsIsWrittenAgainOnOne) {
  auto source = SourceFromText(Set(), connection_);
  Write("a", R"({"unit":"A","name":"One"})", 0);
  Write("a", R"({"unit":"A","name":"Uno"})", 1);
  EXPECT_FALSE(source->Read().ok());
  Write("a", std::nullopt, 0);
  Write("a", std::nullopt, 1);
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr("there are no rows"));
  Write("a", R"({"unit":"A","name":"Again"})", 1);
  auto fresh = SourceFromText(Set(), connection_);
  for (Source* each : {source.get(), fresh.get()}) {
    auto rows = each->Read();
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_EQ((*rows)->id(), IdOf("A,Again\n"));
  }
}

TEST_F(TopicSourceKafkaTest, TombstonesOnOtherPartitionsLeaveARowAsItIs) {
  topic_ += ".three";
  CreateTopic(3);
  Write("a", R"({"unit":"A","name":"One"})", 0);
  Write("b", R"({"unit":"B","name":"Two"})", 0);
  Write("k", std::nullopt, 0);
  Write("k", R"({"unit":"K","name":"Eleven"})", 1);
  Write("k", std::nullopt, 2);
  auto rows = SourceFromText(Set(), connection_)->Read();
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->id(), IdOf("A,One\nB,Two\nK,Eleven\n"));
}

TEST_F(TopicSourceKafkaTest, ARecordWithoutAKeyIsRefusedByName) {
  topic_ += ".keyless";
  policy_ = "delete";
  CreateTopic();
  Write(std::nullopt, R"({"unit":"A","name":"One"})", 1);
  EXPECT_THAT(SourceFromText(Set(), connection_)->Read().status().ToString(),
              HasSubstr(base::StrCat("the record ", topic_, "/1/0 has no key")));
}

TEST_F(TopicSourceKafkaTest, JsonsNullTakesARowAway) {
  auto source = SourceFromText(Set(), connection_);
  Write("a", R"({"unit":"A","name":"One"})");
  Write("b", R"({"unit":"B","name":"Two"})");
  EXPECT_EQ(Rows(*source), 2u);
  Write("b", " null\n");
  EXPECT_EQ(Rows(*source), 1u);
}

TEST_F(TopicSourceKafkaTest, ATopicThatIsNotThereIsSaidToBe) {
  topic_ += ".absent";
  EXPECT_TRUE(absl::IsNotFound(SourceFromText(Set(), connection_)->Mark().status()));
}

}  // namespace
}  // namespace sluice::reference
