// Making values coarser. Pure functions; idempotent where a result can be generalised again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/event/time_text.h"

namespace sluice::privacy {

// Full years from birth to `on`, both in UTC. Who was born on 29 February has their birthday on 1
// March in other years (Family Law Reform Act 1969 s.9 reckons ages from the start of the day of
// birth). nullopt: born after `on`, or more than 150 years before.
std::optional<int32_t> AgeOn(const event::CivilDate& birth, const event::CivilDate& on);

// The band that an age is in: lower bounds ascending, [18, 25] -> 0-17, 18-24, 25+. `out` has room
// for 8 bytes; returns the end.
char* WriteAgeBand(int32_t age, std::span<const int32_t> from, char* out);

// 2026, 2026-03, 2026-03-04 (digits: 4, 7, 10) of a date. `out` has room for 10 bytes; returns the
// end.
char* WriteDatePart(const event::CivilDate& date, size_t digits, char* out);

// The centre of the square that a point is in, as a grid of `metres` has it: rows of equal
// latitude, and in each row columns of equal longitude by the cosine of the row's centre (a sphere
// of 6,371,008.8 m; squares are true to 1 %). Rounded to six decimals. A point at its square's
// centre stays there. Where a pole or the antimeridian cuts a square, a centre beyond it is moved
// onto it.
struct Point {
  double latitude = 0;
  double longitude = 0;
};
Point GridCentre(Point point, int32_t metres);

// A number as it is written: digits x 10^exponent. Of a float or double, the shortest decimal that
// reads back as it; the number is finite.
struct Decimal {
  uint64_t digits = 0;  // without zeros at the end
  int32_t exponent = 0;
  bool negative = false;

  static Decimal Of(double value);
  static Decimal Of(float value);
};

// Buckets of one width, in decimal arithmetic: 0.3 is in the bucket 0.3 of width 0.1, which binary
// fractions would deny.
class Buckets {
 public:
  // Of a bucket of width 1; Of() makes others.
  Buckets() { width_.digits = 1; }
  // nullopt: the width isn't 1e-15 to 1e15.
  static std::optional<Buckets> Of(double width);

  // The lower bound of the bucket that a number is in: the greatest multiple of the width that
  // isn't above the number as it is written. Never above it, and of two numbers the greater never
  // has the lower bound; a bound is its own. Of a number so great that its neighbour is many widths
  // away, itself. NaN and infinities are their own.
  double BoundOf(double value) const;
  double BoundOf(float value) const;
  double BoundOf(int64_t value) const;
  double BoundOf(uint64_t value) const;

 private:
  double BoundOf(uint64_t digits, int32_t exponent, bool negative, double value) const;
  template <typename Above>
  static double Under(double bound, Above above);

  Decimal width_;
};

// Every character but the first and last ones that are kept becomes `with`; all do of a value that
// has no more than those. A character is a grapheme cluster; what nobody sees (white space, control
// and format characters) doesn't count and leaves no sign, but for a space between two characters
// that are kept. Idempotent where `with` isn't a combining mark. Appends.
void AppendMasked(std::string_view text, size_t keep_first, size_t keep_last, char with,
                  std::string& out);

}  // namespace sluice::privacy
