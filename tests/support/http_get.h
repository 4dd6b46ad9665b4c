// One GET of HTTP/1.0 on loopback, as a probe or a scrape makes it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::test_support {

// The whole answer, head and body, up to where the server closes. kUnavailable: nobody listens, or
// the request couldn't be sent.
absl::StatusOr<std::string> HttpGet(int port, std::string_view target);

}  // namespace sluice::test_support
