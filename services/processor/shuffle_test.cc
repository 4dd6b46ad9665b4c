#include "services/processor/shuffle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "common/base/strings.h"

namespace sluice::processor {
namespace {

class Recorder : public stream::Output {
 public:
  absl::Status Produce(const stream::OutputRecord& record) override {
    if (fail_at == records.size()) return absl::AbortedError("no more");
    records.push_back({record.topic, std::string(record.key.value_or("-")),
                       std::string(record.value.value_or("-")),
                       record.headers.empty() ? "" : std::string(record.headers[0].value)});
    return absl::OkStatus();
  }
  size_t record_bytes_max(size_t) const override { return 1 << 20; }

  struct Record {
    size_t topic;
    std::string key, value, header;
    bool operator==(const Record&) const = default;
  };
  std::vector<Record> records;
  size_t fail_at = ~size_t{0};
};

void Hold(Shuffle& shuffle, size_t topic, std::optional<std::string> key, std::string value) {
  std::string place = base::StrCat("place of ", value);
  base::Header header{"sluice-src", place};
  stream::OutputRecord record;
  record.topic = topic;
  if (key) record.key = *key;
  record.value = value;
  record.headers = {&header, 1};
  shuffle.Hold(record);
}

std::vector<std::string> ValuesOf(const Recorder& recorder, size_t topic) {
  std::vector<std::string> values;
  for (const auto& record : recorder.records)
    if (record.topic == topic) values.push_back(record.value);
  return values;
}

TEST(Shuffle, OrdersEachStreamByItsOwnKeysAndKeepsAKeysOrder) {
  Shuffle shuffle;
  Recorder recorder;
  for (int i = 0; i < 100; ++i) {
    Hold(shuffle, 0, base::StrCat("a", i), base::StrCat(i));
    Hold(shuffle, 1, base::StrCat("b", i), base::StrCat(i));
    Hold(shuffle, 2, base::StrCat("k", i % 3), base::StrCat(i));
    Hold(shuffle, 3, std::nullopt, base::StrCat(i));
  }
  ASSERT_TRUE(shuffle.Release(recorder).ok());
  ASSERT_EQ(recorder.records.size(), 400u);
  std::vector<std::string> given;
  for (int i = 0; i < 100; ++i) given.push_back(base::StrCat(i));
  for (size_t topic : {0, 1, 3}) {
    std::vector<std::string> values = ValuesOf(recorder, topic);
    EXPECT_NE(values, given) << topic;
    EXPECT_TRUE(std::is_permutation(values.begin(), values.end(), given.begin(), given.end()));
  }
  EXPECT_NE(ValuesOf(recorder, 0), ValuesOf(recorder, 1));
  std::map<std::string, int> last;
  for (const auto& record : recorder.records) {
    EXPECT_EQ(record.header, "place of " + record.value);
    if (record.topic != 2) continue;
    int number = std::stoi(record.value);
    EXPECT_GT(number, last.contains(record.key) ? last[record.key] : -1);
    last[record.key] = number;
  }
  // Nothing is held any more, and the same records again come in the same order.
  Recorder again;
  ASSERT_TRUE(shuffle.Release(again).ok());
  EXPECT_TRUE(again.records.empty());
  for (int i = 0; i < 100; ++i) Hold(shuffle, 0, base::StrCat("a", i), base::StrCat(i));
  ASSERT_TRUE(shuffle.Release(again).ok());
  EXPECT_EQ(ValuesOf(again, 0), ValuesOf(recorder, 0));
}

TEST(Shuffle, ForgetsWhatAFailedChunkHeld) {
  Shuffle shuffle;
  Recorder recorder;
  Hold(shuffle, 0, "a", "1");
  Hold(shuffle, 1, "b", "2");
  size_t count = shuffle.count(), bytes = shuffle.bytes();
  Hold(shuffle, 0, "c", "3");
  Hold(shuffle, 1, std::nullopt, "4");
  shuffle.Drop(count);
  EXPECT_EQ(shuffle.bytes(), bytes);
  shuffle.Drop(count);
  Hold(shuffle, 0, "d", "5");
  ASSERT_TRUE(shuffle.Release(recorder).ok());
  EXPECT_EQ(recorder.records.size(), 3u);
  EXPECT_THAT(ValuesOf(recorder, 0), ::testing::UnorderedElementsAre("1", "5"));
  EXPECT_EQ(ValuesOf(recorder, 1), std::vector<std::string>{"2"});
}

TEST(Shuffle, AnErrorEndsItAndLeavesNothingBehind) {
  Shuffle shuffle;
  Recorder recorder;
  recorder.fail_at = 1;
  Hold(shuffle, 0, "a", "1");
  Hold(shuffle, 0, "b", "2");
  EXPECT_EQ(shuffle.Release(recorder).code(), absl::StatusCode::kAborted);
  recorder.fail_at = 9;
  ASSERT_TRUE(shuffle.Release(recorder).ok());
  EXPECT_EQ(recorder.records.size(), 1u);
}

}  // namespace
}  // namespace sluice::processor
