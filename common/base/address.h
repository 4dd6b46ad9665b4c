// Addresses to listen on.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/strings.h"

namespace sluice::base {

// An IP address and a port, parsed: no name that a resolver might answer differently tomorrow.
struct ListenAddress {
  // Without brackets.
  std::string ip;
  // 0: a free one.
  int port;
  bool ipv6;
  // Reachable from this machine only.
  bool loopback;

  // "127.0.0.1:80", "[::1]:80".
  std::string ToString() const {
    return ipv6 ? StrCat('[', ip, "]:", port) : StrCat(ip, ':', port);
  }
};

// Takes `IPv4:port`, `[IPv6]:port` and `localhost:port` (which is 127.0.0.1). Error:
// kInvalidArgument that begins with `option`.
inline absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view option,
                                                        std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  std::string_view digits = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  ListenAddress address{};
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  bool valid = error == std::errc() && end == digits.data() + digits.size() && address.port >= 0 &&
               address.port <= 65535;
  in_addr v4{};
  in6_addr v6{};
  if (host == "localhost") host = "127.0.0.1";
  address.ipv6 = host.size() > 2 && host.front() == '[' && host.back() == ']';
  address.ip = address.ipv6 ? host.substr(1, host.size() - 2) : host;
  if (address.ipv6) {
    valid = valid && inet_pton(AF_INET6, address.ip.c_str(), &v6) == 1;
    address.loopback = IN6_IS_ADDR_LOOPBACK(&v6);
  } else {
    valid = valid && inet_pton(AF_INET, address.ip.c_str(), &v4) == 1;
    address.loopback = (ntohl(v4.s_addr) >> 24) == 127;
  }
  if (!valid) {
    return absl::InvalidArgumentError(
        StrCat(option, ": `", text,
               "` must be an IPv4 address, [IPv6 address] or localhost, and :port, such as "
               "127.0.0.1:9090 (port 0: a free one)"));
  }
  return address;
}

}  // namespace sluice::base
