// What is asked of brokers once, on librdkafka's in-process mock cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/kafka/admin.h"

namespace sluice::kafka {
namespace {

using testing::ElementsAre;

constexpr int16_t kOffsetFetch = 9;

class AdminMockTest : public testing::Test {
 protected:
  AdminMockTest() {
    char text[256];
    host_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof(text)));
    cluster_ = rd_kafka_mock_cluster_new(host_.get(), 1);
    rd_kafka_mock_topic_create(cluster_, "in", 2, 1);
  }
  ~AdminMockTest() override { rd_kafka_mock_cluster_destroy(cluster_); }

  absl::StatusOr<std::vector<int64_t>> Committed(int timeout_ms) {
    auto admin =
        Admin::Create({.brokers = {rd_kafka_mock_cluster_bootstraps(cluster_)}}, timeout_ms);
    EXPECT_TRUE(admin.ok()) << admin.status();
    return (*admin)->Committed("group", "in");
  }

  ClientPtr host_;
  rd_kafka_mock_cluster_t* cluster_;
};

TEST_F(AdminMockTest, ACoordinatorThatMovesOrReadsItsLogIsAskedAgain) {
  rd_kafka_mock_push_request_errors(
      cluster_, kOffsetFetch, 3, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
      RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
  auto committed = Committed(10'000);
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_THAT(*committed, ElementsAre(-1, -1));
}

TEST_F(AdminMockTest, ACoordinatorThatIsntReadyInTimeIsAnErrorThatSaysWhat) {
  std::vector<rd_kafka_resp_err_t> errors(1'000, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
  rd_kafka_mock_push_request_errors_array(cluster_, kOffsetFetch, errors.size(), errors.data());
  absl::Status refused = Committed(300).status();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("look up what group group has committed"));
}

}  // namespace
}  // namespace sluice::kafka
