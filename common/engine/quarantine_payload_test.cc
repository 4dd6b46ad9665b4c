#include "common/engine/quarantine_payload.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace sluice::engine {
namespace {

using base::Header;

base::InputRecord Record(std::optional<std::string_view> key, std::optional<std::string_view> value,
                         std::span<const Header> headers = {}) {
  base::InputRecord record;
  record.key = key;
  record.value = value;
  record.headers = headers;
  return record;
}

TEST(QuarantinePayloadTest, KeepsTheEventsOwnHeadersInOrderWithNullsAndRepeats) {
  const std::vector<Header> headers = {
      {"b", "2"}, {"sluice-generation", "1"}, {"a", ""}, {"b", "1"}, {"n", {}}};
  quarantine::v1::Payload payload = PayloadOf(Record("k", "v", headers));
  ASSERT_EQ(payload.headers_size(), 4);
  EXPECT_EQ(payload.headers(0).name() + payload.headers(0).value(), "b2");
  EXPECT_TRUE(payload.headers(1).has_value());
  EXPECT_EQ(payload.headers(2).value(), "1");
  EXPECT_EQ(payload.headers(3).name(), "n");
  EXPECT_FALSE(payload.headers(3).has_value());
}

TEST(QuarantinePayloadTest, TheDigestTellsEveryDifferenceAndIgnoresSluicesHeaders) {
  const std::vector<Header> one = {{"a", "bc"}}, other = {{"ab", "c"}}, empty = {{"a", ""}},
                            null = {{"a", {}}}, ours = {{"sluice-redriven", "q/0/1"}};
  std::set<std::string> digests;
  for (const base::InputRecord& record :
       {Record("k", "v"), Record("kv", ""), Record("", "kv"), Record({}, "kv"), Record("kv", {}),
        Record({}, {}), Record("k", "v", one), Record("k", "v", other), Record("k", "v", empty),
        Record("k", "v", null)}) {
    std::string digest = DigestOf(PayloadOf(record));
    EXPECT_EQ(digest.size(), 32u);
    EXPECT_TRUE(digests.insert(digest).second);
  }
  EXPECT_TRUE(digests.contains(DigestOf(PayloadOf(Record("k", "v", ours)))));
}

TEST(QuarantinePayloadTest, AReferenceHoldsNothingOfTheRecordButItsDigest) {
  quarantine::v1::Payload payload = PayloadOf(Record("the key", "the value"));
  quarantine::v1::Payload reference = ReferenceTo(payload, "topic id");
  EXPECT_FALSE(reference.has_key());
  EXPECT_FALSE(reference.has_value());
  EXPECT_EQ(reference.reference().digest(), DigestOf(payload));
  EXPECT_EQ(reference.reference().topic_id(), "topic id");
}

}  // namespace
}  // namespace sluice::engine
