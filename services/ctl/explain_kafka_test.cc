// An event that Kafka has, by its position.
#include "services/ctl/pipeline_test.h"

namespace sluice::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using ExplainKafkaTest = PipelineTest;

TEST_F(ExplainKafkaTest, ARecordIsFoundByItsPositionAndNothingElseIsTouched) {
  MakeTopics(1);
  Produce(2, "ok");
  Produce(1, "too long");
  auto explain = [&](int offset) {
    return RunCtl({"explain", config(), "--broker", test_support::SharedBroker().bootstrap(),
                   base::StrCat(site_.raw(), "/0/", offset)});
  };
  Ended ended = explain(1);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("verdict: clean"));
  // The position is the record's own, as the header of the internal stream shows.
  EXPECT_THAT(ended.out, HasSubstr(base::StrCat(site_.raw(), "/0/1")));
  EXPECT_THAT(ended.out, HasSubstr("event-1"));
  EXPECT_THAT(ended.out, Not(HasSubstr("Markername")));
  ended = explain(2);
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.out, HasSubstr("code breaks string.max_len"));
  EXPECT_TRUE(ReadAll(site_.clean()[0]).empty());
  EXPECT_TRUE(ReadAll(site_.quarantine()).empty());
}

TEST_F(ExplainKafkaTest, APositionWithoutARecordIsSaidSo) {
  MakeTopics(1);
  Produce(1, "ok");
  Ended ended = RunCtl({"explain", config(), "--broker", test_support::SharedBroker().bootstrap(),
                        site_.raw() + "/0/7"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("/0/7: the partition has the offsets 0 to 1"));
  ended = RunCtl({"explain", config(), "--broker", test_support::SharedBroker().bootstrap(),
                  site_.raw() + "/5/0"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("/5/0: the topic has the partitions 0 to 0"));
}

}  // namespace
}  // namespace sluice::ctl
