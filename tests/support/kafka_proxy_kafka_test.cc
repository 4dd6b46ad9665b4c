// The proxy between librdkafka and a real broker: what the late-request tests stand on.
#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/kafka_proxy.h"
#include "tests/support/shared_broker.h"

namespace sluice::test_support {
namespace {

constexpr int kInvalidProducerEpoch = 47;
constexpr std::chrono::seconds kSoon(30);

struct DestroyClient {
  void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
};
using Producer = std::unique_ptr<rd_kafka_t, DestroyClient>;

::testing::AssertionResult Ok(rd_kafka_error_t* error) {
  if (error == nullptr) return ::testing::AssertionSuccess();
  const std::string text = rd_kafka_error_string(error);
  rd_kafka_error_destroy(error);
  return ::testing::AssertionFailure() << text;
}

class KafkaProxyKafkaTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    proxy_ = *KafkaProxy::Create({});
    auto broker = KafkaBroker::Create(
        {.advertised_port = proxy_->port(), .properties = {{"auto.create.topics.enable", "true"}}});
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    ASSERT_EQ(broker_->Start(), absl::OkStatus());
    proxy_->SetUpstream(broker_->port());
  }
  static void TearDownTestSuite() {
    broker_.reset();
    proxy_.reset();
  }

  Producer NewProducer() const {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", broker_->bootstrap().c_str(), nullptr, 0);
    rd_kafka_conf_set(conf, "client.id", name_.c_str(), nullptr, 0);
    rd_kafka_conf_set(conf, "transactional.id", name_.c_str(), nullptr, 0);
    rd_kafka_conf_set(conf, "log_level", "2", nullptr, 0);
    Producer producer(rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0));
    EXPECT_TRUE(Ok(rd_kafka_init_transactions(producer.get(), 30'000)));
    return producer;
  }

  // Begins a transaction and has the broker acknowledge a record of it.
  void ProduceOne(rd_kafka_t* producer) const {
    ASSERT_TRUE(Ok(rd_kafka_begin_transaction(producer)));
    ASSERT_EQ(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("out"), RD_KAFKA_V_PARTITION(0),
                                RD_KAFKA_V_VALUE(const_cast<char*>("value"), 5),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
    ASSERT_EQ(rd_kafka_flush(producer, 30'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  }

  void CommitOne(rd_kafka_t* producer) const {
    ASSERT_NO_FATAL_FAILURE(ProduceOne(producer));
    ASSERT_TRUE(Ok(rd_kafka_commit_transaction(producer, 30'000)));
  }

  std::vector<KafkaProxy::LoggedRequest> Requests(int16_t api_key) const {
    std::vector<KafkaProxy::LoggedRequest> found;
    for (auto& request : proxy_->requests()) {
      if (request.api_key == api_key && request.client_id == name_) found.push_back(request);
    }
    return found;
  }

  static std::unique_ptr<KafkaProxy> proxy_;
  static std::unique_ptr<KafkaBroker> broker_;
  const std::string name_ = UniqueName("producer");
};
std::unique_ptr<KafkaProxy> KafkaProxyKafkaTest::proxy_;
std::unique_ptr<KafkaBroker> KafkaProxyKafkaTest::broker_;

TEST_F(KafkaProxyKafkaTest, ATransactionPassesAndItsRequestsAreUnderstood) {
  Producer producer = NewProducer();
  CommitOne(producer.get());
  for (const int16_t api : {kInitProducerId, kAddPartitionsToTxn, kProduce, kEndTxn}) {
    const auto requests = Requests(api);
    ASSERT_FALSE(requests.empty()) << "api " << api;
    EXPECT_EQ(requests.back().transactional_id, name_);
    EXPECT_EQ(requests.back().error, 0) << "api " << api;
  }
  EXPECT_EQ(Requests(kEndTxn).back().committed, true);
  EXPECT_EQ(Requests(kEndTxn).back().producer_epoch, Requests(kProduce).back().producer_epoch);
  EXPECT_EQ(Requests(kProduce).back().base_sequence, 0);
}

TEST_F(KafkaProxyKafkaTest, ALateEndTxnOfTheSameEpochEndsTheNextTransaction) {
  Producer producer = NewProducer();
  auto* late = proxy_->HoldCut({.api_key = kEndTxn, .client_id_prefix = name_});
  CommitOne(producer.get());  // by a retry on another connection, of which no call tells
  ASSERT_EQ(Requests(kEndTxn).size(), 2u);
  EXPECT_EQ(Requests(kEndTxn)[0].fate, KafkaProxy::Fate::kHeld);
  ProduceOne(producer.get());
  late->Release();
  const auto answer = late->WaitUntilAnswered(kSoon);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, 0);
}

TEST_F(KafkaProxyKafkaTest, ALateEndTxnOfAnOldEpochIsFenced) {
  Producer producer = NewProducer();
  auto* late = proxy_->HoldCut({.api_key = kEndTxn, .client_id_prefix = name_});
  CommitOne(producer.get());
  producer.reset();
  producer = NewProducer();
  late->Release();
  const auto answer = late->WaitUntilAnswered(kSoon);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, kInvalidProducerEpoch);
  CommitOne(producer.get());
}

}  // namespace
}  // namespace sluice::test_support
