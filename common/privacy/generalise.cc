#include "common/privacy/generalise.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "common/privacy/visible.h"

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

namespace {

using Wide = unsigned __int128;

// Powers of ten that a 128-bit number has room for beside 17 digits.
constexpr int32_t kPowersMax = 20;

Wide PowerOfTen(int32_t exponent) {
  Wide power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

// The double nearest to magnitude x 10^exponent.
double ToDouble(Wide magnitude, int32_t exponent, bool negative) {
  char text[64];
  char* at = text + 40;
  char* begin = at;
  do {
    *--begin = static_cast<char>('0' + static_cast<int>(magnitude % 10));
    magnitude /= 10;
  } while (magnitude != 0);
  *at++ = 'e';
  at = std::to_chars(at, text + sizeof(text), exponent).ptr;
  double value = 0;
  std::from_chars(begin, at, value);
  if (value == 0) return 0;
  return negative ? -value : value;
}

// Of the shortest decimal that reads back as the number.
template <typename Float>
Decimal ShortestDecimal(Float value) {
  char text[64];
  Decimal decimal;
  decimal.negative = std::signbit(value);
  char* end =
      std::to_chars(text, text + sizeof(text), std::fabs(value), std::chars_format::scientific).ptr;
  const char* at = text;
  int32_t fraction = 0;
  for (bool point = false; at != end && *at != 'e'; ++at) {
    if (*at == '.') {
      point = true;
      continue;
    }
    decimal.digits = decimal.digits * 10 + static_cast<uint64_t>(*at - '0');
    fraction += point;
  }
  int32_t exponent = 0;
  if (at != end) {
    ++at;
    if (at != end && *at == '+') ++at;
    std::from_chars(at, end, exponent);
  }
  decimal.exponent = exponent - fraction;
  while (decimal.digits != 0 && decimal.digits % 10 == 0) {
    decimal.digits /= 10;
    ++decimal.exponent;
  }
  if (decimal.digits == 0) decimal = Decimal();
  return decimal;
}

}  // namespace

Decimal Decimal::Of(double value) { return ShortestDecimal(value); }
Decimal Decimal::Of(float value) { return ShortestDecimal(value); }

std::optional<Buckets> Buckets::Of(double width) {
  if (!(width >= 1e-15 && width < 1e15)) return std::nullopt;
  Buckets buckets;
  buckets.width_ = Decimal::Of(width);
  return buckets;
}

double Buckets::BoundOf(double value) const {
  if (!std::isfinite(value)) return value;
  Decimal decimal = Decimal::Of(value);
  return BoundOf(decimal.digits, decimal.exponent, decimal.negative, value);
}

double Buckets::BoundOf(float value) const {
  if (!std::isfinite(value)) return value;
  Decimal decimal = Decimal::Of(value);
  return BoundOf(decimal.digits, decimal.exponent, decimal.negative, value);
}

double Buckets::BoundOf(int64_t value) const {
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  return Under(BoundOf(magnitude, 0, value < 0, static_cast<double>(value)), [value](double bound) {
    return bound >= 0x1p63 || static_cast<__int128>(bound) > value;
  });
}

double Buckets::BoundOf(uint64_t value) const {
  return Under(BoundOf(value, 0, false, static_cast<double>(value)), [value](double bound) {
    return bound >= 0x1p64 || static_cast<__int128>(bound) > static_cast<__int128>(value);
  });
}

// Of integers beyond 2^53 the nearest double may be above.
template <typename Above>
double Buckets::Under(double bound, Above above) {
  return above(bound) ? std::nextafter(bound, -std::numeric_limits<double>::infinity()) : bound;
}

double Buckets::BoundOf(uint64_t digits, int32_t exponent, bool negative, double value) const {
  if (digits == 0) return 0;
  // value = digits x 10^exponent; count widths in units of the finer of the two.
  const int32_t coarser = exponent - width_.exponent;
  // No double between this one and the next one below is as fine as the width.
  if (coarser > kPowersMax) return value;
  Wide amount = digits, width = width_.digits;
  int32_t unit = exponent;
  if (coarser >= 0) {
    if (amount > ~Wide{0} / PowerOfTen(coarser)) return value;
    amount *= PowerOfTen(coarser);
    unit = width_.exponent;
  } else if (-coarser > kPowersMax) {
    // Less than a width, however it is counted: 20 digits are less than 10^20.
    return negative ? ToDouble(width_.digits, width_.exponent, true) : 0;
  } else {
    width *= PowerOfTen(-coarser);
  }
  Wide rest = amount % width;
  if (!negative) return ToDouble(amount - rest, unit, false);
  return ToDouble(rest == 0 ? amount : amount - rest + width, unit, true);
}

void AppendMasked(std::string_view text, size_t keep_first, size_t keep_last, char with,
                  std::string& out) {
  size_t count = 0;
  for (Graphemes at(text); at.Next();) count += at.visible();
  // Of a short value the ends would be all of it.
  if (keep_first >= count || keep_last >= count - keep_first) keep_first = keep_last = 0;
  size_t place = 0;
  bool kept = false, space = false;
  for (Graphemes at(text); at.Next();) {
    if (!at.visible()) {
      space |= at.space();
      continue;
    }
    bool keep = place < keep_first || place + keep_last >= count;
    ++place;
    // White space shows between two characters that do, and nowhere else.
    if (space && kept && keep) out.push_back(' ');
    kept = keep;
    space = false;
    if (keep) {
      AppendDrawn(at.cluster(), out);
    } else {
      out.push_back(with);
    }
  }
}

}  // namespace sluice::privacy
