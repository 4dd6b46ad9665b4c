// A topic behind a network that fails: a read is the topic's rows, or none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <random>

#include "common/base/strings.h"
#include "common/enrichment/testing.h"
#include "common/kafka/admin.h"
#include "common/kafka/batch_writer.h"
#include "common/kafka/writer.h"
#include "common/reference/testing.h"
#include "tests/support/delete_topic.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/kafka_proxy.h"
#include "tests/support/wait_until.h"

namespace sluice::reference {
namespace {

using namespace std::chrono_literals;
using test_support::KafkaProxy;

using test_support::kEndTxn;
using test_support::kFetch;
using test_support::kMetadata;
constexpr int16_t kListOffsets = 2;
constexpr int kRows = 2000;
constexpr const char* kColumns =
    "columns {name: 'unit' type: integer} columns {name: 'name'} key {column: 'unit'}";

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
    ASSERT_EQ(CreateTopic("units"), absl::OkStatus());
    // Texts that no compression makes small: a fetch has many bytes.
    std::mt19937 random(3);
    std::vector<std::string> names(kRows, std::string(500, ' '));
    for (std::string& name : names)
      for (char& c : name) c = static_cast<char>('a' + random() % 26);
    Write("units", names);
  }
  static kafka::ConnectionOptions Direct() {
    kafka::ConnectionOptions direct;
    direct.brokers = {broker_->direct()};
    return direct;
  }
  static absl::Status CreateTopic(const std::string& topic) {
    return (*kafka::Admin::Create(Direct()))
        ->CreateTopics(
            std::vector<kafka::NewTopic>{{topic, 3, 1, {{"cleanup.policy", "compact"}}}});
  }
  static std::string Value(size_t unit, const std::string& name) {
    return base::StrCat("{\"unit\":", unit, ",\"name\":\"", name, "\"}");
  }
  // Past the proxy; a unit for each name.
  static void Write(const std::string& topic, const std::vector<std::string>& names) {
    auto writer = kafka::TopicWriter::Create({Direct()});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string key = base::StrCat(i);
      ASSERT_EQ((*writer)->Write({topic, std::nullopt, key, Value(i, names[i]), {}, {}}),
                absl::OkStatus());
    }
    ASSERT_EQ((*writer)->Flush(), absl::OkStatus());
  }
  static std::string IdOf(const std::vector<std::string>& names) {
    std::string csv = "unit,name\n";
    for (size_t i = 0; i < names.size(); ++i) base::StrAppend(csv, i, ",", names[i], "\n");
    return (*enrichment::RowsFromText(kColumns, csv))->id();
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
  std::unique_ptr<reference::Source> Source(const std::string& topic = "units") {
    return SourceFromText(
        base::StrCat("name: 'units' topic {name: '", topic, "'} schema {", kColumns, "}"),
        connection_);
  }
  size_t Fetches() const {
    size_t fetches = 0;
    for (const auto& request : proxy_->requests()) fetches += request.api_key == kFetch;
    return fetches;
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
  for (int16_t api_key : std::initializer_list<int16_t>{kMetadata, kListOffsets, kFetch}) {
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

TEST_F(TopicFaultsKafkaTest, ACutInTheMiddleOfAFetchIsAllTheRowsOrNone) {
  // So slow that it comes into the midst of an answer.
  proxy_->SetLink({.bytes_per_second = 1'000'000});
  for (int i = 0; i < 4; ++i) {
    auto source = Source();
    const size_t before = Fetches();
    auto reading = std::async(std::launch::async, [&] { return ReadsAllOrNothing(*source); });
    EXPECT_TRUE(test_support::WaitUntil(
        20s, [&] { return Fetches() > before + static_cast<size_t>(i) / 2; }));
    proxy_->ResetConnections();
    reading.get();
  }
  proxy_->SetLink({});
  EXPECT_TRUE(ReadsAllOrNothing(*Source()));
}

TEST_F(TopicFaultsKafkaTest, ATopicThatIsMadeAgainWhileItIsReadIsNeverMixed) {
  const std::string topic = "moving";
  const std::vector<std::string> names(300, "of the first"), others(200, "of the second");
  ASSERT_EQ(CreateTopic(topic), absl::OkStatus());
  Write(topic, names);
  for (bool read_before : {true, false}) {
    SCOPED_TRACE(read_before);
    auto source = Source(topic);
    auto rows = source->Read();
    ASSERT_TRUE(rows.ok()) << rows.status();
    // What was read before is held on to, and so is what is read now.
    if (!read_before) source = Source(topic);
    Write(topic, names);
    KafkaProxy::Rule* held = proxy_->Hold({.api_key = kFetch});
    auto reading = std::async(std::launch::async, [&] { return source->Read(); });
    EXPECT_TRUE(held->WaitUntilMatched(20s));
    const std::string before = *(*kafka::Admin::Create(Direct()))->TopicId(topic);
    ASSERT_EQ(test_support::DeleteTopic(broker_->direct(), topic), absl::OkStatus());
    ASSERT_TRUE(test_support::WaitUntil(30s, [&] { return CreateTopic(topic).ok(); }));
    ASSERT_TRUE(test_support::WaitUntil(30s, [&] {
      auto id = (*kafka::Admin::Create(Direct()))->TopicId(topic);
      return id.ok() && *id != before;
    }));
    Write(topic, others);
    held->Release();
    held->Disable();
    rows = reading.get();
    if (rows.ok()) {
      EXPECT_EQ((*rows)->id(), IdOf(others));
    } else {
      EXPECT_TRUE(absl::IsUnavailable(rows.status())) << rows.status();
    }
    rows = absl::UnavailableError("");
    ASSERT_TRUE(test_support::WaitUntil(30s, [&] { return (rows = source->Read()).ok(); }))
        << rows.status();
    EXPECT_EQ((*rows)->id(), IdOf(others));
  }
}

TEST_F(TopicFaultsKafkaTest, RowsOfATransactionAreThereWithItsCommitOrNotAtAll) {
  const std::string topic = "together";
  const std::vector<std::string> names(100, "before"), others(100, "after");
  ASSERT_EQ(CreateTopic(topic), absl::OkStatus());
  Write(topic, names);
  auto source = Source(topic);
  auto writes = [&](const std::string& id) {
    kafka::BatchWriterOptions options;
    options.connection = connection_;
    options.transactional_id = id;
    options.topics = {topic};
    auto writer = kafka::BatchWriter::Create(std::move(options));
    EXPECT_TRUE(writer.ok()) << writer.status();
    std::vector<std::string> keys, values;
    for (size_t i = 0; i < others.size(); ++i) {
      keys.push_back(base::StrCat(i));
      values.push_back(Value(i, others[i]));
    }
    std::vector<stream::OutputRecord> records(others.size());
    for (size_t i = 0; i < records.size(); ++i) {
      records[i].key = keys[i];
      records[i].value = values[i];
    }
    return (*writer)->Write(records, std::nullopt);
  };
  auto has = [&](const std::vector<std::string>& wanted) {
    auto rows = source->Read();
    return rows.ok() && (*rows)->id() == IdOf(wanted);
  };
  ASSERT_TRUE(has(names));

  // Written, and neither committed nor aborted.
  KafkaProxy::Rule* held = proxy_->Hold({.api_key = kEndTxn});
  auto committing = std::async(std::launch::async, [&] { return writes("together"); });
  ASSERT_TRUE(held->WaitUntilMatched(20s));
  EXPECT_TRUE(has(names));
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] {
    auto rows = Source(topic)->Read();
    return rows.ok() && (*rows)->id() == IdOf(names);
  })) << "for one that reads it from its beginning too";
  held->Release();
  held->Disable();
  EXPECT_EQ(committing.get(), absl::OkStatus());
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return has(others); }));

  // A commit that is cut off, and made good.
  Write(topic, names);
  ASSERT_TRUE(has(names));
  KafkaProxy::Rule* cut = proxy_->Cut({.api_key = kEndTxn});
  EXPECT_EQ(writes("together"), absl::OkStatus());
  EXPECT_TRUE(cut->WaitUntilMatched(0ms));
  cut->Disable();
  EXPECT_TRUE(test_support::WaitUntil(20s, [&] { return has(others); }));
}

}  // namespace
}  // namespace sluice::reference
