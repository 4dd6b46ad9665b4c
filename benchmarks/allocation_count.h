// Counts this program's allocations by operator new.
#pragma once

#include <cstddef>

namespace sluice::bench {

size_t AllocationCount();

}  // namespace sluice::bench
