#include "common/config/nearest.h"

#include "gtest/gtest.h"

namespace sluice::config {
namespace {

const std::vector<std::string> kNames = {"topic", "format", "schema_ids", "event_bytes_max"};

TEST(Nearest, FindsTheNameOfASlip) {
  EXPECT_EQ(Nearest("topik", kNames), "topic");
  EXPECT_EQ(Nearest("tpoic", kNames), "topic");
  EXPECT_EQ(Nearest("schemaids", kNames), "schema_ids");
  EXPECT_EQ(Nearest("event_byte_max", kNames), "event_bytes_max");
}

TEST(Nearest, SwappedNeighboursAreOneEdit) { EXPECT_EQ(Nearest("sa", {"as"}), "as"); }

TEST(Nearest, SuggestsNothingThatIsFarOff) {
  EXPECT_EQ(Nearest("zebra", kNames), "");
  EXPECT_EQ(Nearest("", kNames), "");
  EXPECT_EQ(Nearest("topic", {}), "");
  EXPECT_EQ(Nearest(std::string(100'000, 't'), kNames), "");
}

TEST(DidYouMean, IsEmptyWithoutASuggestion) {
  EXPECT_EQ(DidYouMean("topik", kNames), "; did you mean `topic`?");
  EXPECT_EQ(DidYouMean("zebra", kNames), "");
}

}  // namespace
}  // namespace sluice::config
