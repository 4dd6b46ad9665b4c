#include "common/event/time_text.h"

#include <gtest/gtest.h>

namespace sluice::event {
namespace {

TEST(TimeText, EveryDayOfEveryYearIsOneDateAndBack) {
  const int64_t first = DaysFromCivil(1, 1, 1), last = DaysFromCivil(9999, 12, 31);
  CivilDate expected{1, 1, 1};
  for (int64_t day = first; day <= last; ++day) {
    CivilDate date = CivilFromDays(day);
    ASSERT_EQ(date.year, expected.year) << day;
    ASSERT_EQ(date.month, expected.month) << day;
    ASSERT_EQ(date.day, expected.day) << day;
    ASSERT_EQ(DaysFromCivil(date.year, date.month, date.day), day);
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    int32_t days_in_month = date.month == 2 ? 28 + leap : 30 + ((date.month + date.month / 8) % 2);
    if (++expected.day > days_in_month) {
      expected.day = 1;
      if (++expected.month > 12) {
        expected.month = 1;
        ++expected.year;
      }
    }
  }
  EXPECT_EQ(expected.year, 10'000);
}

}  // namespace
}  // namespace sluice::event
