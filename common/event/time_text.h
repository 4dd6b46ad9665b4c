// Times as text: RFC 3339, and durations as protobuf's JSON mapping has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace sluice::event {

struct Instant {
  int64_t seconds = 0;     // since the Unix epoch
  int32_t nanos = 0;       // 0 to 999,999,999
  bool local = false;      // it had no offset and was read in the given zone
  bool ambiguous = false;  // local, and the zone's clocks showed it twice
};

// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
int64_t DaysFromCivil(int64_t year, int32_t month, int32_t day);

struct CivilDate {
  int32_t year = 0;
  int32_t month = 0;  // 1 to 12
  int32_t day = 0;    // 1 to 31
};
CivilDate CivilFromDays(int64_t days);

// YYYY-MM-DD, a date that exists, years 0001 to 9999.
std::optional<CivilDate> ParseDate(std::string_view text);

// `2026-03-04T05:06:07.123456789+01:00`; `T` may be a space or `t`, `Z` may be `z`; up to nine
// digits of fraction; years 0001 to 9999; no leap second (protobuf's Timestamp has none). Without
// an offset only where `zone` is given: the time is local to it. A local time that doesn't exist is
// refused; of two equal ones, the earlier is meant.
std::optional<Instant> ParseTimestamp(std::string_view text, const absl::TimeZone* zone);

// `1.5s`: seconds and nanos of the same sign, at most 315,576,000,000 s.
struct Span {
  int64_t seconds = 0;
  int32_t nanos = 0;
};
std::optional<Span> ParseDuration(std::string_view text);

// Longest results, in bytes.
inline constexpr size_t kTimestampBytes = 30;
inline constexpr size_t kDurationBytes = 32;

// RFC 3339 in UTC with 0, 3, 6 or 9 digits of fraction. `out` has room for kTimestampBytes; returns
// the end.
char* WriteTimestamp(int64_t seconds, int32_t nanos, char* out);
// `out` has room for kDurationBytes; returns the end.
char* WriteDuration(int64_t seconds, int32_t nanos, char* out);

}  // namespace sluice::event
