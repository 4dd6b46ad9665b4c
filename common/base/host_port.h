// Addresses of other processes, as configurations write them.
#pragma once

#include <string_view>

namespace sluice::base {

// `host:port`: a DNS name, an IPv4 address or an IPv6 address in brackets, and a port from 1 to
// 65535. A placeholder such as `${BROKER}` that nothing has filled in is none.
bool IsHostPort(std::string_view text);

}  // namespace sluice::base
