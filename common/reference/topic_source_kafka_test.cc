// A compacted topic on a real Kafka.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "common/reference/set_loader.h"
#include "common/reference/testing.h"
#include "common/reference/topic_source.h"
#include "tests/support/shared_broker.h"

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
  void CreateTopic() {
    ASSERT_EQ((*kafka::Admin::Create(connection_))
                  ->CreateTopics(std::vector<kafka::NewTopic>{
                      {topic_, 2, 1, {{"cleanup.policy", "compact"}}}}),
              absl::OkStatus());
  }
  void Write(std::string_view key, std::optional<std::string_view> value) {
    ASSERT_EQ(writer_->Write({topic_, std::nullopt, key, value, {}, {}}), absl::OkStatus());
    ASSERT_EQ(writer_->Flush(), absl::OkStatus());
  }
  std::string Set() const {
    return base::StrCat(
        "name: 'units' topic {name: '", topic_,
        "'} schema {columns {name: 'unit'} columns {name: 'name'} key {column: 'unit'}}");
  }
  size_t Rows(Source& source) {
    auto rows = source.Read();
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? (*rows)->size() : 0;
  }

  kafka::ConnectionOptions connection_;
  std::string topic_;
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
  Write("a", R"({"unit":"A"} {"unit":"B"})");
  EXPECT_FALSE(source->Read().ok());
  Write("a", " ");
  EXPECT_THAT(source->Read().status().ToString(), HasSubstr("isn't one JSON object"));
  Write("a", R"({"unit":"A"})");
  EXPECT_EQ(Rows(*source), 1u);
}

TEST_F(TopicSourceKafkaTest, ATopicThatIsNotThereIsSaidToBe) {
  topic_ += ".absent";
  EXPECT_TRUE(absl::IsNotFound(SourceFromText(Set(), connection_)->Mark().status()));
}

}  // namespace
}  // namespace sluice::reference
