// The calendar's parts of a time.
#pragma once

#include <cstdint>

#include "common/engine/pipeline.h"

namespace sluice::engine {

// The first second of the year, month, day or hour that a time is in.
int64_t Truncated(int64_t seconds, Part part);

}  // namespace sluice::engine
