// What keeps a process's memory out of core files and swap.
#pragma once

#include <cstddef>

#include "absl/status/status.h"

namespace sluice::base {

// No core file may hold keys or raw events, and no debugger of another user may look at them.
void ForbidCoreDumps();

// Makes OpenSSL's secure heap, from which SecretBytes take their room: locked, not dumped, between
// guard pages. Then locks whatever else the process touches, because OpenSSL's own contexts hold
// key schedules in the ordinary heap. Once, before the first secret; `heap_bytes` is rounded up to
// a power of two.
//
// kFailedPrecondition: what isn't locked, and which limit to raise. Secrets then still work, in
// memory that may be swapped out; whether that will do is for the caller to decide.
absl::Status LockMemory(size_t heap_bytes);

}  // namespace sluice::base
