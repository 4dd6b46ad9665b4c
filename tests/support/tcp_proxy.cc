#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace sluice::test_support {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kPieceBytes = 64 * 1024;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// Whether the socket may have more to give.
bool ReadSome(int socket, std::string& into, bool& ended) {
  char piece[kPieceBytes];
  ssize_t got = recv(socket, piece, sizeof(piece), MSG_DONTWAIT);
  if (got > 0) {
    into.append(piece, static_cast<size_t>(got));
    return true;
  }
  if (got == 0 || (errno != EAGAIN && errno != EINTR)) ended = true;
  return false;
}

size_t WriteSome(int socket, std::string& from, size_t bytes, bool& ended) {
  ssize_t sent =
      send(socket, from.data(), std::min(bytes, from.size()), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) ended = true;
  if (sent <= 0) return 0;
  from.erase(0, static_cast<size_t>(sent));
  return static_cast<size_t>(sent);
}

}  // namespace

TcpProxy::Connection::~Connection() {
  // A reset, not an orderly end: what a lost machine leaves behind.
  linger reset{1, 0};
  for (int socket : {client, server}) {
    if (socket < 0) continue;
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(socket);
  }
}

absl::StatusOr<std::unique_ptr<TcpProxy>> TcpProxy::Create(int upstream_port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || wake < 0 || bind(listener, generic, size) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, generic, &size) != 0)
    return absl::ErrnoToStatus(errno, "the proxy can't listen");
  std::unique_ptr<TcpProxy> proxy(
      new TcpProxy(listener, ntohs(address.sin_port), wake, upstream_port));
  proxy->thread_ = std::thread([self = proxy.get()] { self->Run(); });
  return proxy;
}

TcpProxy::~TcpProxy() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
  }
  Wake();
  thread_.join();
  close(listener_);
  close(wake_);
}

void TcpProxy::Wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
}

void TcpProxy::SetFault(Fault fault) {
  {
    base::MutexLock lock(mutex_);
    fault_ = fault;
    answered_ = 0;
  }
  Wake();
}

int64_t TcpProxy::answered() const {
  base::MutexLock lock(mutex_);
  return answered_;
}

int64_t TcpProxy::Allowed() const {
  if (fault_.kind != Fault::kCut && fault_.kind != Fault::kStall) return -1;
  return std::max<int64_t>(fault_.after_bytes - answered_, 0);
}

bool TcpProxy::Stalled() const { return fault_.kind == Fault::kStall && Allowed() == 0; }

void TcpProxy::Accept() {
  while (true) {
    int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) return;
    Connection& connection = connections_.emplace_back();
    connection.client = client;
    connection.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(upstream_port_);
    if (connect(connection.server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      connections_.pop_back();
      continue;
    }
    const int on = 1;
    for (int end : {connection.client, connection.server})
      setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(connection.server, F_SETFL, O_NONBLOCK);
  }
}

void TcpProxy::Serve(Connection& connection) {
  if (Stalled()) return;
  const auto now = steady_clock::now();
  if (connection.to_server.size() < kPieceBytes)
    ReadSome(connection.client, connection.to_server, connection.client_ended);
  WriteSome(connection.server, connection.to_server, kPieceBytes, connection.over);
  if (connection.to_client.size() < kPieceBytes &&
      ReadSome(connection.server, connection.to_client, connection.server_ended) &&
      fault_.kind == Fault::kDelay && answered_ >= fault_.after_bytes)
    connection.not_before = now + fault_.delay;
  if (!connection.to_client.empty() && now >= connection.not_before) {
    const int64_t allowed = Allowed();
    const size_t bytes = allowed < 0 ? kPieceBytes : static_cast<size_t>(allowed);
    answered_ += static_cast<int64_t>(
        WriteSome(connection.client, connection.to_client, bytes, connection.over));
  }
  if (fault_.kind == Fault::kCut && Allowed() == 0) connection.over = true;
  if (connection.client_ended && connection.to_server.empty()) connection.over = true;
  if (connection.server_ended && connection.to_client.empty()) connection.over = true;
}

void TcpProxy::Run() {
  while (true) {
    std::vector<pollfd> waits = {{wake_, POLLIN, 0}, {listener_, POLLIN, 0}};
    int timeout = -1;
    {
      base::MutexLock lock(mutex_);
      if (stop_) {
        connections_.clear();
        return;
      }
      for (const Connection& connection : connections_) {
        if (Stalled()) continue;
        auto wanted = [](const std::string& out, const std::string& in) {
          return static_cast<int16_t>((out.empty() ? 0 : POLLOUT) |
                                      (in.size() < kPieceBytes ? POLLIN : 0));
        };
        const bool late = steady_clock::now() < connection.not_before;
        if (late) timeout = 1;
        waits.push_back(
            {connection.client, wanted(late ? "" : connection.to_client, connection.to_server), 0});
        waits.push_back({connection.server, wanted(connection.to_server, connection.to_client), 0});
      }
    }
    poll(waits.data(), waits.size(), timeout);
    uint64_t woken = 0;
    [[maybe_unused]] ssize_t got = read(wake_, &woken, sizeof(woken));
    base::MutexLock lock(mutex_);
    if (!stop_) Accept();
    for (Connection& connection : connections_) Serve(connection);
    std::erase_if(connections_, [](const Connection& connection) { return connection.over; });
  }
}

}  // namespace sluice::test_support
