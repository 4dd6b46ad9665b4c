#include "tests/support/kafka_broker.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace sluice::test_support {
namespace {

TEST(KafkaBrokerTest, WithoutKafkaTheErrorSaysWhatToRun) {
  const auto empty = *TempDir::Create("kafka_broker_test");
  const auto broker = KafkaBroker::Create({.libs = empty->path()});
  EXPECT_EQ(broker.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(broker.status().message()), ::testing::HasSubstr("./run setup"));
}

}  // namespace
}  // namespace sluice::test_support
