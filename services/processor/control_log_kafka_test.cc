// What is read of a control topic on a real Kafka, and which topics aren't trusted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "common/kafka/writer.h"
#include "services/processor/control_log.h"
#include "services/processor/control_view.h"
#include "tests/support/shared_broker.h"
#include "tests/support/wait_until.h"

namespace sluice::processor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ControlLogKafkaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    connection_.brokers = {test_support::SharedBroker().bootstrap()};
    admin_ = *kafka::Admin::Create(connection_);
    topic_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void MakeTopic(const std::string& name, int partitions = 1,
                 std::map<std::string, std::string> config = {{"retention.ms", "-1"}}) {
    kafka::NewTopic topic{name, partitions, 1, std::move(config)};
    ASSERT_EQ(admin_->CreateTopics({&topic, 1}), absl::OkStatus());
    ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(15),
                                        [&] { return admin_->LogEnds(name).ok(); }));
  }
  KafkaControlLog Log(const std::string& topic) const {
    KafkaControlLog::Options options;
    options.connection = connection_;
    options.topic = topic;
    options.group = "g";
    options.input = "raw";
    return KafkaControlLog(std::move(options));
  }
  void Write(const std::string& value) {
    auto writer = *kafka::TopicWriter::Create({connection_});
    ASSERT_EQ(writer->Write({topic_, 0, "key", value, {}, {}}), absl::OkStatus());
    ASSERT_EQ(writer->Flush(), absl::OkStatus());
  }
  void WritePin(int64_t offset, const std::string& id) {
    Pin pin{offset, 0, 0, std::make_shared<const VersionIds>(VersionIds{{"boroughs", id}})};
    Write(PinRecord("g", "raw", 0, pin).SerializeAsString());
  }
  void ExpectRefused(ControlLog& log, const std::string& why) {
    absl::Status read = log.ReadOn();
    EXPECT_TRUE(absl::IsDataLoss(read)) << read;
    EXPECT_THAT(std::string(read.message()), HasSubstr(why));
  }

  kafka::ConnectionOptions connection_;
  std::unique_ptr<kafka::Admin> admin_;
  std::string topic_;
};

TEST_F(ControlLogKafkaTest, ReadsOnFromWhereItWasAndAViewThatWasTakenStays) {
  MakeTopic(topic_);
  KafkaControlLog log = Log(topic_);
  ASSERT_EQ(log.ReadOn(), absl::OkStatus());
  EXPECT_THAT(log.view()->pins(0), IsEmpty());
  WritePin(0, "1");
  ASSERT_EQ(log.ReadOn(), absl::OkStatus());
  auto before = log.view();
  WritePin(7, "2");
  ASSERT_EQ(log.ReadOn(), absl::OkStatus());
  EXPECT_THAT(before->pins(0), SizeIs(1));
  ASSERT_THAT(log.view()->pins(0), SizeIs(2));
  EXPECT_EQ(log.view()->pins(0)[1].ids->at("boroughs"), "2");
}

TEST_F(ControlLogKafkaTest, ATopicThatCouldLosePinsIsRefusedUntilItIsMended) {
  const std::string two = topic_ + ".two", kept = topic_ + ".week", compact = topic_ + ".compact";
  MakeTopic(two, 2);
  MakeTopic(kept, 1, {{"retention.ms", "604800000"}});
  MakeTopic(compact, 1, {{"cleanup.policy", "compact"}, {"retention.ms", "-1"}});
  KafkaControlLog of_two = Log(two), of_kept = Log(kept), of_compact = Log(compact);
  ExpectRefused(of_two, "control topic " + two + ": has 2 partitions");
  ExpectRefused(of_kept, "has retention.ms=604800000: set it to -1");
  ExpectRefused(of_compact, "has cleanup.policy=compact: set it to delete");
  ASSERT_EQ(admin_->AlterTopic(kept, "retention.ms", "-1"), absl::OkStatus());
  EXPECT_TRUE(
      test_support::WaitUntil(std::chrono::seconds(15), [&] { return of_kept.ReadOn().ok(); }));
}

TEST_F(ControlLogKafkaTest, ARecordThatIsNoneAndATopicThatIsMissingAreErrorsAndTheViewStays) {
  KafkaControlLog missing = Log(topic_ + ".missing");
  absl::Status unread = missing.ReadOn();
  EXPECT_FALSE(unread.ok());
  EXPECT_FALSE(absl::IsDataLoss(unread)) << unread;
  MakeTopic(topic_);
  KafkaControlLog log = Log(topic_);
  WritePin(3, "1");
  ASSERT_EQ(log.ReadOn(), absl::OkStatus());
  WritePin(2, "2");
  ExpectRefused(log, "record 1 pins raw/0/2 although 3 is pinned");
  EXPECT_THAT(log.view()->pins(0), SizeIs(1));
}

TEST_F(ControlLogKafkaTest, BytesThatAreNoControlRecordAreRefusedByTheirOffset) {
  MakeTopic(topic_);
  Write("\xff\xff");
  KafkaControlLog log = Log(topic_);
  ExpectRefused(log, "record 0 isn't a control record");
}

}  // namespace
}  // namespace sluice::processor
