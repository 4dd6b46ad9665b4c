#include "common/event/time_text.h"

#include <charconv>

namespace sluice::event {
namespace {

constexpr int64_t kSecondsPerDay = 86400;

// Reads exactly `digits` digits; -1 where there are others.
int32_t Digits(std::string_view text, size_t at, size_t digits) {
  if (at + digits > text.size()) return -1;
  int32_t value = 0;
  for (size_t i = at; i < at + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

int32_t DaysInMonth(int32_t year, int32_t month) {
  constexpr int8_t kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// The fraction's digits after the point, as nanoseconds; moves `at` past them. -1: no digit, or
// more than nine.
int32_t Fraction(std::string_view text, size_t& at) {
  int32_t nanos = 0;
  size_t digits = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
    if (digits == 9) return -1;
    nanos = nanos * 10 + (text[at] - '0');
  }
  if (digits == 0) return -1;
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

char* Two(int32_t value, char* out) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
  return out + 2;
}

char* WriteFraction(int32_t nanos, char* out) {
  if (nanos == 0) return out;
  int digits = nanos % 1'000'000 == 0 ? 3 : nanos % 1000 == 0 ? 6 : 9;
  for (int i = digits; i < 9; ++i) nanos /= 10;
  *out++ = '.';
  for (int i = digits - 1; i >= 0; --i, nanos /= 10) out[i] = static_cast<char>('0' + nanos % 10);
  return out + digits;
}

}  // namespace

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, 400-year
// eras.
int64_t DaysFromCivil(int64_t year, int32_t month, int32_t day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

// Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms"
// (2022), figure 12: divisions by constants become multiplications. `kEras` eras of 400 years are
// added so that nothing is negative.
CivilDate CivilFromDays(int64_t days) {
  constexpr uint32_t kEras = 82, kDaysAdded = 719468 + 146097 * kEras, kYearsAdded = 400 * kEras;
  uint32_t quarters = 4 * (static_cast<uint32_t>(days) + kDaysAdded) + 3;
  uint32_t century = quarters / 146097;
  uint32_t day_of_century = quarters % 146097 / 4;
  uint64_t scaled = uint64_t{2939745} * (4 * day_of_century + 3);
  uint32_t year = 100 * century + static_cast<uint32_t>(scaled >> 32);
  uint32_t day_of_year = static_cast<uint32_t>(scaled) / 2939745 / 4;
  uint32_t month_and_day = 2141 * day_of_year + 197913;
  uint32_t month = month_and_day >> 16;
  bool next_year = day_of_year >= 306;  // January and February end a year that begins in March
  CivilDate date;
  date.day = static_cast<int32_t>((month_and_day & 0xFFFF) / 2141 + 1);
  date.month = static_cast<int32_t>(next_year ? month - 12 : month);
  date.year = static_cast<int32_t>(year + next_year) - static_cast<int32_t>(kYearsAdded);
  return date;
}

std::optional<CivilDate> ParseDate(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  CivilDate date{Digits(text, 0, 4), Digits(text, 5, 2), Digits(text, 8, 2)};
  if (date.year < 1 || date.month < 1 || date.month > 12) return std::nullopt;
  if (date.day < 1 || date.day > DaysInMonth(date.year, date.month)) return std::nullopt;
  return date;
}

std::optional<Instant> ParseTimestamp(std::string_view text, const absl::TimeZone* zone) {
  if (text.size() < 19) return std::nullopt;
  std::optional<CivilDate> date = ParseDate(text.substr(0, 10));
  if (!date || (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) return std::nullopt;
  if (text[13] != ':' || text[16] != ':') return std::nullopt;
  int32_t hour = Digits(text, 11, 2), minute = Digits(text, 14, 2), second = Digits(text, 17, 2);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) {
    return std::nullopt;
  }
  Instant instant;
  size_t at = 19;
  if (at < text.size() && text[at] == '.') {
    ++at;
    instant.nanos = Fraction(text, at);
    if (instant.nanos < 0) return std::nullopt;
  }
  int64_t days = DaysFromCivil(date->year, date->month, date->day);
  int64_t wall = days * kSecondsPerDay + hour * 3600 + minute * 60 + second;

  if (at == text.size()) {
    if (zone == nullptr) return std::nullopt;
    absl::TimeZone::TimeInfo info =
        zone->At(absl::CivilSecond(date->year, date->month, date->day, hour, minute, second));
    if (info.kind == absl::TimeZone::TimeInfo::SKIPPED) return std::nullopt;
    instant.seconds = absl::ToUnixSeconds(info.pre);
    instant.local = true;
    instant.ambiguous = info.kind == absl::TimeZone::TimeInfo::REPEATED;
    return instant;
  }
  int32_t offset = 0;
  if (text[at] == 'Z' || text[at] == 'z') {
    if (at + 1 != text.size()) return std::nullopt;
  } else {
    if (at + 6 != text.size() || text[at + 3] != ':') return std::nullopt;
    int32_t hours = Digits(text, at + 1, 2), minutes = Digits(text, at + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
    offset = hours * 3600 + minutes * 60;
    if (text[at] == '-') {
      offset = -offset;
    } else if (text[at] != '+') {
      return std::nullopt;
    }
  }
  instant.seconds = wall - offset;
  // The offset may have carried it out of the years that a Timestamp has.
  constexpr int64_t kFirst = -62135596800, kLast = 253402300799;
  if (instant.seconds < kFirst || instant.seconds > kLast) return std::nullopt;
  return instant;
}

std::optional<Span> ParseDuration(std::string_view text) {
  constexpr int64_t kSecondsMax = 315'576'000'000;
  if (text.size() < 2 || text.back() != 's') return std::nullopt;
  text.remove_suffix(1);
  bool negative = text.front() == '-';
  if (negative) text.remove_prefix(1);
  Span span;
  size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    span.seconds = span.seconds * 10 + (text[at] - '0');
    if (span.seconds > kSecondsMax) return std::nullopt;
  }
  if (at == 0) return std::nullopt;
  if (at < text.size()) {
    if (text[at++] != '.') return std::nullopt;
    span.nanos = Fraction(text, at);
    if (span.nanos < 0 || at != text.size()) return std::nullopt;
  }
  if (span.seconds == kSecondsMax && span.nanos > 0) return std::nullopt;
  if (negative) {
    span.seconds = -span.seconds;
    span.nanos = -span.nanos;
  }
  return span;
}

char* WriteTimestamp(int64_t seconds, int32_t nanos, char* out) {
  int64_t days = (seconds >= 0 ? seconds : seconds - (kSecondsPerDay - 1)) / kSecondsPerDay;
  int32_t rest = static_cast<int32_t>(seconds - days * kSecondsPerDay);
  CivilDate date = CivilFromDays(days);
  out = Two(date.year / 100, out);
  out = Two(date.year % 100, out);
  *out++ = '-';
  out = Two(date.month, out);
  *out++ = '-';
  out = Two(date.day, out);
  *out++ = 'T';
  out = Two(rest / 3600, out);
  *out++ = ':';
  out = Two(rest / 60 % 60, out);
  *out++ = ':';
  out = Two(rest % 60, out);
  out = WriteFraction(nanos, out);
  *out++ = 'Z';
  return out;
}

char* WriteDuration(int64_t seconds, int32_t nanos, char* out) {
  if (seconds < 0 || nanos < 0) {
    *out++ = '-';
    seconds = -seconds;
    nanos = -nanos;
  }
  out = std::to_chars(out, out + 20, seconds).ptr;
  out = WriteFraction(nanos, out);
  *out++ = 's';
  return out;
}

}  // namespace sluice::event
