// A TCP port on loopback for a server that can't be told to find one itself.
#pragma once

#include "absl/status/statusor.h"

namespace sluice::test_support {

// A port that is free now and was not given out by this process before. It lies below the kernel's
// ephemeral range: between a server's death and its restart, no outgoing connection can take it
// (a client that keeps reconnecting to a dead ephemeral port even connects to itself). Another
// process may still take it, so a server that finds it taken asks again. Thread-safe.
absl::StatusOr<int> FreePort();

}  // namespace sluice::test_support
