#include "services/ctl/time_option.h"

#include <gtest/gtest.h>

namespace sluice::ctl {
namespace {

TEST(TimeOption, DurationsHaveAUnit) {
  EXPECT_EQ(*ParseDuration("90s"), 90'000);
  EXPECT_EQ(*ParseDuration("2h"), 7'200'000);
  EXPECT_EQ(*ParseDuration("7d"), 604'800'000);
  EXPECT_EQ(*ParseDuration("1w"), *ParseDuration("7d"));
  for (const char* wrong : {"", "7", "d", "-1d", "7 d", "7days", "99999999999d"})
    EXPECT_FALSE(ParseDuration(wrong).ok()) << wrong;
}

TEST(TimeOption, TimesAreInstantsDaysOrHowLongAgo) {
  EXPECT_EQ(*ParseTime("1970-01-02", 0), 86'400'000);
  EXPECT_EQ(*ParseTime("2026-03-04T05:06:07Z", 0), 1'772'600'767'000);
  EXPECT_EQ(*ParseTime("15m", 1'000'000), 100'000);
  for (const char* wrong : {"2026-02-30", "2026-3-4", "2026-03-04T05:06", "2026-03-04T25:00:00Z",
                            "2026-03-04T05:06:07", "yesterday"}) {
    EXPECT_FALSE(ParseTime(wrong, 0).ok()) << wrong;
  }
}

TEST(TimeOption, TextSaysWhatWasRead) {
  EXPECT_EQ(TimeText(1'772'600'767'999), "2026-03-04T05:06:07Z");
  EXPECT_EQ(TimeText(-1), "");
  EXPECT_EQ(DurationText(604'800'000), "7d");
  EXPECT_EQ(DurationText(5'400'000), "90m");
  EXPECT_EQ(DurationText(1'500), "1500ms");
}

}  // namespace
}  // namespace sluice::ctl
