#include "tests/support/http_get.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/strings.h"

namespace sluice::test_support {

absl::StatusOr<std::string> HttpGet(int port, std::string_view target) {
  int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string request = base::StrCat("GET ", target, " HTTP/1.0\r\n\r\n");
  if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      send(connection, request.data(), request.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(request.size())) {
    close(connection);
    return absl::UnavailableError(base::StrCat("port ", port, ": can't be asked"));
  }
  std::string answer;
  char part[4096];
  for (ssize_t size; (size = recv(connection, part, sizeof(part), 0)) > 0;)
    answer.append(part, static_cast<size_t>(size));
  close(connection);
  return answer;
}

}  // namespace sluice::test_support
