#include "common/telemetry/socket.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "common/base/strings.h"

namespace sluice::telemetry {

absl::StatusOr<ListeningSocket> Listen(const base::ListenAddress& where) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(static_cast<uint16_t>(where.port));
  inet_pton(AF_INET, where.ip.c_str(), &v4.sin_addr);
  inet_pton(AF_INET6, where.ip.c_str(), &v6.sin6_addr);
  auto* address = where.ipv6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
  socklen_t size = where.ipv6 ? sizeof(v6) : sizeof(v4);
  Fd fd(socket(where.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  if (fd.get() >= 0) {
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (where.ipv6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  }
  if (fd.get() < 0 || bind(fd.get(), address, size) != 0 || listen(fd.get(), SOMAXCONN) != 0 ||
      getsockname(fd.get(), address, &size) != 0) {
    return absl::UnavailableError(
        base::StrCat("is the port in use, or the address not this machine's? ",
                     std::string_view(std::strerror(errno))));
  }
  return ListeningSocket{std::move(fd), ntohs(where.ipv6 ? v6.sin6_port : v4.sin_port)};
}

int RaiseDescriptorLimit(int wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const auto enough = static_cast<rlim_t>(wanted);
  if (limit.rlim_cur < enough) {
    rlimit raised = limit;
    raised.rlim_cur = std::min(enough, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT32_MAX));
}

}  // namespace sluice::telemetry
