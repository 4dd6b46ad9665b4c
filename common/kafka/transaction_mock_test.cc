// What each failed request means, on librdkafka's in-process mock cluster. It proves nothing about
// exactly-once: it shows aborted records, drops transactional offsets and doesn't fence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "common/kafka/source.h"
#include "common/kafka/transaction.h"
#include "common/kafka/writer.h"
#include "common/stream/driver.h"

namespace sluice::kafka {

namespace {

// A mock cluster can't describe its configuration.
class MockFactory final : public ClientFactory {
 public:
  absl::StatusOr<std::unique_ptr<ConsumerClient>> MakeConsumer(
      const ConnectionOptions& connection, const Settings& settings,
      RebalanceListener& listener) override {
    return RdKafka().MakeConsumer(connection, settings, listener);
  }
  absl::StatusOr<std::unique_ptr<ProducerClient>> MakeProducer(
      const ConnectionOptions& connection, const Settings& settings,
      const std::vector<std::string>& topics) override {
    return RdKafka().MakeProducer(connection, settings, topics);
  }
  absl::StatusOr<std::vector<int64_t>> MessageBytesMax(
      const ConnectionOptions&, const std::vector<std::string>& topics) override {
    return std::vector<int64_t>(topics.size(), bytes_max);
  }

  int64_t bytes_max = 1'000'000;
};

using std::chrono::milliseconds;
using stream::Verdict;
using testing::HasSubstr;

constexpr int16_t kProduce = 0;
constexpr int16_t kInitProducerId = 22;
constexpr int16_t kAddPartitions = 24;
constexpr int16_t kAddOffsets = 25;
constexpr int16_t kEndTxn = 26;
constexpr int16_t kTxnOffsetCommit = 28;

class AnyMember final : public GroupMember {
 public:
  std::unique_ptr<GroupMetadata> group_metadata() const override {
    return MetadataOfNoMember("group");
  }
};

class TransactionMockTest : public testing::Test {
 protected:
  TransactionMockTest() {
    ConfPtr conf(rd_kafka_conf_new());
    char text[256];
    host_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf.release(), text, sizeof(text)));
    cluster_ = rd_kafka_mock_cluster_new(host_.get(), 3);
    rd_kafka_mock_group_initial_rebalance_delay_ms(cluster_, 0);
    rd_kafka_mock_topic_create(cluster_, "in", 2, 1);
    rd_kafka_mock_topic_create(cluster_, "out", 1, 1);
    for (int broker = 1; broker <= 3; ++broker) rd_kafka_mock_broker_set_rtt(cluster_, broker, 0);
    rd_kafka_mock_coordinator_set(cluster_, "transaction", "id", 1);
    rd_kafka_mock_coordinator_set(cluster_, "group", "group", 2);
    connection_.brokers = {rd_kafka_mock_cluster_bootstraps(cluster_)};
  }
  ~TransactionMockTest() override {
    transaction_.reset();
    rd_kafka_mock_cluster_destroy(cluster_);
  }

  TransactionOptions Options() {
    TransactionOptions options;
    options.connection = connection_;
    options.transactional_id = "id";
    options.topics = {"out"};
    options.transaction_timeout_ms = 4'000;
    return options;
  }

  void Make(const GroupMember& member) {
    transaction_.reset();
    auto transaction = KafkaTransaction::Create(Options(), member, factory_, clock_);
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    transaction_ = *std::move(transaction);
  }
  void Start() {
    Make(member_);
    stream::Result result = Recreate();
    ASSERT_TRUE(result.ok()) << result.text;
  }

  // As the driver: repeats a retriable call.
  template <typename Call>
  stream::Result Retry(Call call) {
    stream::Result result = call();
    for (int i = 0; i < 50 && result.verdict == Verdict::kRetry; ++i) result = call();
    return result;
  }
  stream::Result Recreate() {
    return Retry([this] { return transaction_->Recreate(); });
  }
  stream::Result BeginAndProduce() {
    stream::Result begun = transaction_->Begin();
    if (!begun.ok()) return begun;
    absl::Status produced = transaction_->Produce({.key = "k", .value = "v"});
    EXPECT_TRUE(produced.ok()) << produced;
    return {};
  }
  stream::Result SendOffsets() {
    std::vector<stream::Position> next = {{"in", 0, 1}};
    return Retry([&] { return transaction_->SendOffsets(next); });
  }
  stream::Result Commit() {
    return Retry([this] { return transaction_->Commit(); });
  }
  // A whole transaction; stops at the first call that fails.
  stream::Result Run() {
    for (auto call : {&TransactionMockTest::BeginAndProduce, &TransactionMockTest::SendOffsets,
                      &TransactionMockTest::Commit}) {
      stream::Result result = (this->*call)();
      if (!result.ok()) return result;
    }
    return {};
  }
  void Inject(int16_t api, rd_kafka_resp_err_t error) {
    rd_kafka_mock_push_request_errors(cluster_, api, 1, error);
  }

