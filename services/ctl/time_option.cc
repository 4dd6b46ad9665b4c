#include "services/ctl/time_option.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "common/base/strings.h"

namespace sluice::ctl {
namespace {

constexpr int64_t kSecond = 1000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;
struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr Unit kUnits[] = {
    {"w", 7 * kDay}, {"d", kDay}, {"h", kHour}, {"m", kMinute}, {"s", kSecond}};

std::optional<int64_t> Duration(std::string_view text) {
  int64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || count < 0 || count > 1'000'000'000) return std::nullopt;
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& known : kUnits) {
    if (unit == known.name) return count * known.ms;
  }
  return std::nullopt;
}

// YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ
std::optional<int64_t> Instant(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, date_end = 0, end = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &year, &month, &day, &date_end) != 3 ||
      date_end != 10) {
    return std::nullopt;
  }
  if (text.size() != 10 &&
      (std::sscanf(text.c_str() + 10, "T%2d:%2d:%2dZ%n", &hour, &minute, &second, &end) != 3 ||
       end != 10 || text.size() != 20)) {
    return std::nullopt;
  }
  std::chrono::year_month_day date{std::chrono::year(year),
                                   std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * kDay + hour * kHour + minute * kMinute + second * kSecond;
}

}  // namespace

absl::StatusOr<int64_t> ParseDuration(std::string_view text) {
  if (auto ms = Duration(text)) return *ms;
  return absl::InvalidArgumentError(base::StrCat(
      "'", text, "' isn't a duration: write a number and s, m, h, d or w, such as 7d"));
}

absl::StatusOr<int64_t> ParseTime(std::string_view text, int64_t now_ms) {
  if (auto ms = Duration(text)) return now_ms - *ms;
  if (auto ms = Instant(std::string(text))) return *ms;
  return absl::InvalidArgumentError(base::StrCat(
      "'", text,
      "' isn't a time: write 2026-03-04T05:06:07Z, 2026-03-04, or how long ago, such as 2h"));
}

std::string TimeText(int64_t unix_ms) {
  if (unix_ms < 0) return "";
  std::chrono::sys_time<std::chrono::milliseconds> at{std::chrono::milliseconds(unix_ms)};
  auto day = std::chrono::floor<std::chrono::days>(at);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(at - day));
  char text[32];
  std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return text;
}

std::string DurationText(int64_t ms) {
  for (const Unit& unit : kUnits) {
    if (unit.name != "w" && ms > 0 && ms % unit.ms == 0)
      return base::StrCat(ms / unit.ms, unit.name);
  }
  return base::StrCat(ms, "ms");
}

}  // namespace sluice::ctl
