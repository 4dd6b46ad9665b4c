// The calendar's parts of a time.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "common/engine/pipeline.h"

namespace sluice::engine {

// The first second of the year, month, day or hour that a time is in.
int64_t Truncated(int64_t seconds, Part part);

// What a clock on the wall showed: as many seconds after 1970-01-01 00:00 on it. Of UTC where there
// is no zone, and where a zone's time would leave the years 0001 to 9999.
int64_t CivilSeconds(int64_t seconds, const std::optional<absl::TimeZone>& zone);

// The first instant at which a zone's wall clock showed that many civil seconds, or, where it
// skipped them, passed over them.
int64_t CivilStart(int64_t civil_seconds, const absl::TimeZone& zone);

// RFC 3339 with an offset of whole minutes: `2026-07-01T00:00:00+01:00`. `out` has room for
// event::kTimestampBytes; returns the end.
char* WriteWithOffset(int64_t civil_seconds, int64_t offset_seconds, char* out);

}  // namespace sluice::engine
