#include <librdkafka/rdkafka.h>

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/kafka_broker.h"
#include "tests/support/shared_broker.h"

namespace sluice::test_support {
namespace {

// Asks the broker for its metadata: the number of brokers it names, or -1 with no answer.
int BrokersSeen(const std::string& bootstrap, int timeout_ms) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), nullptr, 0);
  rd_kafka_conf_set(conf, "log_level", "0", nullptr, 0);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
  const rd_kafka_metadata_t* metadata = nullptr;
  int brokers = -1;
  if (rd_kafka_metadata(client, 0, nullptr, &metadata, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    brokers = metadata->broker_cnt;
    rd_kafka_metadata_destroy(metadata);
  }
  rd_kafka_destroy(client);
  return brokers;
}

TEST(KafkaBrokerTest, ServesOnBothListenersOnceStarted) {
  EXPECT_EQ(BrokersSeen(SharedBroker().bootstrap(), 10'000), 1);
  EXPECT_EQ(BrokersSeen(SharedBroker().direct(), 10'000), 1);
}

TEST(KafkaBrokerTest, LivesThroughKillFreezeAndRestartOnItsPortsAndLeavesNothing) {
  auto broker = *KafkaBroker::Create({});
  const auto before = std::chrono::steady_clock::now();
  ASSERT_EQ(broker->Start(), absl::OkStatus());
  const auto started = std::chrono::steady_clock::now();
  const std::string bootstrap = broker->bootstrap();

  broker->Kill();
  EXPECT_EQ(BrokersSeen(bootstrap, 300), -1);
  const auto killed = std::chrono::steady_clock::now();
  ASSERT_EQ(broker->Restart(), absl::OkStatus());
  const auto restarted = std::chrono::steady_clock::now();
  EXPECT_EQ(broker->bootstrap(), bootstrap);
  EXPECT_EQ(BrokersSeen(bootstrap, 10'000), 1);

  ASSERT_EQ(broker->Freeze(), absl::OkStatus());
  EXPECT_EQ(BrokersSeen(bootstrap, 300), -1);
  ASSERT_EQ(broker->Thaw(), absl::OkStatus());
  EXPECT_EQ(BrokersSeen(bootstrap, 10'000), 1);

  EXPECT_EQ(broker->Stop(), absl::OkStatus());
  const std::string folder = std::filesystem::path(broker->log_path()).parent_path();
  EXPECT_TRUE(std::filesystem::exists(folder));
  broker.reset();
  EXPECT_FALSE(std::filesystem::exists(folder));

  const auto ms = [](auto from, auto to) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count());
  };
  RecordProperty("start_ms", ms(before, started));
  RecordProperty("restart_ms", ms(killed, restarted));
  std::cout << "start " << ms(before, started) << " ms, restart " << ms(killed, restarted)
            << " ms\n";
}

TEST(KafkaBrokerTest, ABadPropertyIsAnErrorWithTheEndOfTheLog) {
  auto broker = *KafkaBroker::Create({.properties = {{"num.io.threads", "many"}}});
  EXPECT_THAT(std::string(broker->Start().message()), ::testing::HasSubstr("num.io.threads"));
}

}  // namespace
}  // namespace sluice::test_support
