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

// The lower bound of the bucket of this width: a multiple of it. A value within a billionth of a
// width below a multiple counts as that multiple, so that 0.3 is in the bucket 0.3 of width 0.1,
// which binary fractions would deny.
double BucketOf(double value, double width);

// Every code point but the first and last ones that are kept becomes `with`; all do of a value
// that has no more than those. Appends.
void AppendMasked(std::string_view text, size_t keep_first, size_t keep_last, char with,
                  std::string& out);

}  // namespace sluice::privacy
