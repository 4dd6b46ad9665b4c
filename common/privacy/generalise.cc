#include "common/privacy/generalise.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numbers>

#include "common/base/strings.h"

namespace sluice::privacy {

std::optional<int32_t> AgeOn(const event::CivilDate& birth, const event::CivilDate& on) {
  int32_t age = on.year - birth.year;
  if (on.month < birth.month || (on.month == birth.month && on.day < birth.day)) --age;
  if (age < 0 || age > 150) return std::nullopt;
  return age;
}

char* WriteAgeBand(int32_t age, std::span<const int32_t> from, char* out) {
  int32_t low = 0;
  for (int32_t bound : from) {
    if (age < bound) {
      out = std::to_chars(out, out + 3, low).ptr;
      *out++ = '-';
      return std::to_chars(out, out + 3, bound - 1).ptr;
    }
    low = bound;
  }
  out = std::to_chars(out, out + 3, low).ptr;
  *out++ = '+';
  return out;
}

char* WriteDatePart(const event::CivilDate& date, size_t digits, char* out) {
  char text[event::kTimestampBytes];
  event::WriteTimestamp(event::DaysFromCivil(date.year, date.month, date.day) * 86400, 0, text);
  std::memcpy(out, text, digits);
  return out + digits;
}

Point GridCentre(Point point, int32_t metres) {
  constexpr double kMetresPerDegree = 6'371'008.8 * std::numbers::pi / 180;
  double height = metres / kMetresPerDegree;
  double latitude = (std::floor(point.latitude / height) + 0.5) * height;
  double cosine = std::max(std::cos(latitude * std::numbers::pi / 180), 1e-6);
  double width = height / cosine;
  double longitude = (std::floor(point.longitude / width) + 0.5) * width;
  auto rounded = [](double degrees, double limit) {
    return std::clamp(std::round(degrees * 1e6) / 1e6, -limit, limit);
  };
  return {rounded(latitude, 90), rounded(longitude, 180)};
}

double BucketOf(double value, double width) {
  double buckets = std::floor(value / width + 1e-9);
  // Of a width that is one part of a whole number, such as 0.1, dividing gives the number as it is
  // written.
  double parts = std::round(1 / width);
  return std::fabs(parts * width - 1) < 1e-12 ? buckets / parts : buckets * width;
}

void AppendMasked(std::string_view text, size_t keep_first, size_t keep_last, char with,
                  std::string& out) {
  size_t points = 0;
  for (char c : text) points += (c & 0xC0) != 0x80;
  // Of a short value the ends would be all of it.
  if (points <= keep_first + keep_last) keep_first = keep_last = 0;
  size_t at = 0;
  bool keep = false;
  for (char c : text) {
    if ((c & 0xC0) != 0x80) {
      keep = at < keep_first || at + keep_last >= points;
      ++at;
      if (!keep) out.push_back(with);
    }
    if (keep) out.push_back(c);
  }
}

}  // namespace sluice::privacy
