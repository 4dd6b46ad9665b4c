// Whether this build's memory is a sanitizer's: its shadow fills the address space, and freed
// memory stays.
#pragma once

namespace sluice::test_support {

#ifdef SLUICE_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace sluice::test_support
