// A topic behind a network that fails: a read is the topic's rows, or none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/base/strings.h"
#include "common/kafka/admin.h"
#include "common/kafka/writer.h"
#include "common/reference/testing.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/kafka_proxy.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using namespace std::chrono_literals;
using test_support::KafkaProxy;

constexpr int16_t kFetch = 1, kListOffsets = 2, kMetadata = 3;
constexpr int kRows = 2000;

class TopicFaultsKafkaTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto proxy = KafkaProxy::Create({});
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    proxy_ = std::move(*proxy).release();
    auto broker = test_support::KafkaBroker::Create({.advertised_port = proxy_->port()});
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = std::move(*broker).release();
    ASSERT_EQ(broker_->Start(), absl::OkStatus());
    proxy_->SetUpstream(broker_->port());
    kafka::ConnectionOptions direct;
    direct.brokers = {broker_->direct()};
    ASSERT_EQ((*kafka::Admin::Create(direct))
                  ->CreateTopics(std::vector<kafka::NewTopic>{
                      {"units", 3, 1, {{"cleanup.policy", "compact"}}}}),
              absl::OkStatus());
    auto writer = kafka::TopicWriter::Create({direct});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < kRows; ++i) {
      std::string key = base::StrCat(i);
      ASSERT_EQ((*writer)->Write(
                    {"units",
                     std::nullopt,
                     key,
                     base::StrCat("{\"unit\":", i, ",\"name\":\"", std::string(500, 'x'), "\"}"),
                     {},
                     {}}),
                absl::OkStatus());
    }
    ASSERT_EQ((*writer)->Flush(), absl::OkStatus());
  }
  static void TearDownTestSuite() {
    delete broker_;
    delete proxy_;
  }
  void SetUp() override {
    connection_.brokers = {broker_->bootstrap()};
    auto rows = Source()->Read();
    ASSERT_TRUE(rows.ok()) << rows.status();
    ASSERT_EQ((*rows)->size(), static_cast<size_t>(kRows));
    id_ = (*rows)->id();
  }
  std::unique_ptr<reference::Source> Source() {
    return SourceFromText(
        "name: 'units' topic {name: 'units'} schema {columns {name: 'unit' type: integer} columns "
        "{name: 'name'} key {column: 'unit'}}",
        connection_);
  }
  // The rows as they are, or that they can't be had now; nothing else. Whether they were.
  bool ReadsAllOrNothing(reference::Source& source) {
    auto rows = source.Read();
    if (rows.ok()) {
      EXPECT_EQ((*rows)->id(), id_);
    } else {
      EXPECT_TRUE(absl::IsUnavailable(rows.status())) << rows.status();
    }
    return rows.ok();
  }

  static KafkaProxy* proxy_;
  static test_support::KafkaBroker* broker_;
  kafka::ConnectionOptions connection_;
  std::string id_;
};

KafkaProxy* TopicFaultsKafkaTest::proxy_ = nullptr;
test_support::KafkaBroker* TopicFaultsKafkaTest::broker_ = nullptr;

TEST_F(TopicFaultsKafkaTest, ARequestThatIsCutOrDelayedIsAllTheRowsOrNone) {
  for (int16_t api_key : {kMetadata, kListOffsets, kFetch}) {
    for (int skip : {0, 1, 3}) {
      KafkaProxy::Rule* cut = proxy_->Cut({.api_key = api_key, .skip = skip});
      auto source = Source();
      ReadsAllOrNothing(*source);
      cut->Disable();
      EXPECT_TRUE(ReadsAllOrNothing(*source)) << api_key << " " << skip;
    }
    KafkaProxy::Rule* late = proxy_->Delay({.api_key = api_key}, 500ms);
    EXPECT_TRUE(ReadsAllOrNothing(*Source())) << api_key;
    late->Disable();
  }
}

TEST_F(TopicFaultsKafkaTest, AConnectionThatIsHalfOpenIsGivenUp) {
  KafkaProxy::Rule* gone = proxy_->Blackhole({.api_key = kMetadata});
  auto source = Source();
  const auto began = std::chrono::steady_clock::now();
  EXPECT_FALSE(ReadsAllOrNothing(*source));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
  EXPECT_TRUE(gone->WaitUntilMatched(0ms));
  gone->Disable();
  EXPECT_TRUE(ReadsAllOrNothing(*source));
}

TEST_F(TopicFaultsKafkaTest, ABrokerThatIsKilledWhileItIsReadIsReadAgain) {
  auto source = Source();
  KafkaProxy::Rule* held = proxy_->Hold({.api_key = kFetch, .skip = 1});
  auto reading = std::async(std::launch::async, [&] { return ReadsAllOrNothing(*source); });
  ASSERT_TRUE(held->WaitUntilMatched(20s));
  broker_->Kill();
  held->Disable();
  EXPECT_FALSE(reading.get());
  ASSERT_EQ(broker_->Restart(), absl::OkStatus());
  EXPECT_TRUE(test_support::WaitUntil(30s, [&] { return ReadsAllOrNothing(*source); }));
}

}  // namespace
}  // namespace sluice::reference
