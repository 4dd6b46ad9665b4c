#include "common/engine/calendar.h"

#include "common/event/time_text.h"

namespace sluice::engine {

int64_t Truncated(int64_t seconds, Part part) {
  auto floored = [](int64_t value, int64_t unit) {
    return (value >= 0 ? value : value - unit + 1) / unit * unit;
  };
  if (part == Part::kHour) return floored(seconds, 3600);
  int64_t day = floored(seconds, 86400);
  if (part == Part::kDay) return day;
  event::CivilDate date = event::CivilFromDays(day / 86400);
  return event::DaysFromCivil(date.year, part == Part::kYear ? 1 : date.month, 1) * 86400;
}

}  // namespace sluice::engine
