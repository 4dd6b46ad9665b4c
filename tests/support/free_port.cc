#include "tests/support/free_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>

#include "absl/status/status.h"

namespace sluice::test_support {
namespace {

constexpr int kLowest = 10'240;

bool CanListen(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free =
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 && listen(fd, 1) == 0;
  close(fd);
  return free;
}

}  // namespace

absl::StatusOr<int> FreePort() {
  int ephemeral = 32'768;  // Linux's default
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> ephemeral;
  const int count = std::max(ephemeral, kLowest + 1'000) - kLowest;
  // Processes start at different places, or those that start together would race for the same port.
  static std::atomic<unsigned> next = static_cast<unsigned>(getpid()) * 37;
  for (int i = 0; i < count; ++i) {
    const int port = kLowest + static_cast<int>(next.fetch_add(1) % static_cast<unsigned>(count));
    if (CanListen(port)) return port;
  }
  return absl::ResourceExhaustedError("no TCP port is free on loopback");
}

}  // namespace sluice::test_support
