#include "common/reference/topic_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "common/base/strings.h"

namespace sluice::reference {
namespace {

using ::testing::ElementsAre;

// `key/partition/offset=value` of each row.
std::vector<std::string> Shown(const TopicRows& rows) {
  std::vector<std::string> shown;
  for (const auto& [at, row] : rows.rows())
    shown.push_back(base::StrCat(at.first, "/", at.second, "/", row.offset, "=", row.value));
  return shown;
}

bool Twice(const TopicRows& rows) { return rows.FindTwice() != rows.rows().end(); }

TEST(TopicRowsTest, ATombstoneTakesAwayWhatItsOwnPartitionHasAndNothingElse) {
  TopicRows rows;
  rows.Put("a", 0, 0, "A");
  rows.Put("k", 0, 1, std::nullopt);
  rows.Put("k", 1, 0, "K");
  rows.Put("k", 2, 0, std::nullopt);
  EXPECT_THAT(Shown(rows), ElementsAre("a/0/0=A", "k/1/0=K"));
  EXPECT_FALSE(Twice(rows));
  rows.Put("k", 1, 1, std::nullopt);
  EXPECT_THAT(Shown(rows), ElementsAre("a/0/0=A"));
}

TEST(TopicRowsTest, AKeyIsTwiceOnlyWhileItHasRowsOnTwoPartitions) {
  TopicRows rows;
  rows.Put("a", 2, 0, "A");
  rows.Put("k", 2, 1, "second");
  rows.Put("k", 0, 0, "first");
  rows.Put("l", 1, 0, "L");
  ASSERT_TRUE(Twice(rows));
  auto twice = rows.FindTwice();
  EXPECT_EQ(twice->first, std::make_pair(std::string("k"), 0));
  EXPECT_EQ(std::next(twice)->first, std::make_pair(std::string("k"), 2));
  rows.Put("k", 1, 1, "third");
  rows.Put("k", 0, 1, std::nullopt);
  EXPECT_TRUE(Twice(rows)) << "two are left";
  rows.Put("k", 2, 2, std::nullopt);
  EXPECT_FALSE(Twice(rows));
  EXPECT_THAT(Shown(rows), ElementsAre("a/2/0=A", "k/1/1=third", "l/1/0=L"));
}

TEST(TopicRowsTest, TheOrderInWhichPartitionsAreReadChangesNothing) {
  struct Record {
    std::string key;
    std::optional<std::string> value;
  };
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::vector<Record>> partitions(3);
    TopicRows in_turn;
    for (int p = 0; p < 3; ++p) {
      for (int64_t offset = 0; offset < 8; ++offset) {
        Record record{std::string(1, static_cast<char>('a' + random() % 3)), std::nullopt};
        if (random() % 2 == 0) record.value = std::string(random() % 5, 'v');
        in_turn.Put(record.key, p, offset, record.value);
        partitions[static_cast<size_t>(p)].push_back(record);
      }
    }
    TopicRows mixed;
    std::vector<size_t> next(3);
    for (int left = 24; left > 0;) {
      const size_t p = random() % 3;
      if (next[p] == partitions[p].size()) continue;
      const Record& record = partitions[p][next[p]];
      mixed.Put(record.key, static_cast<int32_t>(p), static_cast<int64_t>(next[p]++), record.value);
      --left;
    }
    EXPECT_EQ(Shown(mixed), Shown(in_turn));
    EXPECT_EQ(mixed.bytes(), in_turn.bytes());
  }
}

TEST(TopicRowsTest, BytesAreThoseOfWhatIsKept) {
  TopicRows rows;
  rows.Put("key", 0, 0, "12345");
  EXPECT_EQ(rows.bytes(), 8u);
  rows.Put("key", 0, 1, "1");
  EXPECT_EQ(rows.bytes(), 4u);
  rows.Put("key", 1, 0, "");
  EXPECT_EQ(rows.bytes(), 7u) << "an empty value is no tombstone";
  rows.Put("other", 0, 2, std::nullopt);
  rows.Put("key", 0, 3, std::nullopt);
  rows.Put("key", 1, 1, std::nullopt);
  EXPECT_EQ(rows.bytes(), 0u);
  rows.Put("key", 0, 4, "1");
  rows.Clear();
  EXPECT_EQ(rows.bytes(), 0u);
  EXPECT_TRUE(rows.rows().empty());
}

}  // namespace
}  // namespace sluice::reference
