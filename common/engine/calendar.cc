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

int64_t CivilSeconds(int64_t seconds, const std::optional<absl::TimeZone>& zone) {
  if (!zone) return seconds;
  const int64_t civil = seconds + zone->At(absl::FromUnixSeconds(seconds)).offset;
  const bool in_calendar = civil >= event::DaysFromCivil(1, 1, 1) * 86400 &&
                           civil < event::DaysFromCivil(10000, 1, 1) * 86400;
  return in_calendar ? civil : seconds;
}

int64_t CivilStart(int64_t civil_seconds, const absl::TimeZone& zone) {
  const absl::CivilSecond civil = absl::CivilSecond(1970, 1, 1) + civil_seconds;
  const absl::TimeZone::TimeInfo info = zone.At(civil);
  return absl::ToUnixSeconds(info.kind == absl::TimeZone::TimeInfo::SKIPPED ? info.trans
                                                                            : info.pre);
}

char* WriteWithOffset(int64_t civil_seconds, int64_t offset_seconds, char* out) {
  out = event::WriteTimestamp(civil_seconds, 0, out) - 1;  // without its Z
  const int64_t minutes = (offset_seconds < 0 ? -offset_seconds : offset_seconds) / 60;
  *out++ = offset_seconds < 0 ? '-' : '+';
  auto two_digits = [&out](int64_t number) {
    *out++ = static_cast<char>('0' + number / 10);
    *out++ = static_cast<char>('0' + number % 10);
  };
  two_digits(minutes / 60);
  *out++ = ':';
  two_digits(minutes % 60);
  return out;
}

}  // namespace sluice::engine
