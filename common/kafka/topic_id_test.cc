#include "common/kafka/topic_id.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

namespace sluice::kafka {
namespace {

std::string TextOf(int64_t most, int64_t least) {
  rd_kafka_Uuid_t* id = rd_kafka_Uuid_new(most, least);
  std::string text = TopicIdText(id);
  rd_kafka_Uuid_destroy(id);
  return text;
}

TEST(TopicIdText, CanBePartOfAKeyWhateverItsBits) {
  EXPECT_EQ(TextOf(-1, -1), "_____________________w");
  EXPECT_EQ(
      TextOf(static_cast<int64_t>(0xFBEFBEFBEFBEFBEF), static_cast<int64_t>(0xBEFBEFBEFBEFBEFB)),
      "---------------------w");
}

TEST(TopicIdText, IsEmptyWithoutAnId) {
  EXPECT_EQ(TextOf(0, 0), "");
  EXPECT_EQ(TopicIdText(nullptr), "");
}

}  // namespace
}  // namespace sluice::kafka