  ClientPtr host_;
  rd_kafka_mock_cluster_t* cluster_;
  ConnectionOptions connection_;
  AnyMember member_;
  base::SystemClock clock_;
  MockFactory factory_;
  std::unique_ptr<KafkaTransaction> transaction_;
};

TEST_F(TransactionMockTest, CommitsUntainted) {
  Start();
  for (int i = 0; i < 3; ++i) {
    stream::Result result = Run();
    EXPECT_TRUE(result.ok()) << result.text;
    EXPECT_FALSE(transaction_->tainted());
  }
}

// librdkafka's assertion ends the process when a producer ends as it sends this request.
TEST_F(TransactionMockTest, AProducerDoesntEndWhilePartitionsAreBeingAdded) {
  Start();
  rd_kafka_mock_start_request_tracking(cluster_);
  stream::Result begun = BeginAndProduce();
  ASSERT_TRUE(begun.ok()) << begun.text;
  transaction_.reset();
  size_t count = 0;
  rd_kafka_mock_request_t** requests = rd_kafka_mock_get_requests(cluster_, &count);
  EXPECT_TRUE(std::any_of(requests, requests + count, [](rd_kafka_mock_request_t* request) {
    return rd_kafka_mock_request_api_key(request) == kAddPartitions;
  }));
  rd_kafka_mock_request_destroy_array(requests, count);
}

TEST_F(TransactionMockTest, AnUnansweredTransactionalRequestTaintsAlthoughTheCallSucceeds) {
  for (int16_t api : {kAddPartitions, kAddOffsets, kEndTxn, kTxnOffsetCommit}) {
    SCOPED_TRACE(api);
    Start();
    Inject(api, RD_KAFKA_RESP_ERR__TRANSPORT);
    stream::Result result = Run();
    EXPECT_TRUE(result.ok()) << result.text;
    EXPECT_TRUE(transaction_->tainted());
  }
}

