// Times as people write them in options.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::ctl {

// Milliseconds. `90s`, `15m`, `6h`, `7d`, `52w`.
absl::StatusOr<int64_t> ParseDuration(std::string_view text);
// Milliseconds since the epoch: `2026-03-04T05:06:07Z`, `2026-03-04` (midnight, UTC), or a duration
// before `now_ms`, such as `2h`.
absl::StatusOr<int64_t> ParseTime(std::string_view text, int64_t now_ms);
// 2026-03-04T05:06:07Z
std::string TimeText(int64_t unix_ms);
// The largest unit that says it exactly: 7d, 36h, 1500ms.
std::string DurationText(int64_t ms);

}  // namespace sluice::ctl