TEST_F(TransactionMockTest, ATimedOutEndOfATransactionTaints) {
  Start();
  ASSERT_TRUE(BeginAndProduce().ok());
  ASSERT_TRUE(SendOffsets().ok());
  rd_kafka_mock_broker_push_request_error_rtts(cluster_, 1, kEndTxn, 1, RD_KAFKA_RESP_ERR_NO_ERROR,
                                               3'000);
  stream::Result result = Commit();
  EXPECT_TRUE(transaction_->tainted()) << result.text;
}

TEST_F(TransactionMockTest, AnUnansweredProduceThatIsRepeatedDoesNotTaint) {
  Start();
  Inject(kProduce, RD_KAFKA_RESP_ERR__TRANSPORT);
  stream::Result result = Run();
  EXPECT_TRUE(result.ok()) << result.text;
  EXPECT_FALSE(transaction_->tainted());
}

TEST_F(TransactionMockTest, RecreateClearsTheTaintAndWorks) {
  Start();
  Inject(kEndTxn, RD_KAFKA_RESP_ERR__TRANSPORT);
  ASSERT_TRUE(Run().ok());
  ASSERT_TRUE(transaction_->tainted());
  ASSERT_TRUE(Recreate().ok());
  EXPECT_FALSE(transaction_->tainted());
  EXPECT_TRUE(Run().ok());
}

TEST_F(TransactionMockTest, WhatABrokerIsBusyWithIsRepeated) {
  Start();
  Inject(kAddOffsets, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
  Inject(kTxnOffsetCommit, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
  Inject(kEndTxn, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
  stream::Result result = Run();
  EXPECT_TRUE(result.ok()) << result.text;
  EXPECT_FALSE(transaction_->tainted());
}

TEST_F(TransactionMockTest, AStaleMemberAborts) {
  for (auto error : {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
                     RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID}) {
    SCOPED_TRACE(rd_kafka_err2name(error));
    Start();
    Inject(kTxnOffsetCommit, error);
    EXPECT_EQ(Run().verdict, Verdict::kAbort);
    EXPECT_TRUE(transaction_->Abort().ok());
  }
}

TEST_F(TransactionMockTest, AForbiddenGroupHalts) {
  Start();
  Inject(kTxnOffsetCommit, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
  EXPECT_EQ(Run().verdict, Verdict::kDenied);
}

// Also where the refusal overtakes the offsets' request, which fails with an error that names no
// cause.
TEST_F(TransactionMockTest, AForbiddenTopicHalts) {
  for (int i = 0; i < 5; ++i) {
    Start();
    Inject(kAddPartitions, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    stream::Result result = Run();
    EXPECT_EQ(result.verdict, Verdict::kDenied) << result.text;
    EXPECT_THAT(result.text, HasSubstr("Topic authorization failed"));
  }
}

TEST_F(TransactionMockTest, AFencedProducerIsToldApart) {
  for (auto error : {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, RD_KAFKA_RESP_ERR_PRODUCER_FENCED}) {
    SCOPED_TRACE(rd_kafka_err2name(error));
    Start();
    Inject(kEndTxn, error);
    stream::Result result = Run();
    EXPECT_EQ(result.verdict, Verdict::kFenced) << result.text;
  }
}

TEST_F(TransactionMockTest, AFatalEndIsRecoveredFromByANewProducer) {
  Start();
  Inject(kEndTxn, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE);
  stream::Result result = Run();
  EXPECT_EQ(result.verdict, Verdict::kRecreate) << result.text;
  EXPECT_TRUE(Recreate().ok());
  EXPECT_TRUE(Run().ok());
}

TEST_F(TransactionMockTest, ARefusedRecordAbortsTheCommitAndItsTopicIsNamed) {
  for (auto error : {RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP}) {
    Start();
    Inject(kProduce, error);
    stream::Result result = Run();
    EXPECT_EQ(result.verdict, Verdict::kRefused) << result.text;
    EXPECT_EQ(result.topic, 0u);
    EXPECT_THAT(result.text, HasSubstr("first failed record, of topic out"));
    EXPECT_TRUE(transaction_->Abort().ok());
    EXPECT_TRUE(Recreate().ok());
    EXPECT_TRUE(Run().ok());
  }
}

TEST_F(TransactionMockTest, ALimitThatWasRaisedIsKnownAtTheNextEpoch) {
  factory_.bytes_max = 500;
  Start();
  ASSERT_TRUE(transaction_->Begin().ok());
  std::string value(1'000, 'x');
  absl::Status refused = transaction_->Produce({.value = value});
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("raise its max.message.bytes"));
  factory_.bytes_max = 1'000'000;
  ASSERT_TRUE(transaction_->Abort().ok());
  ASSERT_TRUE(Recreate().ok());
  ASSERT_TRUE(transaction_->Begin().ok());
  EXPECT_TRUE(transaction_->Produce({.value = value}).ok());
  ASSERT_TRUE(SendOffsets().ok());
  EXPECT_TRUE(Commit().ok());
}

TEST_F(TransactionMockTest, AForbiddenTransactionalIdHalts) {
  Make(member_);
  Inject(kInitProducerId, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  stream::Result result = Recreate();
  EXPECT_EQ(result.verdict, Verdict::kDenied) << result.text;
  EXPECT_TRUE(Recreate().ok()) << "permission was given meanwhile";
}

TEST_F(TransactionMockTest, AMovedCoordinatorIsFollowed) {
  Start();
  ASSERT_TRUE(Run().ok());
  ASSERT_TRUE(BeginAndProduce().ok());
  rd_kafka_mock_coordinator_set(cluster_, "transaction", "id", 3);
  stream::Result offsets = SendOffsets();
  EXPECT_TRUE(offsets.ok()) << offsets.text;
  stream::Result result = Commit();
  EXPECT_TRUE(result.ok()) << result.text;
}

TEST_F(TransactionMockTest, RefusesARecordThatTheTopicDoesNotTake) {
  Start();
  ASSERT_TRUE(transaction_->Begin().ok());
  EXPECT_EQ(transaction_->record_bytes_max(0), 1'000'000u - 256);
  std::string value(transaction_->record_bytes_max(0), 'x');
  EXPECT_TRUE(transaction_->Produce({.value = value}).ok());
  value += 'x';
  EXPECT_TRUE(absl::IsInvalidArgument(transaction_->Produce({.value = value})));
}

TEST_F(TransactionMockTest, BeforeTheFirstEpochNothingBegins) {
  Make(member_);
  EXPECT_EQ(transaction_->Begin().verdict, Verdict::kRecreate);
  EXPECT_FALSE(transaction_->tainted());
}

// The whole path: what the injected failure costs is one new epoch, and the worker goes on by
// itself.
class Probe final : public stream::DriverProbe {
 public:
  void Recreated(stream::RecreateCause cause, std::chrono::nanoseconds) override {
    causes.emplace_back(stream::RecreateCauseName(cause));
    ++recreations;
  }
  std::vector<std::string> causes;  // the driver's thread's, until that has ended
  std::atomic<int> recreations = 0;
};

class CopyTransform final : public stream::Transform {
 public:
  absl::Status Process(std::span<const stream::InputRecord> records,
                       stream::Output& output) override {
    for (const stream::InputRecord& record : records) {
      traceparents.emplace_back(record.traceparent);
      generations.push_back(record.generation);
      absl::Status status = output.Produce({.key = record.key, .value = record.value});
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  std::vector<std::string> traceparents;
  std::vector<uint32_t> generations;
};

class DriverMockTest : public TransactionMockTest {
 protected:
  void Write(int count, std::vector<stream::Header> headers = {}) {
    auto writer = TopicWriter::Create({.connection = connection_});
    ASSERT_TRUE(writer.ok());
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE((*writer)
                      ->Write({.topic = "in", .partition = i % 2, .value = "v", .headers = headers})
                      .ok());
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }
  void RunUntilCommitted(int64_t events, int recreations = 1) {
    SourceOptions options;
    options.connection = connection_;
    options.group = "group";
    options.instance = "instance";
    options.topics = {"in"};
    auto source = KafkaSource::Create(options);
    ASSERT_TRUE(source.ok()) << source.status();
    Make(**source);
    stream::DriverOptions driver_options;
    driver_options.transaction_timeout_ms = 4'000;
    auto driver =
        stream::Driver::Create(driver_options, **source, *transaction_, transform_, probe_, clock_);
    ASSERT_TRUE(driver.ok());
    // The mock doesn't keep transactional offsets, so what an abort reads again is counted twice.
    std::jthread watch([&](const std::stop_token& ended) {
      auto until = clock_.Now() + std::chrono::seconds(60);
      while (!ended.stop_requested() && clock_.Now() < until &&
             ((*driver)->snapshot().events < events || probe_.recreations < recreations)) {
        std::this_thread::sleep_for(milliseconds(5));
      }
      (*driver)->Stop();
    });
    absl::Status status = (*driver)->Run();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_GE((*driver)->snapshot().events, events);
  }

  Probe probe_;
  CopyTransform transform_;
};

TEST_F(DriverMockTest, ReadsBothPartitionsFromTheBeginning) {
  Write(100);
  RunUntilCommitted(100);
  EXPECT_THAT(probe_.causes, testing::ElementsAre("start"));
}

TEST_F(DriverMockTest, ALostAnswerCostsOneNewEpoch) {
  Write(100);
  Inject(kEndTxn, RD_KAFKA_RESP_ERR__TRANSPORT);
  RunUntilCommitted(100, 2);
  EXPECT_THAT(probe_.causes, testing::ElementsAre("start", "taint"));
}

TEST_F(DriverMockTest, AnAbortCostsOneNewEpochAndTheRecordsAreReadAgain) {
  Write(100);
  Inject(kTxnOffsetCommit, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
  RunUntilCommitted(100, 2);
  EXPECT_THAT(probe_.causes, testing::ElementsAre("start", "abort"));
  EXPECT_GE(transform_.generations.size(), 101u);
}

TEST_F(DriverMockTest, OnlyWellFormedInboundHeadersAreRead) {
  std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  Write(1, {{"traceparent", good}, {"sluice-generation", "3"}, {"sluice-src", "forged"}});
  Write(1, {{"traceparent", good + "0"}, {"sluice-generation", "1001"}});
  Write(1, {{"traceparent", "00-A\n"}, {"sluice-generation", "-1"}});
  RunUntilCommitted(3);
  EXPECT_THAT(transform_.traceparents, testing::ElementsAre(good, "", ""));
  EXPECT_THAT(transform_.generations, testing::ElementsAre(3u, 0u, 0u));
}

}  // namespace
}  // namespace sluice::kafka
